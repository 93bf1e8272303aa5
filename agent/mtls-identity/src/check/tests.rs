//! Candidates good and bad. The faults of certificates are in tests/odd_certificates.rs; here is what needs no file.
use super::*;
use crate::spiffe_id::TrustDomain;
use std::time::{Duration, SystemTime};
use testkit::pki::{Ca, Leaf, LeafSpec, Validity as Span, World};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[expect(clippy::disallowed_methods, reason = "testkit makes certificates for now")]
fn in_seconds(offset: i64) -> UnixTime {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    UnixTime::since_unix_epoch(Duration::from_secs(now.checked_add_signed(offset).unwrap()))
}

fn candidate(leaf: &Leaf, root_pem: &str) -> Candidate {
    Candidate {
        certificates_pem: leaf.chain_pem.clone().into_bytes(),
        private_key_pem: leaf.key_pem.clone().into_bytes().into(),
        bundles: CandidateBundles::OwnPem(root_pem.as_bytes().to_vec()),
    }
}

fn prove(candidate: &Candidate, offset: i64) -> Result<IdentitySnapshot, Refusal> {
    Prover::new(provider()).prove(candidate, in_seconds(offset))
}

fn reason(candidate: &Candidate) -> &'static str {
    prove(candidate, 0).map_or_else(|refusal| refusal.reason(), |_| "good")
}

#[test]
fn a_good_candidate_becomes_an_identity() {
    let world = World::new("example.org");
    let leaf = world.leaf("/a/b");
    let identity = prove(&candidate(&leaf, &world.root.cert_pem), 0).unwrap();
    assert_eq!(identity.id().as_str(), "spiffe://example.org/a/b");
    assert_eq!(identity.chain().len(), 2);
    assert_eq!(identity.chain_pem(), leaf.chain_pem.replace('\r', ""));
    assert_eq!(identity.private_key_pkcs8(), leaf.key_der);
    assert_eq!(identity.generation(), 0);
    assert!(identity.not_before() < in_seconds(0) && in_seconds(0) < identity.not_after());
}
