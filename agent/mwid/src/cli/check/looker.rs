//! Who looks: the user whose rights and environment the findings are true for, and what that user may do to files.
use super::{Finding, Scene};
use crate::tokens::Environment;
use nix::unistd::{AccessFlags, Gid, Uid};
use std::path::Path;

#[derive(Clone, Debug)]
pub(super) struct Looker {
    pub(super) uid: Uid,
    pub(super) groups: Vec<Gid>,
    /// CAP_CHOWN among the effective capabilities.
    pub(super) may_chown: bool,
    /// CAP_SYS_PTRACE among them.
    pub(super) may_ptrace: bool,
    /// Where Application Default Credentials would be.
    pub(super) environment: Environment,
}

/// See capabilities(7).
const CAP_CHOWN: u32 = 0;
const CAP_SYS_PTRACE: u32 = 19;

impl Looker {
    pub(super) fn me() -> Self {
        let mut groups = nix::unistd::getgroups().unwrap_or_default();
        groups.push(nix::unistd::getegid());
        let capabilities = effective_capabilities().unwrap_or(0);
        Self {
            uid: nix::unistd::geteuid(),
            groups,
            may_chown: capabilities & (1 << CAP_CHOWN) != 0,
            may_ptrace: capabilities & (1 << CAP_SYS_PTRACE) != 0,
            environment: crate::app::credentials_environment(),
        }
    }
}

fn effective_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// What this process may do, by its effective user. Also sees file systems that are mounted read-only.
pub(super) fn may_write_in(directory: &Path) -> nix::Result<()> {
    nix::unistd::eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK)
}

pub(super) fn may_execute(file: &Path) -> nix::Result<()> {
    nix::unistd::eaccess(file, AccessFlags::X_OK)
}

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.looker.uid.is_root() {
        return Vec::new();
    }
    vec![
        Finding::note(
            "looked_as_root",
            "these findings are those of root, who may read and write everything",
        )
        .why("the daemon has a user of its own, which may not")
        .fix("run it as that user too: sudo -u mwid mwid check"),
    ]
}
