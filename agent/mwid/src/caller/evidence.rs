//! What the kernel says about one connection's other end.
use super::{Attestor, Denial};
use crate::http::Stream;
use std::path::Path;

/// What was seen when the connection came, and what can still be looked up while it lives. What is found once is kept.
#[derive(Debug)]
pub(crate) struct Evidence {}

/// The program of a process.
#[derive(Debug)]
pub(crate) struct Exe {
    pub(crate) path: std::path::PathBuf,
}

impl Attestor {
    /// Who connected: on a Unix socket by its credentials, groups and pidfd; on loopback TCP by the kernel's socket table.
    pub(crate) fn evidence(&self, _stream: &Stream) -> Result<Evidence, Denial> {
        todo!()
    }
}

impl Evidence {
    pub(crate) fn uid(&self) -> u32 {
        todo!()
    }

    /// Primary group; not known on TCP.
    pub(crate) fn gid(&self) -> Option<u32> {
        todo!()
    }

    /// All groups, the primary one too; none on TCP, where the kernel tells the user alone.
    pub(crate) fn groups(&self) -> Option<&[u32]> {
        todo!()
    }

    /// Not known on TCP.
    pub(crate) fn pid(&self) -> Option<i32> {
        todo!()
    }

    /// The systemd unit, `payments.service`; `None`: in none. An error when the caller has gone meanwhile, or it cannot be told.
    pub(crate) fn unit(&self) -> Result<Option<&str>, Denial> {
        todo!()
    }

    /// The program's file as the host names it; `None` where it cannot be told (TCP, or no CAP_SYS_PTRACE).
    pub(crate) fn exe(&self) -> Result<Option<&Path>, Denial> {
        todo!()
    }

    /// SHA-256 of the program's file, of the very file that runs.
    pub(crate) fn sha256(&self) -> Result<Option<[u8; 32]>, Denial> {
        todo!()
    }
}

/// `uid 1000 pid 4711 unit payments.service`, with what is known.
impl std::fmt::Display for Evidence {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
