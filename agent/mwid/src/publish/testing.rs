//! What the tests of publishing stand on: proven identities, real time, a quick directory.

use crate::units::control::{UnitControl, UnitError};
use futures_util::future::BoxFuture;
use mtls_identity::candidate::CandidateBundles;
use mtls_identity::{Candidate, IdentitySnapshot, Prover, Reader, UnixTime, Writer, store};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::pki::{LeafSpec, Validity, World};
use zeroize::Zeroizing;

pub(crate) const TRUST_DOMAIN: &str = "pool.global.123.workload.id.goog";

/// Proves identities of one trust domain and counts their generations as the store does.
pub(crate) struct Identities {
    world: World,
    prover: Prover,
    writer: Writer,
    path: &'static str,
    pub(crate) reader: Reader,
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self::of("/ns/shop/sa/web")
    }

    /// Whose SPIFFE ID has this path.
    pub(crate) fn of(path: &'static str) -> Self {
        let (writer, reader) = store();
        Self {
            world: World::new(TRUST_DOMAIN),
            prover: Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider())),
            writer,
            path,
            reader,
        }
    }

    /// A good one for a day, in the store.
    pub(crate) fn next(&mut self) -> Arc<IdentitySnapshot> {
        self.next_for(86_400)
    }

    /// The store lets go of what it has.
    pub(crate) fn clear(&mut self) {
        self.writer.clear();
    }

    /// A good one with another trust domain's bundle beside its own.
    pub(crate) fn next_beside(&mut self, other: &str) -> Arc<IdentitySnapshot> {
        let own = self.next().bundles().to_map_json();
        let mut map: serde_json::Value = serde_json::from_str(&own).unwrap();
        let domains = map.as_object_mut().unwrap().values_mut().next().unwrap();
        domains[other] = domains[TRUST_DOMAIN].clone();
        let leaf = self.world.leaf(self.path);
        let candidate = Candidate {
            certificates_pem: leaf.chain_pem.into_bytes().into(),
            private_key_pem: Zeroizing::new(leaf.key_pem.into_bytes()),
            bundles: CandidateBundles::MapJson(map.to_string().into_bytes()),
        };
        let snapshot = self.prover.prove(&candidate, wall()).unwrap();
        self.writer.publish(snapshot);
        self.reader.current().unwrap()
    }

    /// A good one that ends in that many seconds.
    pub(crate) fn next_for(&mut self, seconds: i64) -> Arc<IdentitySnapshot> {
        let mut spec = LeafSpec::new(&format!("spiffe://{TRUST_DOMAIN}{}", self.path));
        spec.validity = Validity {
            from: -60,
            to: seconds,
        };
        let leaf = self.world.leaf_of(&spec);
        let candidate = Candidate {
            certificates_pem: leaf.chain_pem.into_bytes().into(),
            private_key_pem: Zeroizing::new(leaf.key_pem.into_bytes()),
            bundles: CandidateBundles::OwnPem(self.world.root.cert_pem.clone().into_bytes()),
        };
        let snapshot = self.prover.prove(&candidate, wall()).unwrap();
        self.writer.publish(snapshot);
        self.reader.current().unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "file times are real, so the tests' clock must be"
)]
pub(crate) fn wall() -> UnixTime {
    let now = std::time::SystemTime::now();
    UnixTime::since_unix_epoch(now.duration_since(std::time::UNIX_EPOCH).unwrap())
}

/// A directory that no disk slows down, if the machine has one.
pub(crate) fn fast_directory() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir()
        && let Ok(dir) = tempfile::Builder::new().prefix("mwid-test-").tempdir_in(shm)
    {
        return dir;
    }
    tempfile::tempdir().unwrap()
}

/// A wall clock that a test moves.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(wall().as_secs())))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl rustls::time_provider::TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            self.0.load(Ordering::SeqCst),
        )))
    }
}

/// A service manager that notes what it is asked, and fails as often as it is told to.
#[derive(Debug, Default)]
pub(crate) struct TestUnits {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) failures_left: Mutex<HashMap<String, u32>>,
}

impl TestUnits {
    fn ask(&self, what: String, unit: &str) -> Result<(), UnitError> {
        self.asked.lock().unwrap().push(what);
        let mut left = self.failures_left.lock().unwrap();
        match left.get_mut(unit) {
            Some(n) if *n > 0 => {
                *n -= 1;
                Err(UnitError::JobFailed {
                    unit: unit.to_owned(),
                    result: "failed".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }
}

impl UnitControl for TestUnits {
    fn reload<'a>(&'a self, unit: &'a str) -> BoxFuture<'a, Result<(), UnitError>> {
        Box::pin(async move { self.ask(format!("reload {unit}"), unit) })
    }
    fn signal<'a>(&'a self, unit: &'a str, signal: i32) -> BoxFuture<'a, Result<(), UnitError>> {
        Box::pin(async move { self.ask(format!("signal {signal} {unit}"), unit) })
    }
}
