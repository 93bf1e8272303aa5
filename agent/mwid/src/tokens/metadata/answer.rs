//! Reads what a metadata server answers. In: bodies. Out: a token with what it says of itself, an account, or a server's words. Never quotes a
//! body that may hold a token. Names no other file, so that the fuzz target reads it alone.
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest token that is taken.
const LONGEST: usize = 32 * 1024;
/// The longest life that is believed: Google's tokens live an hour, at most twelve where somebody allowed it.
pub(crate) const LONGEST_LIFE: u64 = 24 * 60 * 60;

/// Why an answer is none. Without a word of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("it is not the JSON that it should be, at line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("it has no {0} that is usable")]
    Field(&'static str),
    #[error("it is no JWT")]
    Jwt,
}

/// The answer to a question for an access token.
#[derive(PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) secret: Zeroizing<String>,
    pub(crate) token_type: String,
    pub(crate) life: Duration,
    /// What it says about its scopes, if it says anything.
    pub(crate) scopes: Option<BTreeSet<String>>,
}

/// An ID token.
#[derive(PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) secret: Zeroizing<String>,
    pub(crate) audience: String,
    /// Seconds since 1970.
    pub(crate) expires_at: u64,
    /// Seconds that it was made for.
    pub(crate) life: u64,
    /// Of the certificate that it is bound to, as it says (RFC 8705, 3.1).
    pub(crate) thumbprint: Option<String>,
}

/// One account, as the recursive question for it tells.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) email: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    #[serde(default)]
    pub(crate) scopes: BTreeSet<String>,
}

pub(crate) fn access(body: &[u8]) -> Result<Access, AnswerError> {
    #[derive(Deserialize)]
    struct Written<'a> {
        // Borrowed: no copy is left behind that nobody wipes.
        #[serde(borrow)]
        access_token: Cow<'a, str>,
        #[serde(deserialize_with = "seconds")]
        expires_in: u64,
        token_type: String,
        #[serde(default)]
        scope: Option<String>,
    }
    let written: Written<'_> = serde_json::from_slice(body).map_err(not_json)?;
    let secret = Zeroizing::new(written.access_token.into_owned());
    if !is_token(&secret) {
        return Err(AnswerError::Field("access_token"));
    }
    if written.expires_in == 0 {
        return Err(AnswerError::Field("expires_in"));
    }
    if !is_token(&written.token_type) || written.token_type.len() > 64 {
        return Err(AnswerError::Field("token_type"));
    }
    Ok(Access {
        secret,
        token_type: written.token_type,
        life: Duration::from_secs(written.expires_in.min(LONGEST_LIFE)),
        scopes: written
            .scope
            .map(|all| all.split_ascii_whitespace().map(str::to_owned).collect()),
    })
}

/// The token comes from the platform itself, so that its signature need not be checked (OpenID Connect Core, 3.1.3.7, point 6).
pub(crate) fn id(body: &[u8]) -> Result<Id, AnswerError> {
    #[derive(Deserialize)]
    struct Claims {
        aud: Audience,
        exp: u64,
        #[serde(default)]
        iat: u64,
        #[serde(default)]
        cnf: Option<Confirmation>,
    }
    #[derive(Deserialize)]
    struct Confirmation {
        #[serde(default, rename = "x5t#S256")]
        thumbprint: Option<String>,
    }
    // RFC 7519, 4.1.3: one, or a list of them.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        List([String; 1]),
    }
    let text = std::str::from_utf8(body).map_err(|_| AnswerError::Jwt)?.trim();
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(AnswerError::Jwt);
    };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map(Zeroizing::new);
    let is_whole = !header.is_empty() && !signature.is_empty() && text.len() <= LONGEST;
    if !is_whole || decoded(header).is_err() || decoded(signature).is_err() {
        return Err(AnswerError::Jwt);
    }
    let payload = decoded(payload).map_err(|_| AnswerError::Jwt)?;
    let claims: Claims =
        serde_json::from_slice(&payload).map_err(|_| AnswerError::Field("claims aud, exp and cnf"))?;
    let (Audience::One(audience) | Audience::List([audience])) = claims.aud;
    Ok(Id {
        secret: Zeroizing::new(text.to_owned()),
        audience,
        expires_at: claims.exp,
        life: claims.exp.saturating_sub(claims.iat).min(LONGEST_LIFE),
        thumbprint: claims.cnf.and_then(|cnf| cnf.thumbprint),
    })
}

pub(crate) fn account(body: &[u8]) -> Result<Account, AnswerError> {
    let account: Account = serde_json::from_slice(body).map_err(not_json)?;
    if !is_account(&account.email) {
        return Err(AnswerError::Field("email"));
    }
    if !account.aliases.iter().all(|alias| is_account(alias)) {
        return Err(AnswerError::Field("aliases"));
    }
    if !account.scopes.iter().all(|scope| is_scope(scope)) {
        return Err(AnswerError::Field("scopes"));
    }
    Ok(account)
}

/// What an e-mail address of an account, or an alias, may hold: it becomes a part of a path.
pub(crate) fn is_account(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"@.-_+".contains(&byte);
    (1..=254).contains(&name.len()) && name.bytes().all(known) && !name.bytes().all(|byte| byte == b'.')
}

/// A scope of RFC 6749, 3.3, that also holds no comma: the server takes a list with commas.
pub(crate) fn is_scope(scope: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,".contains(&byte);
    (1..=512).contains(&scope.len()) && scope.bytes().all(known)
}

fn is_token(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// As a number or, as some servers write it, as a text.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<'a> {
        Number(u64),
        Text(#[serde(borrow)] Cow<'a, str>),
    }
    match Written::deserialize(from)? {
        Written::Number(seconds) => Ok(seconds),
        Written::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the form that map_err wants; the error's own text quotes the body and ends here"
)]
fn not_json(error: serde_json::Error) -> AnswerError {
    AnswerError::Json {
        line: error.line(),
        column: error.column(),
    }
}

/// A server's words about a refusal: one short line without tags. None of a body that may hold a token, and no word that could be one.
pub(crate) fn words(body: &[u8]) -> String {
    const READ: usize = 2048;
    const WORD: usize = 80;
    const ALL: usize = 200;
    let text = String::from_utf8_lossy(&body[..body.len().min(READ)]);
    if [
        "access_token",
        "accessToken",
        "id_token",
        "refresh_token",
        "PRIVATE KEY",
    ]
    .iter()
    .any(|it| text.contains(it))
    {
        return "(not shown)".to_owned();
    }
    let mut in_tag = false;
    let plain = text.chars().map(|c| {
        let hidden = in_tag || c == '<' || c.is_control();
        in_tag = (in_tag || c == '<') && c != '>';
        if hidden { ' ' } else { c }
    });
    let plain: String = plain.collect();
    let words = plain.split_whitespace().map(|word| {
        let secret = word.len() > WORD || ["eyJ", "ya29."].iter().any(|start| word.contains(start));
        if secret { "…" } else { word }
    });
    let line = words.collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "(no words)".to_owned();
    }
    line.chars().take(ALL).collect()
}
