//! Callers: who is at the other end of a local socket, as the kernel says, and what it may have.
//!
//! In: a connected stream, the access rules. Out: a [`Caller`] or [`Evidence`], a [`Grant`], or why there is none. Never asks the
//! other side, and never lets one through whom it cannot tell from others.
//!
//! What each transport proves (it is always about the process that made the connection: whoever is handed its socket speaks
//! in its name):
//!
//! | | Unix socket, Linux 6.5 | Unix socket, older | TCP on loopback |
//! |---|---|---|---|
//! | uid | at connect() | at connect() | of the socket's maker |
//! | gid, groups | at connect() | at connect() | not known |
//! | pid | at connect(), held by pidfd | at connect(); held from when it was met, which is weaker | not known |
//! | unit | of that process | of the process with that number and user | of the socket's maker, at that time |
//! | exe, sha256 | of that process; another user's needs CAP_SYS_PTRACE | the same, weaker | not known |
//!
//! All this holds for as long as the process lives and its unit is not stopped or started anew. When the process has ended nothing more is handed out on
//! its connection, whoever has it now; a connection of the proxy goes on if its user may have it, for what was written has to arrive. When the unit's run
//! is over the user is still proven, but the unit is not: a stream that goes on is decided again without it, at once, for the kernel tells of both
//! ends (of the unit's by the links of `/run/systemd/units`; where the tables for such events are full, one look in five seconds finds out). A
//! process that outlives its unit's stop (`KillMode=`) is of no unit, and is not the next run's either: who started before a service's present run did
//! is of none (on TCP, where the process is not known, as long as one such is left in the control group). What such a process starts itself is
//! not told from what the service starts. A unit is looked for by the control group, and so is that of a process which
//! a unit forked, whatever became of its parent.
//!
//! What is a boundary: the user, a group, and a unit of the system's service manager, for nobody but root moves a process into
//! another's unit. **A rule on `exe` or `sha256` alone is no boundary**: whoever may run the program can run it under its own
//! conditions (preloaded code, a debugger, a connection made before `execve`); they narrow a rule on user or unit further.
//! **Container root without a user namespace is root**: it is uid 0 to the kernel, and so to us. Somebody else's proxy on
//! loopback is, for all that the kernel tells, the caller.
mod access;
mod denial;
mod evidence;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use access::{Access, Grant, Metrics, Receipt, Refusal, Rules, RulesError, Visitor, Watch, What};
pub(crate) use denial::Denial;
pub(crate) use evidence::Evidence;

use evidence::{Cgroups, Digests, Invocations, SocketTable};
use std::fmt;
use std::sync::Arc;
use tokio::net::UnixStream;

/// A local process at one of our sockets, as it was when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Caller {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} uid {} gid {}", self.pid, self.uid, self.gid)
    }
}

/// Attests callers. Cheap to clone; clones share what they have looked up.
#[derive(Clone, Debug)]
pub(crate) struct Attestor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The number that the kernel shows for every user whom our user namespace has no number for.
    overflow_uid: u32,
    /// The same of groups.
    overflow_gid: u32,
    digests: Digests,
    sockets: SocketTable,
    cgroups: Cgroups,
    invocations: Invocations,
}

/// The kernel's own default, where /proc is not to be read.
const OVERFLOW: u32 = 65534;

impl Attestor {
    /// Reads from the system what an attestation needs. Opens nothing.
    pub(crate) fn new() -> Self {
        let number = |file| {
            std::fs::read_to_string(file)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(OVERFLOW)
        };
        Self::with(
            number("/proc/sys/kernel/overflowuid"),
            number("/proc/sys/kernel/overflowgid"),
            Invocations::new(),
        )
    }

    fn with(overflow_uid: u32, overflow_gid: u32, invocations: Invocations) -> Self {
        Self(Arc::new(Shared {
            overflow_uid,
            overflow_gid,
            digests: Digests::default(),
            sockets: SocketTable::default(),
            cgroups: Cgroups::default(),
            invocations,
        }))
    }

    #[cfg(test)]
    pub(crate) fn with_units_at(directory: &std::path::Path) -> Self {
        Self::with(OVERFLOW, OVERFLOW, Invocations::at(directory))
    }

    #[cfg(test)]
    pub(crate) fn with_overflow_uid(overflow_uid: u32) -> Self {
        Self::with(overflow_uid, OVERFLOW, Invocations::new())
    }

    /// Whether this process runs as the user whom the kernel also shows for all that it cannot name: then its own user would
    /// be denied, or everybody of another user namespace let in.
    pub(crate) fn denies_its_own_user(&self) -> bool {
        self.0.overflow_uid == nix::unistd::geteuid().as_raw()
    }

    /// The user's number as the kernel shows it, whether it names a caller or not: good for counting, not for trusting.
    pub(crate) fn uid(&self, stream: &UnixStream) -> u32 {
        stream.peer_cred().map_or(self.0.overflow_uid, |told| told.uid())
    }

    /// Who connected this stream.
    pub(crate) fn attest(&self, stream: &UnixStream) -> Result<Caller, Denial> {
        let told = stream.peer_cred().map_err(Denial::Unknown)?;
        self.decide(told.pid().unwrap_or(0), told.uid(), told.gid())
    }

    fn decide(&self, pid: i32, uid: u32, gid: u32) -> Result<Caller, Denial> {
        if pid <= 0 {
            return Err(Denial::Pid { uid });
        }
        if uid == self.0.overflow_uid {
            return Err(Denial::Uid { pid, uid });
        }
        Ok(Caller { pid, uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_is_who_the_kernel_says() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let caller = Attestor::new().attest(&ours).unwrap();
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(caller, Caller { pid, uid, gid });
        assert_eq!(caller.to_string(), format!("pid {pid} uid {uid} gid {gid}"));
    }

    #[test]
    fn whom_the_kernel_cannot_name_is_denied() {
        let attestor = Attestor::with_overflow_uid(65534);
        assert!(
            matches!(attestor.decide(0, 0, 0), Err(Denial::Pid { uid: 0 })),
            "also root"
        );
        assert!(matches!(
            attestor.decide(7, 65534, 7),
            Err(Denial::Uid { pid: 7, uid: 65534 })
        ));
        assert!(
            attestor.decide(7, 7, 65534).is_ok(),
            "a group nogroup is ordinary"
        );
    }
}
