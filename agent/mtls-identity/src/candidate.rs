//! Bytes as a source delivered them, not yet proven.
use crate::bundle::TrustBundles;
use zeroize::Zeroizing;

/// What a source delivered.
pub struct Candidate {
    /// PEM: the leaf first, then the chain.
    pub certificates_pem: Vec<u8>,
    /// PEM: PKCS#8, SEC1 or PKCS#1.
    pub private_key_pem: Zeroizing<Vec<u8>>,
    /// The trust bundles that came with it.
    pub bundles: CandidateBundles,
}

/// Trust bundles in one of the forms in which sources deliver them.
pub enum CandidateBundles {
    /// PEM roots of the leaf's own trust domain (`ca_certificates.pem`).
    OwnPem(Vec<u8>),
    /// A SPIFFE bundle map (`trust_bundles.json`).
    MapJson(Vec<u8>),
    /// Already parsed.
    Parsed(TrustBundles),
}
