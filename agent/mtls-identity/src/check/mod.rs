//! The checks that make a candidate an identity.
//!
//! In: a [`Candidate`] and the time. Out: an [`IdentitySnapshot`], or the one [`Refusal`] that says what is wrong. Never
//! reads a clock, a file or the network; never lets a candidate pass with a warning.

pub(crate) mod chain;
pub(crate) mod issuers;
mod key;
pub(crate) mod leaf;
mod refusal;
#[cfg(test)]
mod tests;

pub use crate::certificate::{CertificateError, CertificateName, CertificateRole};
pub use crate::pem::PemError;
pub use chain::ChainFault;
pub use refusal::Refusal;

use crate::bundle::{TrustBundle, TrustBundles};
use crate::candidate::{Candidate, CandidateBundles};
use crate::certificate::{self, Validity};
use crate::peer::IdPattern;
use crate::pem;
use crate::snapshot::IdentitySnapshot;
use crate::spiffe_id::SpiffeId;
use crate::vouched::Vouched;
use chain::{ChainError, Usage};
use issuers::Issuers;
use pki_types::{CertificateDer, UnixTime};
use rustls::crypto::CryptoProvider;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;

/// A chain of ten certificates of 16 KiB, as PEM, with text between them.
const MAX_CERTIFICATES_PEM: usize = 256 * 1024;
/// Leaf and nine CAs; more than any hierarchy in use.
pub(crate) const MAX_CHAIN: usize = 10;

/// Proves candidates.
///
/// ```
/// use mtls_identity::candidate::CandidateBundles;
/// use mtls_identity::{Candidate, Prover};
/// use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
/// use std::sync::Arc;
///
/// // What Compute Engine or another platform would have delivered:
/// let world = testkit::pki::World::new("example.org");
/// let delivered = world.leaf("/ns/shop/sa/payments");
/// let candidate = Candidate {
///     certificates_pem: delivered.chain_pem.into_bytes().into(),
///     private_key_pem: delivered.key_pem.into_bytes().into(),
///     bundles: CandidateBundles::OwnPem(world.root.cert_pem.into_bytes()),
/// };
///
/// let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
/// let now = DefaultTimeProvider.current_time().ok_or("no clock")?;
/// let identity = prover.prove(&candidate, now)?;
/// assert_eq!(identity.id().as_str(), "spiffe://example.org/ns/shop/sa/payments");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prover {
    provider: Arc<CryptoProvider>,
    expect: Option<IdPattern>,
}

