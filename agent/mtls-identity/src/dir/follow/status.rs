//! How following goes. In: what the thread saw. Out: values for people and programs. Never holds key bytes.
use super::{ReadError, Refusal};
use crate::dir::read::ConfigStatus;
use pki_types::UnixTime;
use std::sync::Arc;

/// Why a directory cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// No thread.
    #[error("cannot start the thread that follows the directory; the limit of processes may be reached")]
    Thread(#[source] std::io::Error),
}

/// Why the directory's files are not the identity in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowTrouble {
    /// No candidate could be read.
    #[error("the directory gave no candidate")]
    Read(#[source] ReadError),
    /// A candidate was read, but not proven.
    #[error("the candidate was refused")]
    Refused(#[source] Refusal),
}

/// How following a directory goes.
#[derive(Clone, Debug, Default)]
pub struct FollowStatus {
    trouble: Option<Arc<FollowTrouble>>,
    watch_trouble: Option<String>,
    config_status: Option<ConfigStatus>,
    last_read: Option<UnixTime>,
}

impl FollowStatus {
    /// Why what lies in the directory now is not used, until it is.
    pub fn trouble(&self) -> Option<&FollowTrouble> {
        self.trouble.as_deref()
    }

    /// Why changes are only seen by polling, if so.
    pub fn watch_trouble(&self) -> Option<&str> {
        self.watch_trouble.as_deref()
    }

    /// What the platform reported beside the files when they were last read.
    pub fn config_status(&self) -> Option<&ConfigStatus> {
        self.config_status.as_ref()
    }

    /// When the directory last gave a whole candidate, good or not.
    pub fn last_read(&self) -> Option<UnixTime> {
        self.last_read
    }

    pub(super) fn set_read(&mut self, at: UnixTime, status: Option<ConfigStatus>, watch: Option<String>) {
        self.last_read = Some(at);
        self.config_status = status;
        self.watch_trouble = watch;
    }

    pub(super) fn set_trouble(&mut self, trouble: Arc<FollowTrouble>, watch: Option<String>) {
        self.trouble = Some(trouble);
        if watch.is_some() {
            self.watch_trouble = watch;
        }
    }

    pub(super) fn clear_trouble(&mut self) -> bool {
        self.trouble.take().is_some()
    }
}
