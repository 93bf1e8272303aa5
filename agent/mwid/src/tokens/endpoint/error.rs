//! Why an endpoint gave no token. In: what went wrong. Out: words with what to do, and what it means to who asked. Never holds a body; a
//! server's own words only as far as they cannot be a token.
use crate::http::web::{Url, WebError};
use crate::tokens::Failure;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("no token endpoint was reached")]
    Web(#[source] WebError),
    #[error("{url} is busy (status {status}); it is asked again")]
    Busy {
        url: Url,
        status: u16,
        retry_after: Option<Duration>,
    },
    #[error(
        "{url} does not take the credentials (status {status}, {code}: {description}); {}",
        advice(code)
    )]
    Refused {
        url: Url,
        status: u16,
        /// `error` of RFC 6749, 5.2, or what stands for it in an error of a Google API.
        code: String,
        description: String,
    },
    #[error(
        "the answer of {url} is not the JSON that it should be (line {line}, column {column}); see what answers there"
    )]
    Json { url: Url, line: usize, column: usize },
    #[error("the answer of {url} has no usable {field}; see what answers there")]
    Field { url: Url, field: &'static str },
    #[error(
        "{url} gave a token with the scopes {given:?} where {asked:?} were asked for, which is not handed on; ask for scopes that the \
         account has"
    )]
    Scopes {
        url: Url,
        asked: Vec<String>,
        given: Vec<String>,
    },
    #[error("the ID token from {url} is for the audience {given:?}, not for {asked:?}, and is not handed on")]
    Audience { url: Url, asked: String, given: String },
}

fn advice(code: &str) -> &'static str {
    match code {
        "invalid_grant" => {
            "the credentials have expired, were revoked, or this machine's clock is wrong; make new ones (`gcloud auth application-default \
             login`, or a new key), and compare the clock (timedatectl)"
        }
        "invalid_client" | "unauthorized_client" | "deleted_client" => {
            "the client or the account is disabled or gone; make new credentials"
        }
        "invalid_scope" => "ask for scopes that exist and that the credentials have",
        "invalid_target" => "correct the audience: the pool or its provider is disabled or gone",
        _ => "correct the credentials, or what they are allowed to do",
    }
}

impl EndpointError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Busy {
                retry_after: Some(retry_after),
                ..
            } => Failure::Unavailable {
                retry_after: *retry_after,
            },
            Self::Refused { code, .. } if code == "invalid_scope" => Failure::BadRequest,
            Self::Scopes { .. } | Self::Audience { .. } => Failure::Refused,
            // Who repairs the credentials or the network changes no question: it may be there later.
            Self::Web(_)
            | Self::Busy { .. }
            | Self::Refused { .. }
            | Self::Json { .. }
            | Self::Field { .. } => Failure::LATER,
        }
    }
}
