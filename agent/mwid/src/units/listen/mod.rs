//! Sockets that systemd opened for us (`systemd:NAME` in the configuration).
//!
//! In: LISTEN_FDS and LISTEN_FDNAMES, once. Out: each descriptor once, by name. Never takes a descriptor that was not
//! passed to this very process, never gives one out twice.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process's descriptors have been taken: there is only one set of them.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Sockets by name. Several may share a name (one `.socket` unit with several `ListenStream=`).
#[derive(Debug, Default)]
pub(crate) struct Passed(BTreeMap<String, Vec<OwnedFd>>);

/// Why systemd's sockets cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error(
        "LISTEN_FDS or LISTEN_FDNAMES is not as systemd sets it; start mwid through its socket unit, or unset both"
    )]
    Environment {
        #[source]
        source: io::Error,
    },
}

/// All sockets that systemd passed; none outside systemd, or when they have been taken before.
pub(crate) fn take() -> Result<Passed, ListenError> {
    let mut passed = Passed::default();
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(passed);
    }
    let found = sd_notify::listen_fds_with_names().map_err(|source| ListenError::Environment { source })?;
    let found: Vec<(RawFd, String)> = found.collect();
    for (fd, name) in found {
        // SAFETY: sd_listen_fds(3): with LISTEN_PID naming this process (checked above), these descriptors were opened for
        // us before the exec and belong to nobody else here; TAKEN makes sure that they get one owner only.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        passed.0.entry(name).or_default().push(fd);
    }
    Ok(passed)
}

impl Passed {
    /// Every socket of this name; each is given out once.
    pub(crate) fn by_name(&mut self, name: &str) -> Vec<OwnedFd> {
        self.0.remove(name).unwrap_or_default()
    }

    /// What nobody has asked for yet: worth a warning, because its clients would wait for ever.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
