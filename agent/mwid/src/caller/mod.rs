//! Callers: who is at the other end of a Unix socket, as the kernel says.
//!
//! In: a connected stream. Out: a [`Caller`], or why there is none. Never asks the other side, and never lets one through whom
//! it cannot tell from others.
mod access;
mod evidence;

pub(crate) use access::{Access, Grant, Metrics, Refusal, Rules, RulesError, Visitor, What};
pub(crate) use evidence::Evidence;

use std::fmt;
use std::io;
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

/// Why a caller is not served. The text is for the caller; the operator gets it too.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denial {
    #[error("the kernel does not say who you are")]
    Unknown(#[source] io::Error),
    #[error(
        "you, uid {uid}, are in a process namespace that mwid cannot see into (pid 0): call from the host's"
    )]
    Pid { uid: u32 },
    #[error(
        "the user of your process {pid} has no number here (the kernel shows uid {uid}): \
         call from the host's user namespace, and not as nobody"
    )]
    Uid { pid: i32, uid: u32 },
}

impl Denial {
    /// One word for it: a label of metrics, and what the record merges by.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Pid { .. } => "pid_namespace",
            Self::Uid { .. } => "user_namespace",
        }
    }
}

/// Attests callers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attestor {
    /// The number that the kernel shows for every user whom our user namespace has no number for.
    overflow_uid: u32,
}

impl Attestor {
    /// Reads from the system what an attestation needs.
    pub(crate) fn new() -> Self {
        let told = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
        // The kernel's own default, where /proc is not to be read.
        let overflow_uid = told
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(65534);
        Self { overflow_uid }
    }

    #[cfg(test)]
    pub(crate) fn with_overflow_uid(overflow_uid: u32) -> Self {
        Self { overflow_uid }
    }

    /// Whether this process runs as the user whom the kernel also shows for all that it cannot name: then its own user would
    /// be denied, or everybody of another user namespace let in.
    pub(crate) fn denies_its_own_user(self) -> bool {
        self.overflow_uid == nix::unistd::geteuid().as_raw()
    }

    /// The user's number as the kernel shows it, whether it names a caller or not: good for counting, not for trusting.
    pub(crate) fn uid(self, stream: &UnixStream) -> u32 {
        stream.peer_cred().map_or(self.overflow_uid, |told| told.uid())
    }

    /// Who connected this stream.
    pub(crate) fn attest(self, stream: &UnixStream) -> Result<Caller, Denial> {
        let told = stream.peer_cred().map_err(Denial::Unknown)?;
        self.decide(told.pid().unwrap_or(0), told.uid(), told.gid())
    }

    fn decide(self, pid: i32, uid: u32, gid: u32) -> Result<Caller, Denial> {
        if pid <= 0 {
            return Err(Denial::Pid { uid });
        }
        if uid == self.overflow_uid {
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
        let attestor = Attestor { overflow_uid: 65534 };
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
