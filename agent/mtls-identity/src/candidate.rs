//! Bytes as a source delivered them, not yet proven.

use crate::bundle::TrustBundles;
use std::fmt;
use zeroize::Zeroizing;

/// What a source delivered. Nothing in it has been looked at; [`Prover::prove`](crate::Prover::prove) does that.
pub struct Candidate {
    /// PEM: the leaf first, then the chain. Blocks of other kinds (a combined file's key) are skipped, and wiped on drop.
    pub certificates_pem: Zeroizing<Vec<u8>>,
    /// PEM: PKCS#8, SEC1 or PKCS#1, exactly one. Blocks of other kinds are skipped.
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

/// Sizes only: the certificates are not proven yet, and the key is nobody's business.
impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field(
                "certificates_pem",
                &format_args!("{} bytes", self.certificates_pem.len()),
            )
            .field("bundles", &self.bundles)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CandidateBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnPem(pem) => write!(f, "OwnPem({} bytes)", pem.len()),
            Self::MapJson(json) => write!(f, "MapJson({} bytes)", json.len()),
            Self::Parsed(bundles) => write!(f, "Parsed({} trust domains)", bundles.len()),
        }
    }
}
