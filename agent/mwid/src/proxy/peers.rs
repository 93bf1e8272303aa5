//! The peers with live connections at one route. In: handshakes that are done; changed rules, roots and times. Out: a seat for each connection, and a
//! word to those whose peer may no longer. One entry for all connections of a peer that shows the same chain: what is decided, is decided once.
use mtls_identity::peer::{NotAllowed, PeerRole};
use mtls_identity::tls::{NoLonger, PeerError};
use mtls_identity::{Peer, UnixTime};
use pki_types::CertificateDer;
use rustls::CommonState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// No generation has this number.
pub(super) const NONE: u64 = 0;

/// All peers of one route.
#[derive(Debug)]
pub(super) struct Peers {
    hasher: RandomState,
    by_chain: Mutex<HashMap<u64, Vec<Arc<Known>>>>,
    /// Ends all connections.
    over: CancellationToken,
    ends: Arc<Ends>,
    /// Whether the end of a peer's certificate is the end of its connections.
    watches_ends: AtomicBool,
}

/// When the first certificate ends of the peers whose connections end with it, at all routes.
#[derive(Debug)]
pub(super) struct Ends {
    /// In seconds of Unix time.
    first: AtomicU64,
    earlier: Notify,
}

/// A peer with live connections.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) peer: Peer,
    key: u64,
    /// The generation whose bundles have vouched for it last, or [`NONE`].
    vouched_by: AtomicU64,
    gone: CancellationToken,
    why: OnceLock<Arc<NoLonger>>,
    /// What was told last of why `dry_run` alone keeps it.
    tolerated: Mutex<Option<NotAllowed>>,
    /// How many connections have a seat; changed while the table's lock is held.
    seats: AtomicUsize,
}

/// One connection of a peer.
#[derive(Debug)]
pub(super) struct Seat {
    peers: Arc<Peers>,
    known: Arc<Known>,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            first: AtomicU64::new(u64::MAX),
            earlier: Notify::new(),
        }
    }
}

impl Ends {
    /// None: nobody's is waited for.
    pub(super) fn first(&self) -> Option<UnixTime> {
        let first = self.first.load(Ordering::SeqCst);
        (first < u64::MAX).then(|| UnixTime::since_unix_epoch(Duration::from_secs(first)))
    }

    /// Returns when the first one is earlier than it was. Can be cancelled without loss.
    pub(super) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// Forgets all, so that those who are here are looked through anew.
    pub(super) fn forget(&self) {
        self.first.store(u64::MAX, Ordering::SeqCst);
    }

    pub(super) fn add(&self, end: UnixTime) {
        if self.first.fetch_min(end.as_secs(), Ordering::SeqCst) > end.as_secs() {
            self.earlier.notify_one();
        }
    }
}

impl Known {
    /// Whether the bundles of this generation have vouched for it last.
    pub(super) fn was_vouched_by(&self, generation: u64) -> bool {
        generation != NONE && self.vouched_by.load(Ordering::SeqCst) == generation
    }

    pub(super) fn is_vouched_by(&self, generation: u64) {
        self.vouched_by.store(generation, Ordering::SeqCst);
    }

    /// Whether this, of one that `dry_run` alone keeps here, was not what was told of it last.
    pub(super) fn is_news(&self, verdict: Option<&NotAllowed>) -> bool {
        let mut told = self.tolerated.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.as_ref() != verdict;
        if is_news {
            *told = verdict.cloned();
        }
        is_news
    }
}

impl Peers {
    pub(super) fn new(over: CancellationToken, ends: Arc<Ends>) -> Arc<Self> {
        Arc::new(Self {
            hasher: RandomState::new(),
            by_chain: Mutex::default(),
            over,
            ends,
            watches_ends: AtomicBool::new(false),
        })
    }

    /// Whether the end of a peer's certificate is the end of its connections, for those who come from now on.
    pub(super) fn watch_ends(&self, watch: bool) {
        self.watches_ends.store(watch, Ordering::SeqCst);
    }

    /// Takes a seat for the peer behind a finished handshake. From now on it hears of changes, so that what it is decided by afterwards
    /// cannot be out of date.
    ///
    /// `vouched_by` is the generation whose bundles the handshake went by, if that is certain.
    pub(super) fn meet(
        self: &Arc<Self>,
        tls: &CommonState,
        role: PeerRole,
        vouched_by: Option<u64>,
    ) -> Result<Seat, PeerError> {
        let chain = tls.peer_certificates().unwrap_or_default();
        let key = self.key(chain);
        let find = |all: &HashMap<u64, Vec<Arc<Known>>>| {
            let same = |known: &&Arc<Known>| known.peer.chain() == chain;
            let known = all.get(&key)?.iter().find(same)?;
            known.seats.fetch_add(1, Ordering::Relaxed);
            Some(Arc::clone(known))
        };
        let known = find(&self.all());
        let known = match known {
            Some(known) => known,
            None => {
                // Not under the lock: this reads the certificates.
                let new = Arc::new(Known {
                    peer: Peer::of(tls, role)?,
                    key,
                    vouched_by: AtomicU64::new(vouched_by.unwrap_or(NONE)),
                    gone: self.over.child_token(),
                    why: OnceLock::new(),
                    tolerated: Mutex::default(),
                    seats: AtomicUsize::new(1),
                });
                let mut all = self.all();
                let raced = find(&all);
                raced.unwrap_or_else(|| {
                    all.entry(key).or_default().push(Arc::clone(&new));
                    // After the push: whoever looks through those here has it, or hears of it.
                    if self.watches_ends.load(Ordering::SeqCst) {
                        self.ends.add(new.peer.not_after());
                    }
                    new
                })
            }
        };
        Ok(Seat {
            peers: Arc::clone(self),
            known,
        })
    }

    fn key(&self, chain: &[CertificateDer<'_>]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for certificate in chain {
            hasher.write(certificate);
        }
        hasher.finish()
    }

    /// Those who are here now.
    pub(super) fn here(&self) -> Vec<Arc<Known>> {
        self.all().values().flatten().cloned().collect()
    }

    /// Ends all connections of a peer.
    pub(super) fn send_away(&self, known: &Arc<Known>, why: NoLonger) {
        // Who is sent away once stays so; the first reason is the true one.
        known.why.set(Arc::new(why)).ok();
        forget(&mut self.all(), known);
        known.gone.cancel();
    }

    /// Nothing in here panics half way.
    fn all(&self) -> MutexGuard<'_, HashMap<u64, Vec<Arc<Known>>>> {
        self.by_chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn peer(&self) -> &Peer {
        &self.known.peer
    }

    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Returns when the connection must end.
    pub(super) async fn gone(&self) {
        self.known.gone.cancelled().await;
    }

    /// Why it must; none: because all must.
    pub(super) fn why(&self) -> Option<Arc<NoLonger>> {
        self.known.why.get().cloned()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.peers.all();
        if self.known.seats.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        // The last connection leaves.
        forget(&mut all, &self.known);
    }
}

fn forget(all: &mut HashMap<u64, Vec<Arc<Known>>>, known: &Arc<Known>) {
    let Some(same) = all.get_mut(&known.key) else {
        return;
    };
    same.retain(|other| !Arc::ptr_eq(other, known));
    if same.is_empty() {
        all.remove(&known.key);
    }
}
