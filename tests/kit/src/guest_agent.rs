//! The two ways in which Google's agents replace the credential directory (see their sources: refreshCreds).
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A secrets directory with the public link `workload-spiffe-credentials`.
#[derive(Debug)]
pub struct Secrets {
    /// The parent directory (`/run/secrets` on a VM).
    pub parent: PathBuf,
    count: u32,
    /// When [`replace`](Self::replace) last was about to switch the link.
    pub switched: Option<Instant>,
}

/// Which agent's procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Symlink under a temporary name, rename over the public link, delete the old directory at once.
    Legacy,
    /// As above, but the public link is removed before the rename: there is a moment without it.
    Current,
}

impl Secrets {
    /// Uses `parent`, which exists.
    pub fn new(parent: &Path) -> Self {
        Self {
            parent: parent.to_owned(),
            count: 0,
            switched: None,
        }
    }

    /// The public link.
    pub fn link(&self) -> PathBuf {
        self.parent.join("workload-spiffe-credentials")
    }

    /// Replaces the contents by `files` (name, bytes) in the way of `agent`.
    pub fn replace(&mut self, agent: Agent, files: &[(&str, &[u8])]) {
        self.count += 1;
        let dir = self
            .parent
            .join(format!("workload-spiffe-contents-{}", self.count));
        fs::create_dir(&dir).unwrap();
        let public = self.link();
        let old = fs::read_link(&public).ok();
        for (name, bytes) in files {
            fs::write(dir.join(name), bytes).unwrap();
        }
        let temporary = self
            .parent
            .join(format!("workload-spiffe-symlink-{}", self.count));
        symlink(&dir, &temporary).unwrap();
        self.switched = Some(Instant::now());
        if agent == Agent::Current {
            fs::remove_file(&public).ok();
        }
        fs::rename(&temporary, &public).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(old).ok();
        }
    }
}
