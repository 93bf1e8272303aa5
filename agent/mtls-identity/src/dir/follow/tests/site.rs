//! A directory with an identity in it, a follower, and ways to wait for what it does.
use super::super::*;
use rustls::time_provider::DefaultTimeProvider;
use std::fs;
use std::time::Instant;
use testkit::pki::{Leaf, World};

/// A poll that never comes: what is seen is seen by notification.
pub(super) const NEVER: Duration = Duration::from_secs(86_400);
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
pub(super) const DOMAIN: &str = "pool.global.123.workload.id.goog";

pub(super) type Files = Vec<(&'static str, Vec<u8>)>;

pub(super) struct Site {
    _dir: tempfile::TempDir,
    pub(super) root: PathBuf,
    pub(super) world: World,
}

impl Site {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        Self {
            _dir: dir,
            root,
            world: World::new(DOMAIN),
        }
    }

    pub(super) fn leaf(&self) -> Leaf {
        self.world.leaf("/ns/shop/sa/payments")
    }

    pub(super) fn files(&self, leaf: &Leaf) -> Files {
        vec![
            ("certificates.pem", leaf.chain_pem.clone().into_bytes()),
            ("private_key.pem", leaf.key_pem.clone().into_bytes()),
            (
                "ca_certificates.pem",
                self.world.root.cert_pem.clone().into_bytes(),
            ),
        ]
    }

    pub(super) fn new_files(&self) -> Files {
        self.files(&self.leaf())
    }
}

pub(super) struct Followed {
    pub(super) reader: Reader,
    pub(super) follower: Follower,
    pub(super) status: watch::Receiver<FollowStatus>,
}

pub(super) fn followed(path: &Path, poll: Duration) -> Followed {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let options = FollowOptions::new(Prover::new(provider), Arc::new(DefaultTimeProvider)).poll(poll);
    let (reader, follower) = follow(path, options).unwrap();
    let status = follower.status();
    Followed {
        reader,
        follower,
        status,
    }
}

impl Followed {
    /// Does something, and waits for the generation that it brings.
    pub(super) async fn brings(&mut self, generation: u64, what: &str, act: impl FnOnce()) {
        let start = Instant::now();
        act();
        let acted = start.elapsed();
        while self.reader.generation() < generation {
            let next = tokio::time::timeout(PATIENCE, self.reader.changed()).await;
            assert!(next.is_ok(), "{what}: {:?}", self.status.borrow());
        }
        assert_eq!(self.reader.generation(), generation, "{what}");
        println!(
            "{what}: {:?} after the {acted:?} that it took",
            start.elapsed().saturating_sub(acted)
        );
    }

    /// Does something, and waits for the trouble that it brings; the identity stays.
    pub(super) async fn troubles(&mut self, what: &str, expected: &str, act: impl FnOnce()) {
        let before = self.reader.generation();
        act();
        let named = |status: &FollowStatus| match status.trouble() {
            Some(FollowTrouble::Read(e)) => e.reason() == expected,
            Some(FollowTrouble::Refused(e)) => e.reason() == expected,
            None => false,
        };
        let found = tokio::time::timeout(PATIENCE, self.status.wait_for(named))
            .await
            .is_ok();
        assert!(found, "{what}: {:?}", self.status.borrow());
        assert_eq!(self.reader.generation(), before, "{what}");
    }

    /// Waits until the directory was read again.
    pub(super) async fn reads(&mut self) {
        tokio::time::timeout(PATIENCE, self.status.changed())
            .await
            .unwrap()
            .unwrap();
    }
}

pub(super) fn as_written(files: &Files) -> Vec<(&str, &[u8])> {
    files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect()
}

pub(super) fn write(directory: &Path, files: &Files) {
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).unwrap();
    }
}
