//! The IAM Credentials API: tokens of a service account for who may act as it. Follows Google's reference of
//! `projects.serviceAccounts.generateAccessToken` and `generateIdToken`.
//!
//! In: an access token of the acting account, and whose token is wanted. Out: a token with exactly the asked scopes or audience.
use super::answer::{json, retry_after, secret, shown};
use super::oauth::{after, is_usable};
use super::send::send;
use super::{EndpointError, Reach, claims};
use crate::http::web::url::{Url, UrlError};
use crate::http::web::{Answer, Call, path_part};
use crate::tokens::{AccessToken, Failure, IdToken};
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue};
use mtls_identity::UnixTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use zeroize::Zeroizing;

const ACCESS: &str = ":generateAccessToken";
const ID: &str = ":generateIdToken";

/// The longest life that needs no policy of the organisation.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Whose tokens are made, and where.
pub(crate) struct Target {
    access: Url,
    id: Url,
    pub(crate) email: String,
    delegates: Vec<String>,
    lifetime: Duration,
}

/// Why a URL is none of a service account's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("it ends not with /serviceAccounts/EMAIL:generateAccessToken")]
    Form,
    #[error("it cannot be used")]
    Url(#[from] UrlError),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum IamError {
    #[error("no token of {email} was made")]
    Endpoint {
        email: String,
        #[source]
        source: EndpointError,
    },
    #[error(
        "the account of the source may not make tokens of {email} ({message}); grant it roles/iam.serviceAccountTokenCreator on that service \
         account, and each delegate on the next"
    )]
    Denied { email: String, message: String },
    #[error(
        "the token of the source has not the scope that makes tokens of {email}; give the source the scope cloud-platform (a VM: stop it, \
         `gcloud compute instances set-service-account --scopes cloud-platform`)"
    )]
    SourceScope { email: String },
    #[error(
        "the IAM Credentials API is off in the project of the source's account, so there are no tokens of {email}; run `gcloud services enable \
         iamcredentials.googleapis.com`"
    )]
    ApiOff { email: String },
    #[error("the token of the source is not taken for making tokens of {email} ({message}); see who made it")]
    Unauthorized { email: String, message: String },
    #[error("there is no service account {email} ({message}); correct the e-mail address")]
    NoAccount { email: String, message: String },
    #[error(
        "no such token is made of {email} ({message}); correct the scopes, the audience or the delegates"
    )]
    BadRequest { email: String, message: String },
}

impl IamError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Endpoint { source, .. } => source.failure(),
            Self::Denied { .. } | Self::SourceScope { .. } | Self::ApiOff { .. } => Failure::Refused,
            Self::Unauthorized { .. } => Failure::LATER,
            Self::NoAccount { .. } => Failure::NoAccount,
            Self::BadRequest { .. } => Failure::BadRequest,
        }
    }
}

#[derive(Serialize)]
struct AccessBody<'a> {
    delegates: &'a [String],
    scope: &'a BTreeSet<String>,
    lifetime: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdBody<'a> {
    delegates: &'a [String],
    audience: &'a str,
    include_email: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessAnswer {
    #[serde(default, deserialize_with = "secret")]
    access_token: Option<Zeroizing<String>>,
    expire_time: Option<String>,
}

#[derive(Deserialize)]
struct IdAnswer {
    #[serde(default, deserialize_with = "secret")]
    token: Option<Zeroizing<String>>,
}

impl Target {
    /// At an endpoint, `https://iamcredentials.googleapis.com`.
    pub(crate) fn new(endpoint: &str, email: &str, delegates: &[String]) -> Result<Self, TargetError> {
        let endpoint = endpoint.trim_end_matches('/');
        let account = path_part(email);
        let target = Self::of_url(&format!(
            "{endpoint}/v1/projects/-/serviceAccounts/{account}{ACCESS}"
        ))?;
        Ok(Self {
            email: email.to_owned(),
            ..target.with_delegates(delegates)
        })
    }

    /// By the `service_account_impersonation_url` of a credentials file.
    pub(crate) fn of_url(text: &str) -> Result<Self, TargetError> {
        let account = text.strip_suffix(ACCESS).ok_or(TargetError::Form)?;
        let (_, email) = account
            .rsplit_once("/serviceAccounts/")
            .ok_or(TargetError::Form)?;
        if email.is_empty() || email.contains(['/', '?', '#']) {
            return Err(TargetError::Form);
        }
        Ok(Self {
            access: Url::parse(text)?,
            id: Url::parse(&format!("{account}{ID}"))?,
            email: email.replace("%40", "@"),
            delegates: vec![],
            lifetime: LIFETIME,
        })
    }

    /// E-mail addresses, or the API's longer names.
    pub(crate) fn with_delegates(mut self, delegates: &[String]) -> Self {
        let full = |name: &String| match name.starts_with("projects/") {
            true => name.clone(),
            false => format!("projects/-/serviceAccounts/{name}"),
        };
        self.delegates = delegates.iter().map(full).collect();
        self
    }

