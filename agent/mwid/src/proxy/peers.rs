//! The peers with live connections at one route. In: handshakes that are done; changed rules, roots and times. Out: a seat for each connection, and a
//! word to those whose peer may no longer. One entry for all connections of a peer that shows the same chain: what is decided, is decided once.
use mtls_identity::tls::{NoLonger, PeerError};
use mtls_identity::{Peer, peer::PeerRole};
use pki_types::CertificateDer;
use rustls::CommonState;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio_util::sync::CancellationToken;

/// All peers of one route.
#[derive(Debug)]
pub(super) struct Peers {
    hasher: RandomState,
    by_chain: Mutex<HashMap<u64, Vec<Arc<Known>>>>,
    /// Ends all connections.
    over: CancellationToken,
}

/// A peer with live connections.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) peer: Peer,
    gone: CancellationToken,
    why: OnceLock<Arc<NoLonger>>,
    /// How many connections have a seat; changed while the table's lock is held.
    seats: AtomicUsize,
}

/// One connection of a peer.
#[derive(Debug)]
pub(super) struct Seat {
    peers: Arc<Peers>,
    key: u64,
    known: Arc<Known>,
}

impl Peers {
    pub(super) fn new(over: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            hasher: RandomState::new(),
            by_chain: Mutex::default(),
            over,
        })
    }

    /// Takes a seat for the peer behind a finished handshake. From now on it hears of changes, so that what it is decided by afterwards
    /// cannot be out of date.
    pub(super) fn meet(self: &Arc<Self>, tls: &CommonState, role: PeerRole) -> Result<Seat, PeerError> {
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
                    gone: self.over.child_token(),
                    why: OnceLock::new(),
                    seats: AtomicUsize::new(1),
                });
                let mut all = self.all();
                let raced = find(&all);
                raced.unwrap_or_else(|| {
                    all.entry(key).or_default().push(Arc::clone(&new));
                    new
                })
            }
        };
        Ok(Seat {
            peers: Arc::clone(self),
            key,
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
        self.forget(|other| Arc::ptr_eq(other, known));
        known.gone.cancel();
    }

    fn forget(&self, is_it: impl Fn(&Arc<Known>) -> bool) {
        self.all().retain(|_, same| {
            same.retain(|known| !is_it(known));
            !same.is_empty()
        });
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
        let Some(same) = all.get_mut(&self.key) else {
            return;
        };
        same.retain(|known| !Arc::ptr_eq(known, &self.known));
        if same.is_empty() {
            all.remove(&self.key);
        }
    }
}
