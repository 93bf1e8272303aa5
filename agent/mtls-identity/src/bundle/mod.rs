//! Trust bundles, one a trust domain, never merged.
//!
//! In: PEM, SPIFFE bundles, SPIFFE bundle maps. Out: roots by trust domain, in one order however they came. Never lets
//! a root of one domain vouch for another, and never takes part of a document that is broken elsewhere.

mod error;
mod jwk;
mod map;
#[cfg(test)]
mod tests;

pub use error::BundleError;
pub use map::TrustBundles;

use crate::certificate::{self, CertificateRole, Validity};
use crate::pem;
use crate::spiffe_id::TrustDomain;
use crate::strict_json::{self, StrictJsonError};
use pki_types::{CertificateDer, TrustAnchor};
use serde_json::{Map, Value};
use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

/// More than 50 roots of 4 KiB each as PEM.
const MAX_PEM: usize = 1024 * 1024;
/// A whole bundle map.
const MAX_JSON: usize = 4 * 1024 * 1024;
/// A rotation needs two; this leaves room for a control plane that keeps old ones.
const MAX_KEYS: usize = 256;

/// The roots of one trust domain.
///
/// Two bundles are equal when they hold the same roots and keys for the same trust domain, in whatever order they were
/// delivered. What the source says beside them (sequence, refresh hint) does not count.
///
/// ```no_run
/// use mtls_identity::{TrustBundle, TrustDomain};
///
/// let pem = std::fs::read("ca_certificates.pem")?;
/// let bundle = TrustBundle::from_pem(TrustDomain::parse("example.org")?, &pem)?;
/// println!("{} roots", bundle.roots().len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TrustBundle {
    trust_domain: TrustDomain,
    roots: Vec<CertificateDer<'static>>,
    /// Of `roots`, in their order.
    anchors: Vec<TrustAnchor<'static>>,
    /// Of `roots`, in their order.
    validities: Vec<Validity>,
    jwt_keys: Vec<Map<String, Value>>,
    sequence: Option<u64>,
    refresh_hint: Option<Duration>,
}

impl TrustBundle {
    /// From certificates in PEM: at least one, each a CA; doubled ones count once. Blocks of other kinds are skipped.
    ///
    /// # Errors
    /// [`BundleError`] when the PEM is broken, too large, empty of certificates, or one of them is no CA certificate.
    pub fn from_pem(trust_domain: TrustDomain, pem: &[u8]) -> Result<Self, BundleError> {
        too_large(pem, MAX_PEM)?;
        let blocks = pem::blocks(pem, |label| label == "CERTIFICATE").map_err(BundleError::Pem)?;
        if blocks.is_empty() {
            return Err(BundleError::NoCertificates);
        }
        let roots = blocks
            .into_iter()
            .map(|block| CertificateDer::from(block.der.to_vec()));
        Self::new(trust_domain, roots.collect(), Vec::new())
    }

