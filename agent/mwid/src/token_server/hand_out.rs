//! Tokens, handed out. In: what was asked for and what the caller may have. Out: the question for the cache, and its answer on the wire. Never asks
//! for more than is granted, never leaves a binding out.
use super::query::{Alt, Query, QueryError};
use super::seldom::clean;
use super::words::{self, JSON, TEXT};
use crate::caller::{Grant, Refusal};
use crate::http::reply::Reply;
use crate::tokens::{AccessAsk, AccessToken, Account, Binding, IdAsk, IdFormat, IdToken, Scopes};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use mtls_identity::UnixTime;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use zeroize::Zeroizing;

/// Why no token is asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum No {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("non-empty audience parameter required")]
    Audience,
    #[error("the parameter format must be standard or full")]
    Format,
    #[error("wait_for_change is not supported for tokens")]
    Wait,
    #[error("enforce_scopes may not be false: the asked scopes are always enforced")]
    NotEnforced,
    #[error("non-empty scopes parameter required with enforce_scopes")]
    NothingToEnforce,
    #[error(
        "the parameter {name} asks for a token that is bound in a way that mwid does not know; wanted bindCertificateFingerprint, \
         transport or binding-enforcement"
    )]
    Binding { name: String },
    /// The only ones that go on the record.
    #[error(transparent)]
    Denied(#[from] Refusal),
}

/// A question for an access token, and how it goes on the record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) ask: AccessAsk,
    pub(super) record: String,
    /// How the answer is wanted.
    pub(super) alt: Option<Alt>,
}

/// The scopes as they were asked for, for the record of a denial.
pub(super) fn asked_scopes(query: &Query<'_>) -> BTreeSet<String> {
    query
        .all("scopes")
        .flat_map(|list| list.split([',', ' ']))
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect()
}

pub(super) fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The question for an access token; of a POST, without its body.
pub(super) fn access(account: Account, query: &Query<'_>, grant: &Grant) -> Result<Access, No> {
    refuse_waiting(query)?;
    let asked = asked_scopes(query);
    match query.boolean("enforce_scopes")? {
        Some(false) => return Err(No::NotEnforced),
        // As the metadata server has it. Whatever scopes the caller could mean are not to be guessed.
        Some(true) if asked.is_empty() => return Err(No::NothingToEnforce),
        Some(true) | None => {}
    }
    let alt = query.alt()?;
    let exact = grant.scopes_for(&asked)?;
    Ok(Access {
        alt,
        record: exact.map(joined).unwrap_or_default(),
        ask: AccessAsk {
            account,
            scopes: exact.map_or(Scopes::Default, |scopes| Scopes::Exactly(scopes.clone())),
            binding: binding(query)?,
        },
    })
}

/// Whether a question that was judged under an earlier grant would be the same one under this.
pub(super) fn still_granted(ask: &AccessAsk, query: &Query<'_>, grant: &Grant) -> bool {
    let asked = asked_scopes(query);
    let Ok(exact) = grant.scopes_for(&asked) else {
        return false;
    };
    match (&ask.scopes, exact) {
        (Scopes::Default, None) => true,
        (Scopes::Exactly(asked), Some(exact)) => asked == exact,
        _ => false,
    }
}

/// The question for an ID token; of a POST, without its body.
pub(super) fn id(account: Account, query: &Query<'_>, grant: &Grant) -> Result<IdAsk, No> {
    refuse_waiting(query)?;
    let audience = query.one("audience")?.unwrap_or_default();
    if audience.is_empty() {
        return Err(No::Audience);
    }
    let licenses = query.boolean("licenses")? == Some(true);
    let format = match query.one("format")? {
        None | Some("" | "standard") => IdFormat::Standard,
        Some("full") => IdFormat::Full { licenses },
        Some(_) => return Err(No::Format),
    };
    grant.audience_allowed(audience)?;
    Ok(IdAsk {
        account,
        audience: audience.to_owned(),
        format,
        binding: binding(query)?,
    })
}

fn refuse_waiting(query: &Query<'_>) -> Result<(), No> {
    if query.boolean("wait_for_change")? == Some(true) {
        return Err(No::Wait);
    }
    Ok(())
}

/// The words that are passed on. A platform may overlook a word that it does not know, and give a token that is not bound.
const BINDING: [&str; 3] = ["bindCertificateFingerprint", "transport", "binding-enforcement"];

