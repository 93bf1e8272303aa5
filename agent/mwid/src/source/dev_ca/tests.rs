//! The development CA makes what strict clients take, rotates at half life, and can be told apart.
use super::*;
use crate::shutdown::Shutdown;
use mtls_identity::{Prover, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use std::sync::Arc;
use tokio::sync::mpsc;
use x509_parser::prelude::{FromDer, X509Certificate};

fn domain() -> TrustDomain {
    TrustDomain::parse("dev.internal").unwrap()
}

fn now() -> UnixTime {
    DefaultTimeProvider.current_time().unwrap()
}

#[test]
fn a_leaf_is_proven_and_shaped_like_the_platform_s() {
    let authority = Authority::new(&domain(), now()).unwrap();
    let candidate = authority
        .leaf(
            "spiffe://dev.internal/ns/a/sa/b",
            Duration::from_secs(60),
            vec![],
            now(),
        )
        .unwrap();
    let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let identity = prover.prove(&candidate, now()).unwrap();
    assert_eq!(identity.id().as_str(), "spiffe://dev.internal/ns/a/sa/b");
    assert_eq!(identity.chain().len(), 2);
    assert!(is_ours(&identity));
    assert!(identity.not_after().as_secs() <= now().as_secs() + 60);

    let (_, leaf) = X509Certificate::from_der(&identity.chain()[0]).unwrap();
    assert_eq!(leaf.subject().iter().count(), 0);
    assert!(leaf.subject_alternative_name().unwrap().unwrap().critical);
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_agreement() && !usage.key_cert_sign());
}

#[test]
fn another_ca_s_identity_is_not_ours() {
    let world = testkit::pki::World::new("example.org");
    let leaf = world.leaf("/a");
    let candidate = mtls_identity::Candidate {
        certificates_pem: leaf.chain_pem.into_bytes().into(),
        private_key_pem: leaf.key_pem.into_bytes().into(),
        bundles: mtls_identity::candidate::CandidateBundles::OwnPem(world.root.cert_pem.into_bytes()),
    };
    let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    assert!(!is_ours(&prover.prove(&candidate, now()).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn rotates_at_half_life_below_the_same_root() {
    let (out, mut reports) = mpsc::channel(1);
    let shutdown = Shutdown::default();
    let origin = Origin {
        out,
        clock: Arc::new(DefaultTimeProvider),
        server: crate::metadata::Server::of(&crate::metadata::Environment::default(), &[]).0,
        stop: shutdown.child(),
        tasks: shutdown.clone(),
    };
    let start_time = tokio::time::Instant::now();
    start(&domain(), "/a/b", Duration::from_secs(1000), &origin);
    let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let mut seen = Vec::new();
    for n in 0..3 {
        let Some(Report::Delivery(delivery)) = reports.recv().await else {
            panic!("a delivery");
        };
        let elapsed = start_time.elapsed().as_secs();
        assert_eq!(elapsed, n * 500);
        seen.push(prover.prove(&delivery.candidate, now()).unwrap());
    }
    assert_ne!(seen[0].serial(), seen[1].serial());
    assert_ne!(seen[0].private_key_pkcs8(), seen[1].private_key_pkcs8());
    assert_eq!(seen[0].bundles(), seen[2].bundles());
    assert!(shutdown.stop(Duration::from_secs(5)).await);
}
