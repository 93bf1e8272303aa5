//! Why a Workload API gave nothing. Never holds a part of a message.
use super::Endpoint;
use crate::grpc::client::CallError;
use mtls_identity::bundle::BundleError;
use mtls_identity::spiffe_id::SpiffeIdError;
use std::io;
use std::time::Duration;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "cannot connect to the Workload API at {endpoint}: is its agent running, and may this user connect?"
    )]
    Connect {
        endpoint: Endpoint,
        #[source]
        source: io::Error,
    },
    #[error("the Workload API at {endpoint} did not answer within {}", humantime::format_duration(*within))]
    TimedOut { endpoint: Endpoint, within: Duration },
    #[error("the Workload API at {endpoint} gives no answer")]
    Call {
        endpoint: Endpoint,
        #[source]
        source: CallError,
    },
    #[error("the answer of the Workload API at {endpoint} is not usable")]
    Answer {
        endpoint: Endpoint,
        #[source]
        source: AnswerError,
    },
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the stream ended without a message")]
    Nothing,
    #[error("it holds no SVID")]
    NoSvid,
    #[error("{what} is no run of whole certificates in DER")]
    Certificates { what: &'static str },
    #[error("SVID {position} is said to be of {said:?}")]
    Id {
        position: usize,
        said: String,
        #[source]
        source: SpiffeIdError,
    },
    #[error("a bundle is named {said:?}, which is no trust domain")]
    TrustDomain {
        said: String,
        #[source]
        source: SpiffeIdError,
    },
    #[error("a bundle cannot be used")]
    Bundle(#[source] BundleError),
}
