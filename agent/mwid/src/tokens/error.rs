//! Why there is no token. In: what went wrong at a source. Out: words with what to do, and what kind of failure it is. Cheap to clone: one
//! failed fetch is told to all who waited for it. Never holds a token or a body that could be one.
use super::adc::AdcError;
use super::endpoint::iam::{IamError, TargetError};
use super::metadata::ServerError;
use std::path::PathBuf;
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

impl Failure {
    /// For a source: it may be there later, and the cache alone says when it is asked again.
    pub(crate) const LATER: Self = Self::Unavailable {
        retry_after: Duration::from_secs(1),
    };
}

/// Why there is no token. A cause that is not `Clone` is in an `Arc`.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TokenError {
    // The room itself.
    #[error(
        "there is no source of tokens here; set tokens.source in the configuration (metadata, adc, impersonate or dev)"
    )]
    NoSource,
    #[error(
        "auto found no source of tokens: GOOGLE_APPLICATION_CREDENTIALS is not set, this machine is no VM of Compute Engine, and {} is not \
         there; run `gcloud auth application-default login`, or set tokens.source in the configuration",
        well_known.as_deref().map_or_else(|| "gcloud's file (HOME is not set)".into(), std::path::Path::to_string_lossy)
    )]
    NothingFound { well_known: Option<PathBuf> },
    #[error(
        "tokens.source is dev, but the embedded platform does not run; start mwid with --dev, or set another source"
    )]
    NoDevPlatform,
    #[error(
        "no valid token is here, and the source ({kind}) gave none; it is asked again in {}",
        humantime::format_duration(Duration::from_secs(retry_after.as_secs()))
    )]
    Unavailable {
        kind: &'static str,
        /// Whole seconds, at least one.
        retry_after: Duration,
        #[source]
        cause: Arc<TokenError>,
    },
    #[error(
        "the source of tokens ({kind}) did not answer within {}; see what blocks it, it is asked again",
        humantime::format_duration(*after)
    )]
    TimedOut { kind: &'static str, after: Duration },
    #[error(
        "the source of tokens ({kind}) broke while it was asked, which is a fault of mwid; please report it with the log's lines before this one"
    )]
    Broke { kind: &'static str },
    #[error(
        "the source of tokens ({kind}) handed out a token that has expired already; compare this machine's clock with the platform's (timedatectl)"
    )]
    ExpiredAlready { kind: &'static str },
    #[error(
        "the source of tokens ({kind}) has {most} questions under way, no more are begun; ask again later"
    )]
    TooManyAtOnce { kind: &'static str, most: usize },
    #[error(
        "you have as many questions under way at the source of tokens ({kind}) as one user may have; ask again when some of them are answered"
    )]
    TooManyOfYours { kind: &'static str },
    #[error(
        "the source of tokens ({kind}) has so many questions under way that this one waited {} in line for its turn; ask again later, or ask for \
         fewer different scopes and audiences at once",
        humantime::format_duration(*after)
    )]
    NoTurn { kind: &'static str, after: Duration },
    #[error("the credentials of the source of tokens ({kind}) changed while it was asked; ask again")]
    OtherCredentials { kind: &'static str },
    #[error("mwid stops, no token is fetched any more")]
    Stopping,
    // The source `metadata`: variants from here.
    #[error(transparent)]
    Metadata(Arc<ServerError>),
    // The source `adc`: variants from here.
    #[error(transparent)]
    Adc(Arc<AdcError>),
    // The source `impersonate`: variants from here.
    #[error(transparent)]
    Impersonate(Arc<IamError>),
    #[error(
        "the endpoint {endpoint:?} of tokens.source is no URL for the IAM Credentials API; write https://HOST"
    )]
    ImpersonateUrl {
        endpoint: String,
        #[source]
        source: Arc<TargetError>,
    },
    #[error("{email} is not impersonated: the source that it stands on gave no token")]
    ImpersonateKey {
        email: String,
        #[source]
        cause: Arc<TokenError>,
    },
    // Both of them.
    #[error(
        "the source of tokens ({kind}) binds no token to a certificate or a transport, and gives no weaker one; only the metadata server does"
    )]
    NoBinding { kind: &'static str },
    #[error(
        "there is no account {asked:?} at the source of tokens ({kind}), only {ours}; ask for that one, or for `default`"
    )]
    OtherAccount {
        kind: &'static str,
        asked: String,
        ours: String,
    },
}

impl TokenError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::NoSource | Self::NothingFound { .. } => Failure::NoAccount,
            Self::NoDevPlatform => Failure::BadRequest,
            Self::Unavailable { retry_after, .. } => Failure::Unavailable {
                retry_after: *retry_after,
            },
            Self::TimedOut { .. }
            | Self::Broke { .. }
            | Self::ExpiredAlready { .. }
            | Self::TooManyAtOnce { .. }
            | Self::TooManyOfYours { .. }
            | Self::NoTurn { .. }
            | Self::OtherCredentials { .. }
            | Self::Stopping => Failure::LATER,
            // The source `metadata`: from here.
            Self::Metadata(error) => error.failure(),
            // The source `adc`: from here.
            Self::Adc(error) => error.failure(),
            // The source `impersonate`: from here.
            Self::Impersonate(error) => error.failure(),
            Self::ImpersonateUrl { .. } => Failure::BadRequest,
            Self::ImpersonateKey { cause, .. } => cause.failure(),
            // Both of them.
            Self::NoBinding { .. } => Failure::Refused,
            Self::OtherAccount { .. } => Failure::NoAccount,
        }
    }

    /// A short name out of a small fixed set, for metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self.failure() {
            Failure::NoAccount => "no_account",
            Failure::BadRequest => "bad_request",
            Failure::Refused => "refused",
            Failure::Unavailable { .. } => "unavailable",
        }
    }
}