    pub(crate) fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }
}

/// `generateAccessToken`.
pub(crate) async fn access(
    reach: &Reach,
    target: &Target,
    bearer: &AccessToken,
    scopes: &BTreeSet<String>,
) -> Result<AccessToken, IamError> {
    let asked_at = reach.now();
    let body = AccessBody {
        delegates: &target.delegates,
        scope: scopes,
        lifetime: format!("{}s", target.lifetime.as_secs()),
    };
    let url = &target.access;
    let answer = post(reach, target, url, bearer, &body).await?;
    let told = |source| IamError::Endpoint {
        email: target.email.clone(),
        source,
    };
    let missing = |field| {
        told(EndpointError::Field {
            url: url.clone(),
            field,
        })
    };
    let answer: AccessAnswer = json(url, &answer).map_err(told)?;
    let until = answer.expire_time.and_then(|text| text.parse().ok());
    let until: jiff::Timestamp = until.ok_or_else(|| missing("expireTime"))?;
    let until = u64::try_from(until.as_second()).map_err(|_| missing("expireTime"))?;
    let secret = answer
        .access_token
        .filter(|token| is_usable(token))
        .ok_or_else(|| missing("accessToken"))?;
    // By the server's clock; never longer than was asked for, counted by ours from before the question.
    let longest = after(asked_at, target.lifetime.as_secs()).as_secs();
    let expires_at = UnixTime::since_unix_epoch(Duration::from_secs(until.min(longest)));
    Ok(AccessToken::new(secret, "Bearer".to_owned(), expires_at))
}

/// `generateIdToken`.
pub(crate) async fn id(
    reach: &Reach,
    target: &Target,
    bearer: &AccessToken,
    audience: &str,
    include_email: bool,
) -> Result<IdToken, IamError> {
    let asked_at = reach.now();
    let body = IdBody {
        delegates: &target.delegates,
        audience,
        include_email,
    };
    let url = &target.id;
    let answer = post(reach, target, url, bearer, &body).await?;
    let told = |source| IamError::Endpoint {
        email: target.email.clone(),
        source,
    };
    let answer: IdAnswer = json(url, &answer).map_err(told)?;
    let secret = answer.token.filter(|token| is_usable(token)).ok_or_else(|| {
        told(EndpointError::Field {
            url: url.clone(),
            field: "token",
        })
    })?;
    claims::id_token(url, secret, audience, asked_at).map_err(told)
}

async fn post(
    reach: &Reach,
    target: &Target,
    url: &Url,
    bearer: &AccessToken,
    body: &impl Serialize,
) -> Result<Answer, IamError> {
    let told = |source| IamError::Endpoint {
        email: target.email.clone(),
        source,
    };
    let field = |field| EndpointError::Field {
        url: url.clone(),
        field,
    };
    let body = serde_json::to_vec(body).map_err(|_| told(field("request")))?;
    let line = Zeroizing::new(format!("Bearer {}", bearer.secret.as_str()));
    let mut authorization =
        HeaderValue::from_str(&line).map_err(|_| told(field("Authorization header for its request")))?;
    authorization.set_sensitive(true);
    let call = |url| {
        let mut call = Call::json(url, Zeroizing::new(body.clone()));
        call.headers.push((AUTHORIZATION, authorization.clone()));
        call
    };
    let answer = send(&reach.web, url, call)
        .await
        .map_err(|e| told(EndpointError::Web(e)))?;
    match answer.status {
        StatusCode::OK => Ok(answer),
        _ => Err(refused(target, url, bearer, &answer)),
    }
}

/// The error of a Google API (AIP-193).
#[derive(Default, Deserialize)]
struct Refusal {
    error: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    reason: String,
}

fn refused(target: &Target, url: &Url, bearer: &AccessToken, answer: &Answer) -> IamError {
    let Refusal { error } = serde_json::from_slice(&answer.body).unwrap_or_default();
    let email = target.email.clone();
    let message = if error.message.is_empty() || error.message.contains(bearer.secret.as_str()) {
        "no reason in the answer".to_owned()
    } else {
        shown(&error.message)
    };
    let reason = |wanted| error.details.iter().any(|detail| detail.reason == wanted);
    match answer.status.as_u16() {
        400 => IamError::BadRequest { email, message },
        401 => IamError::Unauthorized { email, message },
        403 if reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT") => IamError::SourceScope { email },
        403 if reason("SERVICE_DISABLED") => IamError::ApiOff { email },
        403 => IamError::Denied { email, message },
        404 => IamError::NoAccount { email, message },
        status => IamError::Endpoint {
            email,
            source: EndpointError::Busy {
                url: url.clone(),
                status,
                retry_after: retry_after(answer),
            },
        },
    }
}
