//! What the rules know of a caller. In: evidence. Out: the facts, each only when a rule asks for it. Never decides.
use crate::caller::evidence::Life;
use crate::caller::{Denial, Evidence};
use std::path::Path;
use std::sync::Arc;

/// What is known of a caller. Each answer is remembered where finding it out costs anything.
pub(super) trait Facts: Send + Sync + 'static {
    fn uid(&self) -> u32;

    /// For how long unit, program and hash hold.
    fn life(&self) -> &Arc<Life>;

    /// Not known on TCP.
    fn gid(&self) -> Option<u32>;

    /// All groups, the primary one too; not known on TCP.
    fn groups(&self) -> Option<&[u32]>;

    /// Not known on TCP.
    fn pid(&self) -> Option<i32>;

    /// The systemd unit; `None`: in none. An error where it cannot be told.
    fn unit(&self) -> Result<Option<&str>, Denial>;

    /// Whether its program is this file; `None` on TCP, where it cannot be told. An error where it could be.
    fn runs(&self, exe: &Path) -> Result<Option<bool>, Denial>;

    /// Of the program's file; `None` and errors likewise. May read a large file.
    fn sha256(&self) -> Result<Option<[u8; 32]>, Denial>;
}

impl Facts for Evidence {
    fn uid(&self) -> u32 {
        self.uid()
    }

    fn life(&self) -> &Arc<Life> {
        self.life()
    }

    fn gid(&self) -> Option<u32> {
        self.gid()
    }

    fn groups(&self) -> Option<&[u32]> {
        self.groups()
    }

    fn pid(&self) -> Option<i32> {
        self.pid()
    }

    fn unit(&self) -> Result<Option<&str>, Denial> {
        self.unit()
    }

    fn runs(&self, exe: &Path) -> Result<Option<bool>, Denial> {
        self.pid().map(|_| self.runs(exe)).transpose()
    }

    fn sha256(&self) -> Result<Option<[u8; 32]>, Denial> {
        self.sha256()
    }
}
