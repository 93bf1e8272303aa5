//! Why a credential is not given. In: what failed. Out: words for the operator, and one word for the metrics. Never holds a byte of a key.
use super::door::{OTHERS, WAIT};
use crate::caller::Denial;
use crate::files::FilesError;
use std::io;
use std::sync::Arc;

/// Why a unit does not get its credential, and so does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "the caller has not the address that systemd gives itself for a service's credential: name this socket in LoadCredential= of a \
         service; other programs read the published directory or the Workload API"
    )]
    Address,
    #[error(transparent)]
    Denied(Arc<Denial>),
    #[error(
        "no access rule grants this unit the identity; its operator can, by a rule on the unit alone: \
         who: {{ unit: … }}, may: {{ identity: true }}"
    )]
    NotGranted,
    #[error(
        "mwid has no file of this name: name the credential as the published file that is wanted, such as private_key.pem, certificates.pem, \
         ca_certificates.pem, credential-bundle.private-key.x509.pem or trust_bundles.json"
    )]
    NoFile,
    #[error("there is no valid identity, and there came none in {} s, or it was taken away meanwhile; mwid status says why", WAIT.as_secs())]
    NoIdentity,
    #[error("the file cannot be made")]
    Files(#[source] FilesError),
    #[error("the thread that made the file ended early")]
    Worker,
    #[error("the file has {size} bytes, and systemd takes no more than {most}")]
    Size { size: usize, most: usize },
    #[error("the answer could not be written")]
    Write(#[source] io::Error),
    #[error("systemd did not read the answer in time")]
    Slow,
    #[error(
        "{OTHERS} callers who are not root's service manager are being told so already: name this socket in LoadCredential= of a service; other \
         programs read the published directory or the Workload API"
    )]
    Crowded,
}

impl Refusal {
    /// A label of metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Address => "wrong_address",
            Self::Denied(_) => "unattested",
            Self::NotGranted => "denied",
            Self::NoFile => "no_file",
            Self::NoIdentity => "no_identity",
            Self::Files(_) | Self::Worker | Self::Size { .. } => "failed",
            Self::Write(_) | Self::Slow => "not_read",
            Self::Crowded => "crowded",
        }
    }

    /// What is on the callers' record under their own names is not told twice in the log.
    pub(super) fn is_on_record(&self) -> bool {
        matches!(
            self,
            Self::Denied(_) | Self::NotGranted | Self::NoFile | Self::Crowded
        )
    }
}
