//! An identity that was proven.
//!
//! Made by [`Prover::prove`](crate::Prover::prove) alone, so that whoever holds one need not doubt it. Never prints its key.

use crate::bundle::TrustBundles;
use crate::pem;
use crate::spiffe_id::SpiffeId;
use crate::vouched::Vouched;
use pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A private key, a certificate chain and trust bundles, proven to belong together.
pub struct IdentitySnapshot {
    pub(crate) id: SpiffeId,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key_pkcs8: Zeroizing<Vec<u8>>,
    pub(crate) certified_key: Arc<CertifiedKey>,
    pub(crate) bundles: TrustBundles,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) serial: String,
    pub(crate) generation: u64,
    /// Peers whose chains these bundles have vouched for.
    pub(crate) vouched: Vouched,
}

impl IdentitySnapshot {
    /// The SPIFFE ID of the leaf.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }
    /// The leaf, then the chain (without root).
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
    /// The private key as PKCS#8 DER.
    pub fn private_key_pkcs8(&self) -> &[u8] {
        &self.key_pkcs8
    }
    /// Leaf, chain and signing key for rustls.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified_key
    }
    /// The trust bundles.
    pub fn bundles(&self) -> &TrustBundles {
        &self.bundles
    }
    /// The latest `notBefore` in the chain.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }
    /// The earliest `notAfter` in the chain, its root included.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }
    /// The leaf's serial number, lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }
    /// The generation, 0 before it was published to a store.
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// The chain in PEM, leaf first.
    pub fn chain_pem(&self) -> String {
        let blocks = self.chain.iter().map(|der| pem::encode("CERTIFICATE", der));
        blocks.fold(String::new(), |all, block| all + &block)
    }
    /// The private key as PKCS#8 PEM.
    pub fn private_key_pem(&self) -> Zeroizing<String> {
        pem::encode("PRIVATE KEY", &self.key_pkcs8)
    }

    /// Whether chain, key and bundles are the same; the generation does not count.
    pub fn same_identity(&self, other: &Self) -> bool {
        // Both keys are ours: how long the comparison takes tells nobody anything.
        self.chain == other.chain && self.key_pkcs8 == other.key_pkcs8 && self.bundles == other.bundles
    }
}

impl std::fmt::Debug for IdentitySnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentitySnapshot")
            .field("id", &self.id)
            .field("serial", &self.serial)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
