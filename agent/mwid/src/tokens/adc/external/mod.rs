//! `external_account`: a token of another identity provider is exchanged for one of Google's by the Security Token Service (RFC 8693; Google's
//! reference of `sts.googleapis.com/v1/token`). In: the credentials. Out: access tokens with exactly the asked scopes.
mod executable;
mod subject;

pub(super) use subject::SubjectError;

use super::AdcError;
use super::file::External;
use super::load::Loaded;
use crate::http::web::Form;
use crate::tokens::AccessToken;
use crate::tokens::endpoint::oauth::grant;
use crate::tokens::endpoint::{EndpointError, Reach, joined};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderValue};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The federated identity's own token.
pub(super) async fn exchange(
    reach: &Reach,
    loaded: &Loaded,
    file: &External,
    scopes: &BTreeSet<String>,
    allow_executables: bool,
) -> Result<AccessToken, AdcError> {
    let told = |source| AdcError::Endpoint {
        path: loaded.path.clone(),
        source,
    };
    let target = loaded.via.as_ref().or(loaded.target.as_ref());
    let email = target.map(|target| target.email.as_str());
    let subject = subject::read(reach, file, email, allow_executables)
        .await
        .map_err(|source| AdcError::Subject {
            path: loaded.path.clone(),
            source,
        })?;
    let mut form = Form::new()
        .with("grant_type", GRANT)
        .with("audience", &file.audience)
        .with("scope", &joined(scopes))
        .with("requested_token_type", ACCESS_TOKEN)
        .with("subject_token_type", &file.subject_token_type)
        .with_secret("subject_token", &subject);
    let mut headers = vec![];
    match (&file.client, &file.user_project) {
        // A client says whose quota is used; a project beside it would be refused.
        (Some((id, secret)), _) => {
            let field = "client_id or client_secret";
            let line = basic(id, secret).ok_or_else(|| {
                told(EndpointError::Field {
                    url: file.token_url.clone(),
                    field,
                })
            })?;
            headers.push((AUTHORIZATION, line));
        }
        (None, Some(project)) => {
            form = form.with(
                "options",
                &serde_json::json!({ "userProject": project }).to_string(),
            );
        }
        (None, None) => {}
    }
    grant(reach, &file.token_url, &form, &headers)
        .await
        .and_then(|granted| granted.access(Some(scopes)))
        .map_err(told)
}

/// RFC 7617.
fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{id}:{secret}"));
    let line = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&line).ok()?;
    value.set_sensitive(true);
    Some(value)
}
