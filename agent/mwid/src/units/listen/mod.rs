//! Sockets that systemd opened for us (`systemd:NAME` in the configuration).
//!
//! In: LISTEN_FDS and LISTEN_FDNAMES, once. Out: duplicates of each descriptor, by name, as often as a reload asks. Never takes a descriptor that was
//! not passed to this very process, and never closes one: what a reload leaves out, another may take up again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether this process's descriptors have been taken: there is only one set of them.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Sockets by name. Several may share a name (one `.socket` unit with several `ListenStream=`). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed(Arc<Mutex<BTreeMap<String, Sockets>>>);

#[derive(Debug, Default)]
struct Sockets {
    fds: Vec<OwnedFd>,
    /// Somebody has asked for them.
    named: bool,
}

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
    let passed = Passed::default();
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(passed);
    }
    let found = sd_notify::listen_fds_with_names().map_err(|source| ListenError::Environment { source })?;
    let found: Vec<(RawFd, String)> = found.collect();
    for (fd, name) in found {
        // SAFETY: sd_listen_fds(3): with LISTEN_PID naming this process (checked above), these descriptors were opened for
        // us before the exec and belong to nobody else here; TAKEN makes sure that they get one owner only.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        passed.all().entry(name).or_default().fds.push(fd);
    }
    Ok(passed)
}

impl Passed {
    /// A duplicate of every socket of this name; none: systemd passed none.
    pub(crate) fn by_name(&self, name: &str) -> io::Result<Vec<OwnedFd>> {
        let mut all = self.all();
        let Some(sockets) = all.get_mut(name) else {
            return Ok(vec![]);
        };
        sockets.named = true;
        sockets.fds.iter().map(OwnedFd::try_clone).collect()
    }

    /// What nobody has asked for yet: worth a warning, because its clients would wait for ever.
    pub(crate) fn unused(&self) -> Vec<String> {
        let all = self.all();
        let unused = all.iter().filter(|(_, sockets)| !sockets.named);
        unused.map(|(name, _)| name.clone()).collect()
    }

    /// Sockets that were opened by somebody else, as if systemd had passed them.
    #[cfg(test)]
    pub(crate) fn of(sockets: impl IntoIterator<Item = (&'static str, OwnedFd)>) -> Self {
        let passed = Self::default();
        for (name, fd) in sockets {
            passed.all().entry(name.to_owned()).or_default().fds.push(fd);
        }
        passed
    }

    /// Nothing in here panics half way.
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Sockets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