fn binding(query: &Query<'_>) -> Result<Option<Binding>, No> {
    let query = query.binding();
    if let Some((name, _)) = query.iter().find(|(name, _)| !BINDING.contains(&&**name)) {
        return Err(No::Binding {
            name: clean(name.as_bytes()),
        });
    }
    Ok((!query.is_empty()).then_some(Binding { query, body: None }))
}

/// Adds the body of a POST.
pub(super) fn bind(binding: &mut Option<Binding>, body: Option<Vec<u8>>) {
    if body.is_some() {
        let query = binding.take().map(|binding| binding.query).unwrap_or_default();
        *binding = Some(Binding { query, body });
    }
}

/// Made once: this is the answer that is given most, and a copy costs less than making them.
static ACCESS_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = words::reply(StatusCode::OK, JSON, Bytes::new()).headers().clone();
    // For pages; nobody takes JSON for another type.
    headers.remove(X_CONTENT_TYPE_OPTIONS);
    headers
});

/// What the metadata server calls an ID token.
const ID: HeaderValue = HeaderValue::from_static("text/html");

/// What is answered with a token, wiped when the last holder lets go. None: it is over, or nearly.
pub(super) fn access_body(token: &AccessToken, now: UnixTime, alt: Option<Alt>) -> Option<Bytes> {
    match token.remaining(now) {
        0 => None,
        // Seldom, so it is not kept.
        remaining if alt == Some(Alt::Text) => Some(as_lines(token, remaining)),
        _ => Some(token.body(now, |remaining| rendered(token, remaining))),
    }
}

pub(super) fn access_reply(body: Bytes, alt: Option<Alt>) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.headers_mut() = ACCESS_HEADERS.clone();
    if alt == Some(Alt::Text) {
        reply.headers_mut().insert(CONTENT_TYPE, TEXT);
    }
    reply
}

/// As text, which a JWT is, or as one in JSON.
pub(super) fn id_reply(token: Arc<IdToken>, now: UnixTime, alt: Option<Alt>) -> Option<Reply> {
    if token.expires_at <= now {
        return None;
    }
    if alt == Some(Alt::Json) {
        let mut body = Zeroizing::new(Vec::with_capacity(room(&token.secret) + 2));
        // Text as JSON in memory: that does not fail.
        serde_json::to_writer(&mut *body, &**token.secret).ok()?;
        return Some(words::reply(StatusCode::OK, JSON, Bytes::from_owner(body)));
    }
    let body = Bytes::from_owner(Held(token));
    Some(words::reply(StatusCode::OK, ID, body))
}

/// The cache had one whose time was over when it came here.
pub(super) fn over() -> Reply {
    words::unavailable(
        "the token that is here has just expired; ask again",
        Duration::from_secs(1),
    )
}

/// The bytes of a token that is alive as long as they are.
struct Held(Arc<IdToken>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.secret.as_bytes()
    }
}

/// The body of an answer, wiped when the last holder lets go.
fn rendered(token: &AccessToken, remaining: u64) -> Bytes {
    let strings = [&**token.secret, &token.token_type];
    // A growing vector would leave copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(strings.map(room).iter().sum::<usize>() + 80));
    let written = (|| {
        body.write_all(b"{\"access_token\":")?;
        serde_json::to_writer(&mut *body, &**token.secret)?;
        write!(body, ",\"expires_in\":{remaining},\"token_type\":")?;
        serde_json::to_writer(&mut *body, &token.token_type)?;
        body.write_all(b"}")
    })();
    // Writing to memory, text as JSON: neither fails.
    debug_assert!(written.is_ok());
    Bytes::from_owner(body)
}

/// For all of it, each byte that JSON escapes included.
fn room(text: &str) -> usize {
    let escapes = text
        .bytes()
        .filter(|b| *b < b' ' || matches!(b, b'"' | b'\\'))
        .count();
    text.len() + 5 * escapes
}

/// As the metadata server writes a tree in text: a line a value.
fn as_lines(token: &AccessToken, remaining: u64) -> Bytes {
    let room = token.secret.len() + token.token_type.len() + 80;
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    for (name, value) in [
        ("access_token ", &**token.secret),
        ("expires_in ", &remaining.to_string()),
        ("token_type ", &token.token_type),
    ] {
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(value.as_bytes());
        body.push(b'\n');
    }
    Bytes::from_owner(body)
}
