//! `authorized_user`: a person's refresh token (RFC 6749, 6). In: the credentials. Out: access tokens with exactly the asked scopes, and the
//! one kind of ID token that a person has: for the OAuth client itself.
use super::AdcError;
use super::file::User;
use super::load::Loaded;
use crate::http::web::Form;
use crate::tokens::endpoint::oauth::{Granted, grant};
use crate::tokens::endpoint::{EndpointError, Reach, claims, joined};
use crate::tokens::{AccessToken, AccountInfo, IdToken, Scopes};
use std::collections::BTreeSet;

async fn refresh(
    reach: &Reach,
    user: &User,
    scopes: Option<&BTreeSet<String>>,
) -> Result<Granted, EndpointError> {
    let mut form = Form::new()
        .with("grant_type", "refresh_token")
        .with("client_id", &user.client_id)
        .with_secret("client_secret", &user.client_secret)
        .with_secret("refresh_token", &user.refresh_token);
    if let Some(scopes) = scopes {
        form = form.with("scope", &joined(scopes));
    }
    grant(reach, &user.token_uri, &form, &[]).await
}

/// Without asked scopes: those that the person agreed to.
pub(super) async fn access(
    reach: &Reach,
    user: &User,
    scopes: &Scopes,
) -> Result<AccessToken, EndpointError> {
    let asked = match scopes {
        Scopes::Default => None,
        Scopes::Exactly(scopes) => Some(scopes),
    };
    refresh(reach, user, asked).await?.access(asked)
}

pub(super) async fn id(
    reach: &Reach,
    loaded: &Loaded,
    user: &User,
    audience: &str,
) -> Result<IdToken, AdcError> {
    let told = |source| AdcError::Endpoint {
        path: loaded.path.clone(),
        source,
    };
    let refused = |given| AdcError::UserAudience {
        path: loaded.path.clone(),
        asked: audience.to_owned(),
        given,
    };
    let asked_at = reach.now();
    let mut granted = refresh(reach, user, None).await.map_err(told)?;
    let token = granted.id_token().ok_or_else(|| refused(None))?;
    match claims::read(&token) {
        Some(claims) if claims.aud != audience => Err(refused(Some(claims.aud))),
        _ => claims::id_token(&user.token_uri, token, audience, asked_at).map_err(told),
    }
}

/// Who it is: the file's word, else the ID token's, else the client's name, so that clients which ask for a name first go on.
pub(super) async fn info(reach: &Reach, user: &User) -> Result<AccountInfo, EndpointError> {
    let mut granted = refresh(reach, user, None).await?;
    let told = granted.id_token().and_then(|token| claims::read(&token)?.email);
    let email = user.account.clone().or(told);
    Ok(AccountInfo {
        email: email.unwrap_or_else(|| user.client_id.clone()),
        aliases: vec!["default".to_owned()],
        scopes: granted.scopes().unwrap_or_default(),
    })
}
