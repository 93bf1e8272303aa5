//! Files of Application Default Credentials.
//!
//! In: the bytes of a file. Out: what it says, typed, with every URL checked and every secret wiped when it is dropped. An error names the
//! field, what was found and what is wanted, and never quotes a value. Never opens a file, never asks anybody.
//! Follows AIP-4110 to AIP-4117 and the files that `gcloud` writes.

mod external;
mod fields;
#[cfg(test)]
mod tests;

pub(crate) use external::{Executable, External, Format, Subject};
pub(crate) use fields::{FieldError, Found};

use crate::http::web::url::{Plain, Url};
use aws_lc_rs::signature::RsaKeyPair;
use fields::{Document, Fields};
use pki_types::PrivatePkcs8KeyDer;
use pki_types::pem::PemObject as _;
use zeroize::{Zeroize as _, Zeroizing};

const GOOGLE: &str = "googleapis.com";

/// What a file says, and where its credentials belong.
pub(crate) struct Read {
    pub(crate) credentials: Credentials,
    /// The domain below which their APIs are.
    pub(crate) universe: String,
    pub(crate) project: Option<String>,
}

/// What a file says of who asks.
pub(crate) enum Credentials {
    Own(Own),
    /// `impersonated_service_account`: who may act, and as whom.
    Impersonated(Impersonated),
}

/// Credentials that stand for themselves.
pub(crate) enum Own {
    User(Box<User>),
    ServiceAccount(Box<ServiceAccount>),
    External(Box<External>),
}

/// `authorized_user`: what `gcloud auth application-default login` leaves.
pub(crate) struct User {
    pub(crate) client_id: String,
    pub(crate) client_secret: Zeroizing<String>,
    pub(crate) refresh_token: Zeroizing<String>,
    pub(crate) token_uri: Url,
    /// The e-mail address; newer tools leave it empty.
    pub(crate) account: Option<String>,
}

/// `service_account`: a key.
pub(crate) struct ServiceAccount {
    pub(crate) email: String,
    /// Cleansed by aws-lc when it is dropped.
    pub(crate) key: RsaKeyPair,
    pub(crate) key_id: Option<String>,
    pub(crate) token_uri: Url,
}

/// Who may act as another.
pub(crate) struct Impersonated {
    pub(crate) source: Own,
    pub(crate) target: ImpersonationUrl,
    pub(crate) delegates: Vec<String>,
}

/// `service_account_impersonation_url`, as it is written.
pub(crate) struct ImpersonationUrl(pub(crate) String);

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("it is no JSON from line {line}, column {column} on; make it anew")]
    NotJson { line: usize, column: usize },
    #[error("it says what cannot be used; correct it, or make it anew")]
    Field(#[from] FieldError),
}

/// Reads a file.
pub(crate) fn parse(json: &[u8]) -> Result<Read, FormatError> {
    let document = serde_json::from_slice(json).map_err(|error| FormatError::NotJson {
        line: error.line(),
        column: error.column(),
    })?;
    let document = Document(document);
    let fields = Fields::of(&document)?;
    Ok(Read {
        credentials: credentials(&fields)?,
        universe: universe_of_all(&fields)?.to_owned(),
        project: project(&fields)?,
    })
}

fn credentials(fields: &Fields<'_>) -> Result<Credentials, FieldError> {
    match fields.text("type")? {
        "impersonated_service_account" => impersonated(fields).map(Credentials::Impersonated),
        _ => own(
            fields,
            "authorized_user, service_account, impersonated_service_account or external_account",
        )
        .map(Credentials::Own),
    }
}

fn own(fields: &Fields<'_>, served: &'static str) -> Result<Own, FieldError> {
    Ok(match fields.text("type")? {
        "authorized_user" => Own::User(Box::new(user(fields)?)),
        "service_account" => Own::ServiceAccount(Box::new(service_account(fields)?)),
        "external_account" => Own::External(Box::new(external::external(fields)?)),
        other => return Err(fields.wrong("type", Found::word(other), served)),
    })
}

fn user(fields: &Fields<'_>) -> Result<User, FieldError> {
    Ok(User {
        client_id: fields.text("client_id")?.to_owned(),
        client_secret: secret(fields, "client_secret")?,
        refresh_token: secret(fields, "refresh_token")?,
        token_uri: url_in(fields, "token_uri", "https://oauth2.googleapis.com/token")?,
        account: fields.optional_text("account")?.map(str::to_owned),
    })
}

