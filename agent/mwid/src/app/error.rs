//! Why the daemon does not start, or ends.
use super::doors::DoorError;
use super::lock::LockError;
use crate::caller::RulesError;
use crate::dev::workloads::WorkloadError;
use crate::proxy::ProxyError;
use crate::publish::PublishError;
use crate::telemetry::logging::LoggingError;
use crate::tokens::TokenError;
use crate::units::listen::ListenError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the daemon does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    #[error("the runtime directory cannot be used")]
    Lock(#[source] LockError),
    #[error("logging cannot start")]
    Logging(#[source] LoggingError),
    #[error("the threads cannot start")]
    Runtime(#[source] io::Error),
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    #[error("the sockets that systemd passes cannot be taken")]
    Passed(#[source] ListenError),
    #[error("nothing can be published by these settings")]
    Publish(#[source] PublishError),
    #[error("the access rules cannot be put in force")]
    Rules(#[source] RulesError),
    #[error("tokens.source")]
    Tokens(#[source] TokenError),
    #[error("the embedded platform cannot listen on 127.0.0.1")]
    Embedded(#[source] io::Error),
    #[error("a listener cannot be opened")]
    Door(#[source] DoorError),
    #[error("the proxy's routes cannot be put in force")]
    Proxy(#[source] ProxyError),
    #[error("the embedded platform published nothing in {} within {patience:?}; its log above says why", directory.display())]
    NotReady { directory: PathBuf, patience: Duration },
    #[error("the workloads of the demo cannot run")]
    Workload(#[source] WorkloadError),
}

/// What kind of trouble it is, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// Somebody else has it: another daemon, a port in use.
    Busy,
    /// The settings name something that cannot be.
    Settings,
    /// The system refused.
    System,
}

impl AppError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Lock(LockError::Held { .. }) | Self::Door(_) | Self::Proxy(_) => ErrorKind::Busy,
            Self::Publish(_) | Self::Rules(_) | Self::Tokens(_) => ErrorKind::Settings,
            _ => ErrorKind::System,
        }
    }
}
