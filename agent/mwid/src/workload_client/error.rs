//! Why a Workload API gave nothing. Never holds a part of a message.
use crate::config::Endpoint;
use crate::grpc::Code;
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

impl ClientError {
    /// A short name out of a small fixed set, for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::Call {
                source: CallError::Refused(status),
                ..
            } if status.code == Code::PERMISSION_DENIED => "denied",
            Self::Call {
                source: CallError::Refused(status),
                ..
            } if status.code == Code::UNAVAILABLE => "unavailable",
            Self::Call { .. } => "call_failed",
            Self::Answer {
                source: AnswerError::Hint { .. },
                ..
            } => "no_such_hint",
            Self::Answer { .. } => "not_usable",
        }
    }
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the stream ended without a message")]
    Nothing,
    #[error("it holds no SVID")]
    NoSvid,
    #[error(
        "it holds no SVID with the hint {wanted:?}, but with {}; correct the hint, or what the agent has for this user",
        shown(there)
    )]
    Hint { wanted: String, there: Vec<String> },
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

/// A few hints, as others wrote them.
fn shown(hints: &[String]) -> String {
    const MOST: usize = 8;
    const LONGEST: usize = 64;
    let short = |hint: &String| format!("{:?}", hint.chars().take(LONGEST).collect::<String>());
    let mut shown: Vec<_> = hints.iter().take(MOST).map(short).collect();
    if hints.len() > MOST {
        shown.push(format!("{} more", hints.len() - MOST));
    }
    shown.join(", ")
}
