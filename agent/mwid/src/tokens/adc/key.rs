//! `service_account`: a key that signs for its account (RFC 7523, 2.1, as Google's page on server-to-server OAuth has it). In: the
//! credentials. Out: access tokens with exactly the asked scopes, ID tokens for exactly the asked audience. The key never leaves the process.
use super::file::ServiceAccount;
use crate::http::web::Form;
use crate::tokens::endpoint::oauth::{Granted, grant};
use crate::tokens::endpoint::{EndpointError, Reach, claims, joined, or_cloud_platform};
use crate::tokens::{AccessToken, IdToken, Scopes};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The longest that Google allows.
const LIFETIME: u64 = 3600;

/// Our clock may be ahead of Google's by this much.
const SKEW: u64 = 10;

#[derive(Debug)]
pub(super) enum KeyError {
    Endpoint(EndpointError),
    Sign,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: String,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_audience: Option<&'a str>,
}

/// What the signed claims ask for.
enum Wanted<'a> {
    Scope(String),
    Audience(&'a str),
}

pub(super) async fn access(
    reach: &Reach,
    account: &ServiceAccount,
    scopes: &Scopes,
) -> Result<AccessToken, KeyError> {
    let scopes = or_cloud_platform(scopes);
    let granted = exchange(reach, account, Wanted::Scope(joined(&scopes))).await?;
    granted.access(Some(&scopes)).map_err(KeyError::Endpoint)
}

pub(super) async fn id(reach: &Reach, account: &ServiceAccount, audience: &str) -> Result<IdToken, KeyError> {
    let (url, asked_at) = (&account.token_uri, reach.now());
    let token = exchange(reach, account, Wanted::Audience(audience))
        .await?
        .id_token()
        .ok_or_else(|| {
            KeyError::Endpoint(EndpointError::Field {
                url: url.clone(),
                field: "id_token",
            })
        })?;
    claims::id_token(url, token, audience, asked_at).map_err(KeyError::Endpoint)
}

async fn exchange(reach: &Reach, account: &ServiceAccount, wanted: Wanted<'_>) -> Result<Granted, KeyError> {
    let assertion = signed(reach, account, wanted).ok_or(KeyError::Sign)?;
    let form = Form::new()
        .with("grant_type", GRANT)
        .with_secret("assertion", &assertion);
    grant(reach, &account.token_uri, &form, &[])
        .await
        .map_err(KeyError::Endpoint)
}

/// A JWT (RFC 7519) with RS256.
fn signed(reach: &Reach, account: &ServiceAccount, wanted: Wanted<'_>) -> Option<Zeroizing<String>> {
    let header = Header {
        alg: "RS256",
        typ: "JWT",
        kid: account.key_id.as_deref(),
    };
    let issued = reach.now().as_secs().saturating_sub(SKEW);
    let (scope, target_audience) = match wanted {
        Wanted::Scope(scope) => (Some(scope), None),
        Wanted::Audience(audience) => (None, Some(audience)),
    };
    let claims = Claims {
        iss: &account.email,
        sub: &account.email,
        aud: account.token_uri.to_text(),
        iat: issued,
        exp: issued + LIFETIME,
        scope,
        target_audience,
    };
    let part = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
    let (header, claims) = (
        serde_json::to_vec(&header).ok()?,
        serde_json::to_vec(&claims).ok()?,
    );
    let message = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; account.key.public_modulus_len()];
    account
        .key
        .sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signature,
        )
        .ok()?;
    Some(Zeroizing::new(format!("{message}.{}", part(signature))))
}
