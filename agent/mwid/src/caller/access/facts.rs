//! What the rules know of a caller. In: evidence. Out: the facts, each only when a rule asks for it. Never decides.
use crate::caller::evidence::Life;
use crate::caller::{Denial, Evidence};
use std::path::Path;
use std::sync::Arc;

/// What is known of a caller. Each answer is remembered where finding it out costs anything.
pub(super) trait Facts: Send + Sync + 'static {
    fn uid(&self) -> u32;

    /// Whether it is the service manager, who asks in the name of a unit that is about to start: nothing but that unit counts, neither that it
    /// is root nor which program it is.
    fn asks_for_unit(&self) -> bool {
        false
    }

    /// For how long unit, program and hash hold.
    fn life(&self) -> &Arc<Life>;

    /// Not known on TCP.
    fn gid(&self) -> Option<u32>;

    /// All groups, the primary one too; not known on TCP.
    fn groups(&self) -> Option<&[u32]>;

    /// Not known on TCP.
    fn pid(&self) -> Option<i32>;

    /// Tells its process from every other since the boot; none on TCP, and where that cannot be told.
    fn process_key(&self) -> Option<(i32, u64)> {
        None
    }

    /// Whether what a rule asks can never be told on this connection, and may be on another one.
    fn is_out_of_reach(&self) -> bool {
        false
    }

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

    fn process_key(&self) -> Option<(i32, u64)> {
        self.process_key().ok().flatten()
    }

    fn is_out_of_reach(&self) -> bool {
        self.is_out_of_reach()
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

/// The service manager, who was found in the control group of the unit in whose name it asks.
pub(super) struct ForUnit(Evidence);

impl ForUnit {
    /// Believes who says to ask in the name of a unit only if that is root, and a part of that unit as the kernel sees it.
    pub(super) fn prove(evidence: Evidence, unit: &str) -> Result<Self, Denial> {
        let uid = evidence.uid();
        if uid != 0 || evidence.pid().is_none() {
            return Err(Denial::NotManager { uid });
        }
        if !is_machines_root() {
            return Err(Denial::OtherRoot);
        }
        // Ours is the machine's, and in another one a 0 may be mapped to ours: user namespaces of root's own containers.
        if evidence.is_in_first_user_namespace()? != Some(true) {
            return Err(Denial::ForeignRoot);
        }
        match evidence.unit()? {
            Some(is) if is == unit => Ok(Self(evidence)),
            is => Err(Denial::OtherUnit {
                asked: unit.to_owned(),
                is: is.map(str::to_owned),
            }),
        }
    }
}

/// Whether the numbers of users are the machine's own: user_namespaces(7).
fn is_machines_root() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

impl Facts for ForUnit {
    fn uid(&self) -> u32 {
        self.0.uid()
    }

    fn asks_for_unit(&self) -> bool {
        true
    }

    fn life(&self) -> &Arc<Life> {
        self.0.life()
    }

    fn gid(&self) -> Option<u32> {
        self.0.gid()
    }

    fn groups(&self) -> Option<&[u32]> {
        None
    }

    fn pid(&self) -> Option<i32> {
        self.0.pid()
    }

    fn process_key(&self) -> Option<(i32, u64)> {
        Facts::process_key(&self.0)
    }

    fn unit(&self) -> Result<Option<&str>, Denial> {
        self.0.unit()
    }

    fn runs(&self, _: &Path) -> Result<Option<bool>, Denial> {
        Ok(None)
    }

    fn sha256(&self) -> Result<Option<[u8; 32]>, Denial> {
        Ok(None)
    }
}
