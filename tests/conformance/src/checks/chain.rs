//! The chain and the bundle together: X509-SVID, 5.1; SPIFFE-ID, 3.
use super::x509::every;
use super::{Check, Document, Finding, Look, Outcome, must};
use crate::reading::cert;
use crate::seen::{Cert, Identity, Server};

pub(super) const CHECKS: &[Check] = &[must(
    "x509.path",
    Document::X509,
    "5.1",
    "the SVID verifies to the bundle of its trust domain by RFC 5280's path validation, now",
    Look::At(path),
)];

fn path(server: &Server) -> Outcome {
    every(server, |identity| verifies(server, identity))
}

/// Whether the chain of an identity leads to its bundle.
pub(super) fn verifies(server: &Server, identity: &Identity) -> Outcome {
    // Where an entry has its leaf elsewhere, that is another check's.
    let mut chain: Vec<&Cert> = identity.chain()?.iter().collect();
    chain.sort_by_key(|cert| cert.facts.is_ca);
    let chain: Vec<&[u8]> = chain.iter().map(|cert| cert.der.as_slice()).collect();
    let roots: Vec<&[u8]> = identity
        .bundle()?
        .iter()
        .map(|cert| cert.der.as_slice())
        .collect();
    cert::verify(&chain, &roots, server.now)
        .map(|()| format!("{} certificates to {} roots", chain.len(), roots.len()))
        .map_err(Finding::Fails)
}
