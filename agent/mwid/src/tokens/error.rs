//! Why there is no token. In: what went wrong at a source. Out: words with what to do, and what kind of failure it is. Cheap to clone: one
//! failed fetch is told to all who waited for it. Never holds a token or a body that could be one.
use std::sync::Arc;
use std::time::Duration;

/// What a failure means to who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is no such account at the source: 404.
    NoAccount,
    /// The source does not give this, however often it is asked: 400.
    BadRequest,
    /// It would have to be wider or weaker than what was asked for: 403, with what to set up.
    Refused,
    /// It may be there later: 503 with Retry-After.
    Unavailable { retry_after: Duration },
}

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(
        "there is no source of tokens here; set tokens.source in the configuration (metadata, adc, impersonate or dev)"
    )]
    NoSource,
    /// Replaced by one variant for each thing that can go wrong.
    #[error("{what}")]
    Placeholder {
        what: &'static str,
        #[source]
        source: Option<Arc<crate::metadata::MetadataError>>,
        failure: Failure,
    },
}

impl TokenError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::NoSource => Failure::NoAccount,
            Self::Placeholder { failure, .. } => *failure,
        }
    }
}