impl Prover {
    /// A prover that accepts any identity. The provider loads keys and verifies signatures.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            expect: None,
        }
    }

    /// Refuse any other identity.
    #[must_use]
    pub fn expecting(mut self, expect: Option<IdPattern>) -> Self {
        self.expect = expect;
        self
    }

    /// Proves a candidate at the time `now`.
    ///
    /// A root that came with the chain is not presented to peers: it is dropped from the identity's chain.
    ///
    /// # Errors
    /// The first [`Refusal`] found. The order is: the certificates' form, the leaf, the other certificates, the key, the
    /// bundles, the times, the chain to a root. [`Refusal::retry_at`] says when a candidate of the future is worth another
    /// try.
    pub fn prove(&self, candidate: &Candidate, now: UnixTime) -> Result<IdentitySnapshot, Refusal> {
        let ders = read_certificates(&candidate.certificates_pem)?;
        let parsed = parse_all(&ders)?;
        let (leaf, others) = parsed.split_first().ok_or(Refusal::CertificatesEmpty)?;
        leaf_comes_first(leaf, others)?;
        let id = leaf::spiffe_id(leaf)?;
        self.expected(&id)?;
        for (position, other) in (1..).zip(others) {
            may_sign(other, CertificateRole::Intermediate(position))?;
        }
        let kept = presented(&parsed);
        let chain: Vec<_> = kept.iter().map(|position| ders[*position].clone()).collect();
        let (key_pkcs8, certified_key) =
            key::prove(&self.provider, leaf, &chain, &candidate.private_key_pem)?;
        let bundles = read_bundles(&candidate.bundles, &id)?;
        let own = own_bundle(&bundles, &id)?;
        let validity = valid_now(kept.iter().map(|position| &parsed[*position]), now)?;
        let verified = self.reaches_root(own, &chain, now)?;
        Ok(IdentitySnapshot {
            serial: certificate::serial(leaf),
            not_before: validity.not_before,
            not_after: validity.not_after.min(verified.root.not_after),
            id,
            chain,
            key_pkcs8,
            certified_key,
            bundles,
            generation: 0,
            vouched: Vouched::default(),
        })
    }

    fn expected(&self, id: &SpiffeId) -> Result<(), Refusal> {
        match &self.expect {
            Some(expected) if !expected.matches(id) => Err(Refusal::UnexpectedId {
                found: id.clone(),
                expected: expected.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// For both sides of a connection: the identity will be used as server and as client.
    fn reaches_root(
        &self,
        own: &TrustBundle,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Result<chain::Verified, Refusal> {
        let (leaf, intermediates) = chain.split_first().ok_or(Refusal::CertificatesEmpty)?;
        let algorithms = &self.provider.signature_verification_algorithms;
        let issuers = Issuers::default();
        let verify = |usage| chain::verify(algorithms, &issuers, own, leaf, intermediates, now, usage);
        let refused = |error: ChainError| error.into_refusal(own.trust_domain());
        let server = verify(Usage::Server).map_err(refused)?;
        let client = verify(Usage::Client).map_err(refused)?;
        Ok(chain::Verified {
            root: server.root.and(client.root),
        })
    }
}

fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    if pem.len() > MAX_CERTIFICATES_PEM {
        return Err(Refusal::CertificatesTooLarge {
            found: pem.len(),
            limit: MAX_CERTIFICATES_PEM,
        });
    }
    let blocks = pem::blocks(pem, |label| label == "CERTIFICATE").map_err(Refusal::CertificatesPem)?;
    match blocks.len() {
        0 => Err(Refusal::CertificatesEmpty),
        found if found > MAX_CHAIN => Err(Refusal::ChainTooLong {
            found,
            limit: MAX_CHAIN,
        }),
        _ => Ok(blocks
            .into_iter()
            .map(|block| block.der.to_vec().into())
            .collect()),
    }
}

fn parse_all<'a>(ders: &'a [CertificateDer<'_>]) -> Result<Vec<X509Certificate<'a>>, Refusal> {
    let parse = |(position, der): (usize, &'a CertificateDer<'_>)| {
        certificate::parse(der).map_err(|source| Refusal::Certificate { position, source })
    };
    (1..).zip(ders).map(parse).collect()
}

fn is_ca(certificate: &X509Certificate<'_>, role: CertificateRole) -> Result<bool, Refusal> {
    certificate::is_ca(certificate).map_err(|source| Refusal::Extension {
        certificate: certificate::name(certificate, role),
        source,
    })
}

/// A chain that begins with a CA and has a leaf elsewhere was put together the wrong way round.
fn leaf_comes_first(first: &X509Certificate<'_>, others: &[X509Certificate<'_>]) -> Result<(), Refusal> {
    if !is_ca(first, CertificateRole::Leaf)? {
        return Ok(());
    }
    for (position, other) in (1..).zip(others) {
        if !is_ca(other, CertificateRole::Intermediate(position))? {
            return Err(Refusal::LeafNotFirst {
                first: certificate::name(first, CertificateRole::Intermediate(0)),
                leaf_position: position + 1,
            });
        }
    }
    Ok(())
}

/// X509-SVID section 3.2.
fn may_sign(certificate: &X509Certificate<'_>, role: CertificateRole) -> Result<(), Refusal> {
    let name = || certificate::name(certificate, role);
    if !is_ca(certificate, role)? {
        return Err(Refusal::IntermediateNotCa { certificate: name() });
    }
    let usage = certificate.key_usage().map_err(|_| Refusal::Extension {
        certificate: name(),
        source: CertificateError::Extension {
            extension: "keyUsage",
        },
    })?;
    match usage {
        Some(usage) if usage.value.key_cert_sign() => Ok(()),
        _ => Err(Refusal::IntermediateMayNotSign { certificate: name() }),
    }
}

/// The positions of the certificates that peers get to see: all but roots, which peers must have already.
fn presented(parsed: &[X509Certificate<'_>]) -> Vec<usize> {
    let kept = parsed.iter().enumerate();
    kept.filter(|(position, certificate)| *position == 0 || !certificate::is_root(certificate))
        .map(|(position, _)| position)
        .collect()
}

fn read_bundles(bundles: &CandidateBundles, id: &SpiffeId) -> Result<TrustBundles, Refusal> {
    match bundles {
        CandidateBundles::OwnPem(pem) => {
            TrustBundle::from_pem(id.trust_domain().clone(), pem).map(TrustBundles::of)
        }
        CandidateBundles::MapJson(json) => TrustBundles::from_map_json(json),
        CandidateBundles::Parsed(bundles) => Ok(bundles.clone()),
    }
    .map_err(Refusal::Bundles)
}

fn own_bundle<'a>(bundles: &'a TrustBundles, id: &SpiffeId) -> Result<&'a TrustBundle, Refusal> {
    match bundles.get(id.trust_domain()) {
        Some(own) if own.roots().is_empty() => Err(Refusal::OwnBundleEmpty {
            trust_domain: id.trust_domain().clone(),
        }),
        Some(own) => Ok(own),
        None => Err(Refusal::NoOwnBundle {
            trust_domain: id.trust_domain().clone(),
            found: bundles
                .iter()
                .take(10)
                .map(|bundle| bundle.trust_domain().clone())
                .collect(),
        }),
    }
}

/// The time in which every certificate of the chain is valid; refused when that is not now. An expired certificate counts
/// before one of the future, because waiting does not heal it.
fn valid_now<'a>(
    chain: impl Iterator<Item = &'a X509Certificate<'a>>,
    now: UnixTime,
) -> Result<Validity, Refusal> {
    let named: Vec<_> = chain
        .enumerate()
        .map(|(position, certificate)| {
            let role = CertificateRole::in_chain(position);
            (certificate::name(certificate, role), Validity::of(certificate))
        })
        .collect();
    let first_to_end = named.iter().min_by_key(|(_, validity)| validity.not_after);
    let last_to_begin = named.iter().max_by_key(|(_, validity)| validity.not_before);
    match (first_to_end, last_to_begin) {
        (Some((certificate, Validity { not_after, .. })), _) if *not_after < now => Err(Refusal::Expired {
            certificate: certificate.clone(),
            not_after: *not_after,
            now,
        }),
        (_, Some((certificate, Validity { not_before, .. }))) if now < *not_before => {
            Err(Refusal::NotYetValid {
                certificate: certificate.clone(),
                not_before: *not_before,
                now,
            })
        }
        (Some((_, end)), Some((_, begin))) => Ok(Validity {
            not_before: begin.not_before,
            not_after: end.not_after,
        }),
        _ => Err(Refusal::CertificatesEmpty),
    }
}
