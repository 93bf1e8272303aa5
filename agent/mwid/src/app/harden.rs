//! What the process gives up before it reads its first secret (promise 6).
//!
//! In: nothing. Out: a process whose memory neither a core file nor another process of the same user can show. Never undone.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Why the process could not be closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HardenError {
    #[error(
        "cannot make the process undumpable (PR_SET_DUMPABLE); mwid does not hold keys in a process that others may read"
    )]
    Dumpable(#[source] nix::Error),
    #[error("cannot forbid core files (RLIMIT_CORE = 0); mwid does not write keys to disk in a crash")]
    Core(#[source] nix::Error),
}

/// No core files, not dumpable: a crash writes no memory, and ptrace or /proc/PID/mem of the same user is refused.
/// The soft limit alone is lowered, so that commands which we start can have their own again.
pub(crate) fn close_process() -> Result<(), HardenError> {
    let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_CORE).map_err(HardenError::Core)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard).map_err(HardenError::Core)?;
    prctl::set_dumpable(false).map_err(HardenError::Dumpable)
}
