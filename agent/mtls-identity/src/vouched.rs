//! Chains of peers that one snapshot's trust bundles have vouched for. In: a chain that was verified against them, and from when until when that
//! holds. Out: whether a chain is among them. Ends with its snapshot, so that nothing is remembered past a change of identity or bundles.
//!
//! Whether a chain reaches a root follows from its bytes, the bundles, what it is used as, the signature algorithms, and the time. The bundles are the
//! snapshot's; the others are looked at here each time. So a chain that is remembered would be verified again with the same end. That its sender has the
//! leaf's key is shown anew in each handshake.

use crate::certificate::Validity;
use crate::peer::PeerRole;
use pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash as _, Hasher, RandomState};
use std::sync::{PoisonError, RwLock};

/// Chains of all peers together; with the bytes below, one in a handful of kilobytes is usual. The oldest goes first.
const MOST: usize = 512;
/// Bytes of all their certificates together.
const MOST_BYTES: usize = 1024 * 1024;
/// Bytes of one chain: a longer one is verified each time.
const MOST_BYTES_OF_ONE: usize = 16 * 1024;

/// How a chain was verified: the same chain is another question where one of these differs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct By {
    role: PeerRole,
    /// Of the crypto provider, by their place: providers that share a table verify alike.
    algorithms: usize,
    count: usize,
}

/// A few chains that were verified.
#[derive(Default)]
pub(crate) struct Vouched {
    hasher: RandomState,
    chains: RwLock<Chains>,
}

#[derive(Default)]
struct Chains {
    by_hash: HashMap<u64, Chain>,
    /// The oldest first.
    order: VecDeque<u64>,
    bytes: usize,
}

struct Chain {
    by: By,
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    holds: Validity,
}

impl By {
    pub(crate) fn new(
        role: PeerRole,
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Self {
        Self {
            role,
            algorithms: algorithms.as_ptr().addr(),
            count: algorithms.len(),
        }
    }
}

impl Vouched {
    /// Whether this chain was verified in this way, and the time is within all that it was verified by.
    pub(crate) fn holds(
        &self,
        by: By,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let hash = self.hash(by, leaf, intermediates);
        let chains = self.chains.read().unwrap_or_else(PoisonError::into_inner);
        chains
            .by_hash
            .get(&hash)
            .is_some_and(|chain| chain.is(by, leaf, intermediates) && chain.holds.holds(now))
    }

    /// Remembers a chain that was verified; `holds` is the time that its certificates and its root have in common.
    pub(crate) fn add(
        &self,
        by: By,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        holds: Validity,
    ) {
        let chain = Chain {
            by,
            leaf: leaf.clone().into_owned(),
            intermediates: intermediates.iter().map(|der| der.clone().into_owned()).collect(),
            holds,
        };
        if chain.bytes() <= MOST_BYTES_OF_ONE {
            let hash = self.hash(by, leaf, intermediates);
            let mut chains = self.chains.write().unwrap_or_else(PoisonError::into_inner);
            chains.add(hash, chain);
        }
    }

    /// Seeded for each process, so that nobody can make chains that share one.
    fn hash(&self, by: By, leaf: &[u8], intermediates: &[CertificateDer<'_>]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        by.hash(&mut hasher);
        hasher.write(leaf);
        for der in intermediates {
            hasher.write(der);
        }
        hasher.finish()
    }
}

impl Chains {
    fn add(&mut self, hash: u64, chain: Chain) {
        self.bytes += chain.bytes();
        match self.by_hash.insert(hash, chain) {
            Some(before) => self.bytes -= before.bytes(),
            None => self.order.push_back(hash),
        }
        while self.order.len() > MOST || self.bytes > MOST_BYTES {
            let oldest = self.order.pop_front();
            let Some(gone) = oldest.and_then(|hash| self.by_hash.remove(&hash)) else {
                return;
            };
            self.bytes -= gone.bytes();
        }
    }
}

impl Chain {
    fn is(&self, by: By, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
        self.by == by && self.leaf == *leaf && self.intermediates == intermediates
    }

