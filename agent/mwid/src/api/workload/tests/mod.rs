//! The hub and its subscribers, with the time as an input and callers of the tests' own.
mod hub;
mod jwt;
mod streams;

use super::Site;
use super::connection::Connection;
use super::feed::{Feed, Subject};
use super::guest::{Denied, Guest, Watch};
use super::hub::{Hub, Surroundings};
use super::method::Method;
use super::metrics::Metrics;
use super::sds::{Metrics as SdsMetrics, Sds};
use crate::caller::What;
use crate::config::SdsSettings;
use crate::health::Board;
use crate::shutdown::Shutdown;
use crate::source::JwtSvids;
use futures_util::Stream;
use mtls_identity::candidate::{Candidate, CandidateBundles};
use mtls_identity::{IdentitySnapshot, Prover, TrustBundle, TrustDomain, UnixTime, Writer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::pki::{Leaf, LeafSpec, Validity, World};
use tokio::sync::watch;

pub(super) const DOMAIN: &str = "pool.global.123.workload.id.goog";

type Jwk = serde_json::Map<String, serde_json::Value>;

/// A clock that a test sets.
#[derive(Debug)]
struct Fixed(AtomicU64);

impl rustls::time_provider::TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.0.load(Ordering::SeqCst);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

/// A store, a hub, and callers.
struct House {
    world: World,
    writer: Writer,
    clock: Arc<Fixed>,
    wanted: watch::Sender<bool>,
    listeners: watch::Sender<usize>,
    board: Board,
    site: Arc<Site>,
    jwt_svids: watch::Sender<JwtSvids>,
    shutdown: Shutdown,
}

impl House {
    fn new() -> Self {
        let (writer, reader) = mtls_identity::store();
        let now = crate::telemetry::logging::wall_clock()().as_second();
        let clock = Arc::new(Fixed(u64::try_from(now).unwrap().into()));
        let (wanted, is_wanted) = watch::channel(true);
        let (listeners, open) = watch::channel(1);
        let board = Board::new();
        let surroundings = Surroundings {
            reader,
            clock: clock.clone(),
            wanted: is_wanted,
            listeners: open,
            board: board.clone(),
        };
        let jwt_svids = watch::Sender::new(JwtSvids::NotYet);
        let shutdown = Shutdown::default();
        Self {
            world: World::new(DOMAIN),
            writer,
            wanted,
            listeners,
            board,
            site: Arc::new(Site {
                hub: Hub::start(surroundings, &shutdown),
                sds: Sds::new(SdsSettings::default(), SdsMetrics::default()),
                jwt_svids: jwt_svids.subscribe(),
                clock: clock.clone(),
                metrics: Metrics::default(),
            }),
            clock,
            jwt_svids,
            shutdown,
        }
    }

    fn now(&self) -> u64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    fn leaf(&self, life: i64) -> Leaf {
        self.world.leaf_of(&LeafSpec {
            validity: Validity { from: -60, to: life },
            ..LeafSpec::new(&format!("spiffe://{DOMAIN}/ns/shop/sa/pay"))
        })
    }

    fn proven(&self, leaf: &Leaf, others: &[TrustBundle]) -> IdentitySnapshot {
        self.proven_with(leaf, others, vec![])
    }

    /// With keys for JWT-SVIDs in its own bundle.
    fn proven_with(&self, leaf: &Leaf, others: &[TrustBundle], jwt_keys: Vec<Jwk>) -> IdentitySnapshot {
        let domain = TrustDomain::parse(DOMAIN).unwrap();
        let own = TrustBundle::from_pem(domain, self.world.root.cert_pem.as_bytes()).unwrap();
        let add = |own: TrustBundle, key| own.with_jwt_key(key).unwrap();
        let own = jwt_keys.into_iter().fold(own, add);
        let mut bundles = mtls_identity::TrustBundles::of(own);
        for other in others {
            bundles.insert(other.clone()).unwrap();
        }
        let candidate = Candidate {
            certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
            private_key_pem: zeroize::Zeroizing::new(leaf.key_pem.clone().into_bytes()),
            bundles: CandidateBundles::MapJson(bundles.to_map_json().into_bytes()),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let now = UnixTime::since_unix_epoch(Duration::from_secs(self.now()));
        Prover::new(provider).prove(&candidate, now).unwrap()
    }

    /// Puts a new identity in force that lives for so many seconds.
    fn rotate(&mut self, life: i64) -> Leaf {
        let leaf = self.leaf(life);
        let identity = self.proven(&leaf, &[]);
        self.writer.publish(identity);
        leaf
    }

    /// Until the hub has done what there is to do.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    fn feed(&self, caller: &Caller, subject: &'static Subject) -> Feed<Caller> {
        let connection = Connection::new(Arc::clone(&self.site), caller.clone());
        Feed::new(subject, Arc::new(connection))
    }
}

const SVID: &Subject = &Subject {
    method: Method::FetchX509Svid,
    what: What::Identity,
    page: |edition| &edition.x509_svid,
};

const BUNDLES: &Subject = &Subject {
    method: Method::FetchX509Bundles,
    what: What::Bundles,
    page: |edition| &edition.x509_bundles,
};

/// A caller to whom the identity can be given and taken away.
#[derive(Clone)]
struct Caller {
    may: watch::Sender<bool>,
    record: Arc<Mutex<Vec<String>>>,
}

struct CallersWatch(watch::Receiver<bool>);

impl Caller {
    fn who_may(may: bool) -> Self {
        Self {
            may: watch::Sender::new(may),
            record: Arc::default(),
        }
    }

    fn record(&self) -> Vec<String> {
        std::mem::take(&mut self.record.lock().unwrap())
    }
}

impl Guest for Caller {
    type Watch = CallersWatch;

    fn may_have_identity(&self) -> Result<(), Denied> {
        self.may.borrow().then_some(()).ok_or(Denied::NotGranted)
    }

    fn watch(&self) -> CallersWatch {
        CallersWatch(self.may.subscribe())
    }

    fn granted(&self, what: What<'_>) {
        self.record.lock().unwrap().push(format!("granted {what}"));
    }

    fn denied(&self, what: What<'_>, why: &str) {
        self.record.lock().unwrap().push(format!("denied {what}: {why}"));
    }
}

impl Watch for CallersWatch {
    async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What is there without waiting.
fn at_hand<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    use futures_util::{FutureExt as _, StreamExt as _};
    stream.next().now_or_never().flatten()
}
