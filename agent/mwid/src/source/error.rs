//! Why a source has no candidate. In: what went wrong. Out: words with context, and a short name for metrics.
//! Never holds key bytes.
use super::dev_ca::DevCaError;
use crate::metadata::MetadataError;
use crate::workload_client::ClientError;
use mtls_identity::dir::{ConfigStatus, ReadError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("the guest agent's directory gives no identity")]
    Read(#[source] ReadError),
    #[error(
        "the platform reports trouble with the identity in {from}, so the next rotation may fail: {status}; see the VM's workload identity configuration"
    )]
    ConfigStatus { from: String, status: ConfigStatus },
    #[error("the metadata server gives no identity")]
    Metadata(#[source] MetadataError),
    #[error("the agent gives no identity")]
    WorkloadApi(#[source] ClientError),
    #[error("no source has an identity now, all are looked at again; tried {}", tried.join("; "))]
    NothingFound { tried: Vec<String> },
    #[error("the development CA could not issue an identity")]
    DevCa(#[source] DevCaError),
    #[error("no thread for the source could be started; the limit of processes may be reached")]
    Thread(#[source] std::io::Error),
    #[error("the source {kind} has ended; restart mwid")]
    Ended { kind: String },
}

impl SourceError {
    /// Whether asking again soon is pointless.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(self, Self::Metadata(error) if error.is_lasting())
    }

    /// A short name out of a small fixed set.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Read(e) => e.reason(),
            Self::Metadata(e) => e.reason(),
            Self::ConfigStatus { .. } => "config_status",
            Self::WorkloadApi(e) => e.reason(),
            Self::NothingFound { .. } => "nothing_found",
            Self::DevCa(_) => "dev_ca",
            Self::Thread(_) => "thread",
            Self::Ended { .. } => "ended",
        }
    }
}