    fn bytes(&self) -> usize {
        let above: usize = self.intermediates.iter().map(|der| der.len()).sum();
        self.leaf.len() + above
    }
}

impl fmt::Debug for Vouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chains = self.chains.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Vouched").field(&chains.order.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    const fn by(role: PeerRole) -> By {
        By {
            role,
            algorithms: 1,
            count: 1,
        }
    }

    const CLIENT: By = by(PeerRole::Client);
    const SERVER: By = by(PeerRole::Server);

    const HOLDS: Validity = Validity {
        not_before: at(10),
        not_after: at(20),
    };

    fn der(number: usize, length: usize) -> CertificateDer<'static> {
        let mut bytes = vec![0; length];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes.into()
    }

    #[test]
    fn only_the_same_chain_verified_in_the_same_way_within_its_time_holds() {
        let vouched = Vouched::default();
        let (leaf, other) = (der(1, 100), der(2, 100));
        let above = [der(3, 100), der(4, 100)];
        vouched.add(CLIENT, &leaf, &above, HOLDS);
        let swapped = [above[1].clone(), above[0].clone()];
        let holds = |role, leaf, above: &[_], now| vouched.holds(role, leaf, above, at(now));
        for now in [10, 15, 20] {
            assert!(holds(CLIENT, &leaf, &above, now));
        }
        for now in [0, 9, 21] {
            assert!(!holds(CLIENT, &leaf, &above, now));
        }
        assert!(!holds(SERVER, &leaf, &above, 15));
        assert!(!holds(
            By {
                algorithms: 2,
                ..CLIENT
            },
            &leaf,
            &above,
            15
        ));
        assert!(!holds(By { count: 2, ..CLIENT }, &leaf, &above, 15));
        assert!(!holds(CLIENT, &other, &above, 15));
        assert!(!holds(CLIENT, &leaf, &above[..1], 15));
        assert!(!holds(CLIENT, &leaf, &[], 15));
        assert!(!holds(CLIENT, &leaf, &swapped, 15));
    }

    /// The same bytes, cut at another place, have the same hash.
    #[test]
    fn a_chain_of_the_same_hash_is_another() {
        let vouched = Vouched::default();
        let whole = der(1, 100);
        let (leaf, above) = whole.split_at(40);
        let (leaf, above) = (
            CertificateDer::from(leaf.to_vec()),
            CertificateDer::from(above.to_vec()),
        );
        vouched.add(CLIENT, &whole, &[], HOLDS);
        assert_eq!(
            vouched.hash(CLIENT, &whole, &[]),
            vouched.hash(CLIENT, &leaf, std::slice::from_ref(&above))
        );
        assert!(!vouched.holds(CLIENT, &leaf, &[above], at(15)));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let vouched = Vouched::default();
        let holds = |number, length| vouched.holds(CLIENT, &der(number, length), &[], at(15));
        for number in 0..MOST + 3 {
            // Twice: one that comes again takes no second place.
            for _ in 0..2 {
                vouched.add(CLIENT, &der(number, 100), &[], HOLDS);
            }
        }
        let kept = (0..MOST + 3).filter(|number| holds(*number, 100));
        assert!(kept.eq(3..MOST + 3));

        for number in 0..100 {
            vouched.add(CLIENT, &der(number, MOST_BYTES_OF_ONE), &[], HOLDS);
        }
        let kept = (0..100).filter(|number| holds(*number, MOST_BYTES_OF_ONE));
        assert!(kept.eq(100 - MOST_BYTES / MOST_BYTES_OF_ONE..100));
        let chains = vouched.chains.read().unwrap();
        assert_eq!(chains.bytes, MOST_BYTES);
        assert_eq!(chains.by_hash.len(), chains.order.len());
    }

    #[test]
    fn a_long_chain_is_not_remembered() {
        let vouched = Vouched::default();
        let (leaf, above) = (der(1, 100), [der(2, MOST_BYTES_OF_ONE)]);
        vouched.add(CLIENT, &leaf, &above, HOLDS);
        assert!(!vouched.holds(CLIENT, &leaf, &above, at(15)));
    }
}