    /// From DER roots; none at all is a bundle that trusts nobody.
    ///
    /// # Errors
    /// [`BundleError`] when there are more than 256, or one of them is no CA certificate.
    pub fn from_roots(
        trust_domain: TrustDomain,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, BundleError> {
        Self::new(trust_domain, roots, Vec::new())
    }

    /// From a SPIFFE bundle (SPIFFE Trust Domain and Bundle, section 4; X509-SVID, section 6): a JWK set.
    ///
    /// Keys with `use: x509-svid` must hold exactly one CA certificate in `x5c`; keys with `use: jwt-svid` are kept as
    /// they came. Keys of unknown `use` or `kty`, or without `use`, are skipped as the standard asks. A set without
    /// any key is a bundle that trusts nobody: it takes back what an earlier one gave.
    ///
    /// # Errors
    /// [`BundleError`] when the document is too large, is not such a JWK set, holds a key twice in one object, or one
    /// of its X.509 keys is no CA certificate: the whole document is refused then, as gRPC (gRFC A87) does.
    pub fn from_spiffe_json(trust_domain: TrustDomain, json: &[u8]) -> Result<Self, BundleError> {
        too_large(json, MAX_JSON)?;
        jwk::read_set(trust_domain, read_json(json)?)
    }

    fn new(
        trust_domain: TrustDomain,
        roots: Vec<CertificateDer<'static>>,
        jwt_keys: Vec<Map<String, Value>>,
    ) -> Result<Self, BundleError> {
        if roots.len() + jwt_keys.len() > MAX_KEYS {
            let found = roots.len() + jwt_keys.len();
            return Err(BundleError::TooManyKeys {
                found,
                limit: MAX_KEYS,
            });
        }
        let mut checked = Vec::with_capacity(roots.len());
        for (position, root) in (1..).zip(roots) {
            let (anchor, validity) = check_root(&root, position)?;
            checked.push((root, anchor, validity));
        }
        // One order however they came, so that a server that shuffles its answer gives no new generation.
        checked.sort_by(|(a, _, a_valid), (b, _, b_valid)| {
            (Reverse(a_valid.not_after), a.as_ref()).cmp(&(Reverse(b_valid.not_after), b.as_ref()))
        });
        checked.dedup_by(|(a, ..), (b, ..)| a == b);
        let mut jwt_keys = jwt_keys;
        jwt_keys.sort_by_cached_key(|key| Value::Object(key.clone()).to_string());
        let mut bundle = Self {
            trust_domain,
            roots: Vec::with_capacity(checked.len()),
            anchors: Vec::with_capacity(checked.len()),
            validities: Vec::with_capacity(checked.len()),
            jwt_keys,
            sequence: None,
            refresh_hint: None,
        };
        for (root, anchor, validity) in checked {
            bundle.roots.push(root);
            bundle.anchors.push(anchor);
            bundle.validities.push(validity);
        }
        Ok(bundle)
    }

    /// The same bundle with one more key for JWT-SVIDs, a JWK with `use: jwt-svid` and a `kid` (JWT-SVID section 6.1).
    ///
    /// # Errors
    /// [`BundleError`] when it is no such JWK, or one too many.
    pub fn with_jwt_key(self, key: Map<String, Value>) -> Result<Self, BundleError> {
        let position = self.jwt_keys.len() + 1;
        let (sequence, refresh_hint) = (self.sequence, self.refresh_hint);
        let mut jwt_keys = self.jwt_keys;
        jwt_keys.push(jwk::jwt_key(position, key)?);
        let mut bundle = Self::new(self.trust_domain, self.roots, jwt_keys)?;
        (bundle.sequence, bundle.refresh_hint) = (sequence, refresh_hint);
        Ok(bundle)
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots, the one that lasts longest first. Empty: this domain trusts nobody.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The roots as webpki wants them, in the order of [`Self::roots`].
    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// From when until when, in the order of [`Self::roots`].
    pub(crate) fn validities(&self) -> &[Validity] {
        &self.validities
    }

    /// The JWT keys (`use: jwt-svid`) as they came.
    pub fn jwt_keys(&self) -> &[Map<String, Value>] {
        &self.jwt_keys
    }

    /// `spiffe_sequence`: a number that grows with each change at the source.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// `spiffe_refresh_hint`: how often the source suggests to ask again.
    pub fn refresh_hint(&self) -> Option<Duration> {
        self.refresh_hint
    }

    /// The roots in PEM. Empty for a bundle without roots.
    pub fn to_pem(&self) -> String {
        let blocks = self.roots.iter().map(|root| pem::encode("CERTIFICATE", root));
        blocks.fold(String::new(), |all, block| all + &block)
    }

    /// The SPIFFE bundle document. The same bundle always gives the same bytes.
    ///
    /// Each root is a JWK with its key's own members (`crv`, `x`, `y`; `n`, `e`), so that strict JWK readers take it.
    /// A root whose key has no JWK form known here (not RSA, P-256, P-384, P-521 or Ed25519) is left out.
    pub fn to_spiffe_json(&self) -> String {
        format!("{:#}\n", Value::Object(jwk::write_set(self)))
    }

    /// The keys for JWT-SVIDs alone, as a JWK set (RFC 7517) for the Workload API's `FetchJWTBundles` (section 6.2.2). The same
    /// bundle always gives the same bytes; without such keys it is an empty set.
    ///
    /// A key without `kid` is left out, because readers refuse the whole set for it, and a private key that somebody put into
    /// the bundle shows its public half.
    pub fn to_jwks_json(&self) -> String {
        Value::Object(jwk::write_jwt_set(self)).to_string()
    }
}

impl PartialEq for TrustBundle {
    fn eq(&self, other: &Self) -> bool {
        // `anchors` and `validities` follow from the roots.
        self.trust_domain == other.trust_domain
            && self.roots == other.roots
            && self.jwt_keys == other.jwt_keys
    }
}

impl Eq for TrustBundle {}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("trust_domain", &self.trust_domain.as_str())
            .field("roots", &self.roots.len())
            .field("jwt_keys", &self.jwt_keys.len())
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

fn read_json(json: &[u8]) -> Result<Map<String, Value>, BundleError> {
    strict_json::object(json).map_err(|error| match error {
        StrictJsonError::Syntax(error) => BundleError::Json(error),
        StrictJsonError::DuplicateKey { key, line } => BundleError::DuplicateKey { key, line },
        StrictJsonError::NotObject => BundleError::Member {
            member: "the top level",
            wanted: "a JSON object",
        },
    })
}

fn too_large(document: &[u8], limit: usize) -> Result<(), BundleError> {
    if document.len() > limit {
        return Err(BundleError::TooLarge {
            found: document.len(),
            limit,
        });
    }
    Ok(())
}

/// X509-SVID section 3.2: a CA, and one that may sign certificates.
fn check_root(
    root: &CertificateDer<'_>,
    position: usize,
) -> Result<(TrustAnchor<'static>, Validity), BundleError> {
    let malformed = |source| BundleError::Certificate { position, source };
    let parsed = certificate::parse(root).map_err(malformed)?;
    if !certificate::may_sign(&parsed).map_err(malformed)? {
        let certificate = certificate::name(&parsed, CertificateRole::Root);
        return Err(BundleError::NotCa {
            position,
            certificate,
        });
    }
    let anchor = webpki::anchor_from_trusted_cert(root)
        .map_err(|_| malformed(certificate::CertificateError::Der))?
        .to_owned();
    Ok((anchor, Validity::of(&parsed)))
}