fn service_account(fields: &Fields<'_>) -> Result<ServiceAccount, FieldError> {
    // Elsewhere no endpoint exchanges what the key signs: the key's own JWTs are the tokens there (AIP-4111), which are not made here.
    if universe(fields)? != GOOGLE {
        return Err(fields.wrong(
            "universe_domain",
            Found::Text,
            "googleapis.com: mwid makes no tokens with the key of an account in another universe; use an external_account there",
        ));
    }
    Ok(ServiceAccount {
        email: fields.text("client_email")?.to_owned(),
        key: private_key(fields)?,
        key_id: fields.optional_text("private_key_id")?.map(str::to_owned),
        token_uri: url_in(fields, "token_uri", "https://oauth2.googleapis.com/token")?,
    })
}

fn private_key(fields: &Fields<'_>) -> Result<RsaKeyPair, FieldError> {
    let text = fields.text("private_key")?;
    let wrong = || fields.wrong("private_key", Found::Text, "an RSA key as PKCS#8 in PEM");
    let mut key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| wrong())?;
    let pair = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der());
    key.zeroize();
    pair.map_err(|_| wrong())
}

fn impersonated(fields: &Fields<'_>) -> Result<Impersonated, FieldError> {
    Ok(Impersonated {
        source: own(
            &fields.object("source_credentials")?,
            "authorized_user, service_account or external_account",
        )?,
        target: impersonation_url(fields)?.ok_or_else(|| {
            fields.wrong(
                "service_account_impersonation_url",
                Found::Nothing,
                IMPERSONATION_URL,
            )
        })?,
        delegates: fields.texts("delegates")?,
    })
}

const IMPERSONATION_URL: &str =
    "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken";

fn impersonation_url(fields: &Fields<'_>) -> Result<Option<ImpersonationUrl>, FieldError> {
    const FIELD: &str = "service_account_impersonation_url";
    let Some(text) = fields.optional_text(FIELD)? else {
        return Ok(None);
    };
    let account = text
        .strip_suffix(":generateAccessToken")
        .and_then(|account| account.rsplit_once("/serviceAccounts/"));
    let named = account.is_some_and(|(_, email)| !email.is_empty() && !email.contains(['/', '?', '#']));
    if !named || Url::parse(text).is_err() {
        return Err(fields.wrong(FIELD, Found::Text, IMPERSONATION_URL));
    }
    Ok(Some(ImpersonationUrl(text.to_owned())))
}

fn secret(fields: &Fields<'_>, field: &str) -> Result<Zeroizing<String>, FieldError> {
    Ok(Zeroizing::new(fields.text(field)?.to_owned()))
}

/// The endpoint that the file names, else Google's. In another universe none is guessed: secrets are sent there.
fn url_in(fields: &Fields<'_>, field: &str, googles: &str) -> Result<Url, FieldError> {
    let text = match fields.optional_text(field)? {
        Some(text) => text,
        None if universe(fields)? == GOOGLE => googles,
        None => {
            return Err(fields.wrong(
                field,
                Found::Nothing,
                "the URL, because universe_domain is not googleapis.com",
            ));
        }
    };
    url(fields, field, text, Plain::Loopback)
}

/// An impersonating file may leave it to the credentials in it.
fn universe_of_all<'a>(fields: &Fields<'a>) -> Result<&'a str, FieldError> {
    match fields.optional_object("source_credentials")? {
        Some(source) if fields.optional_text("universe_domain")?.is_none() => universe(&source),
        _ => universe(fields),
    }
}

fn project(fields: &Fields<'_>) -> Result<Option<String>, FieldError> {
    let own = project_named(fields, "project_id")?;
    let pays = project_named(fields, "quota_project_id")?;
    Ok(own.or(pays))
}

fn project_named(fields: &Fields<'_>, field: &str) -> Result<Option<String>, FieldError> {
    let text = fields.optional_text(field)?;
    if text.is_some_and(|text| text.len() > 256 || !text.bytes().all(|b| b.is_ascii_graphic())) {
        return Err(fields.wrong(field, Found::Text, "a project such as my-project-1"));
    }
    Ok(text.map(str::to_owned))
}

fn url(fields: &Fields<'_>, field: &str, text: &str, plain: Plain) -> Result<Url, FieldError> {
    let wanted = match plain {
        Plain::Loopback => "a URL with https (http on this machine only)",
        Plain::LinkLocal => "a URL with https (http on this machine or to a link-local address only)",
    };
    Url::parse_within(text, plain).map_err(|_| fields.wrong(field, Found::Text, wanted))
}

/// The domain below which the APIs are.
fn universe<'a>(fields: &Fields<'a>) -> Result<&'a str, FieldError> {
    let text = fields.optional_text("universe_domain")?.unwrap_or(GOOGLE);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text);
    }
    Err(fields.wrong("universe_domain", Found::Text, "a domain such as googleapis.com"))
}
