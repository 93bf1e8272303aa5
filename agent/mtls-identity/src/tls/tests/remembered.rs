//! A peer that connects again is not verified again by signatures, and is refused all the same once anything that it was verified by has changed.

use super::{HERE, MovedClock, Outcome, Side, handshake, provider};
use crate::tls::TlsOptions;
use pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::pki::{Ca, LeafSpec, Validity, World};

/// The client's certificate ends after an hour by the server's clock, its CA long after.
fn short_lived(world: &World, trusted: &[&World]) -> Side {
    let mut spec = LeafSpec::new("spiffe://here.test/client");
    spec.validity = Validity { from: -60, to: 3600 };
    let mut side = Side::empty();
    side.adopt(&world.leaf_of(&spec), trusted);
    side
}

/// In another trust domain, and so that nothing of its own ends.
fn elsewhere(trusted: &World) -> (World, Side) {
    let other = World::new("other.test");
    let mut server = Side::empty();
    server.adopt(&other.leaf("/server"), &[&other, trusted]);
    (other, server)
}

/// A client that the server has let in twice.
fn known(client: &Side, server: &Side) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let (client, server) = (client.client(), server.server());
    for _ in 0..2 {
        handshake(&client, &server).works();
    }
    (client, server)
}

fn refused(outcome: &Outcome, why: &str) {
    let said = format!("{:?}", outcome.server_error);
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_known_peer_is_refused_when_its_certificate_ends() {
    let world = World::new(HERE);
    let server = Side::new(&world, "/server", &[&world]);
    let (client, config) = known(&short_lived(&world, &[&world]), &server);
    server.clock.forward(3590);
    handshake(&client, &config).works();
    server.clock.forward(20);
    refused(&handshake(&client, &config), "Expired");
    // It was set back: the chain holds again.
    server.clock.forward(-20);
    handshake(&client, &config).works();
}

#[test]
fn a_known_peer_is_refused_when_its_root_leaves_the_bundle_or_the_bundle_goes() {
    let (world, renewed, other) = (World::new(HERE), World::new(HERE), World::new("other.test"));
    let leaf = other.leaf("/server");
    for (trusted, why) in [
        (&[&other, &renewed][..], "BadSignature"),
        (&[&other], "UnknownTrustDomain"),
    ] {
        let mut server = Side::empty();
        server.adopt(&leaf, &[&other, &world]);
        let (client, config) = known(&short_lived(&world, &[&world, &other]), &server);
        server.adopt(&leaf, trusted);
        refused(&handshake(&client, &config), why);
    }
}

#[test]
fn a_known_peer_is_refused_when_a_ca_above_it_ends() {
    const HOUR: Validity = Validity { from: -60, to: 3600 };
    let short_root = Ca::root_valid(HERE, HOUR);
    let by_root = World {
        intermediate: short_root.intermediate(),
        root: short_root,
    };
    let root = Ca::root(HERE);
    let by_intermediate = World {
        intermediate: root.intermediate_with(HOUR, |_| {}),
        root,
    };
    for (world, why) in [(by_root, "RootExpired"), (by_intermediate, "Expired")] {
        let (other, server) = elsewhere(&world);
        let client = Side::new(&world, "/client", &[&world, &other]);
        let (client, config) = known(&client, &server);
        server.clock.forward(3590);
        handshake(&client, &config).works();
        server.clock.forward(20);
        refused(&handshake(&client, &config), why);
    }
}

/// Both configs have one store, and so one memory.
#[test]
fn a_peer_that_one_provider_knows_is_not_known_to_another() {
    let world = World::new(HERE);
    let mut server = Side::new(&world, "/server", &[&world]);
    let (client, _) = known(&short_lived(&world, &[&world]), &server);
    let mut stricter = CryptoProvider::clone(&provider());
    stricter.signature_verification_algorithms.all = &[];
    server.options = TlsOptions::new(Arc::new(stricter), Arc::new(MovedClock::default()));
    refused(
        &handshake(&client, &server.server()),
        "UnsupportedSignatureAlgorithm",
    );
}

/// Whoever has the chain of a known peer, and not its key, is still nobody.
#[test]
fn a_known_chain_with_another_key_is_refused() {
    let world = World::new(HERE);
    let server = Side::new(&world, "/server", &[&world]);
    let identity = short_lived(&world, &[&world]);
    let (_, config) = known(&identity, &server);
    let (true_one, other) = (identity.reader.current().unwrap(), world.leaf("/client"));
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(
        &pki_types::pem::PemObject::from_pem_slice(other.key_pem.as_bytes()).unwrap(),
    )
    .unwrap();
    let thief = |chain: &[pki_types::CertificateDer<'static>], key| {
        let mut config = ClientConfig::clone(&identity.client());
        let shown = rustls::sign::CertifiedKey::new(chain.to_vec(), key);
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(shown));
        Arc::new(config)
    };
    let own_key = Arc::clone(&true_one.certified_key().key);
    handshake(&thief(true_one.chain(), own_key), &config).works();
    refused(&handshake(&thief(true_one.chain(), key), &config), "BadSignature");
}

/// Counts what the chain's check asks of the provider; the signature of the handshake itself goes another way.
#[derive(Debug)]
struct Counted(&'static dyn SignatureVerificationAlgorithm);

static ASKED: AtomicUsize = AtomicUsize::new(0);

impl SignatureVerificationAlgorithm for Counted {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        self.0.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

fn counting() -> CryptoProvider {
    let provider = CryptoProvider::clone(&provider());
    let true_ones = provider.signature_verification_algorithms;
    let counted = true_ones
        .all
        .iter()
        .map(|one| -> &'static dyn SignatureVerificationAlgorithm { Box::leak(Box::new(Counted(*one))) });
    CryptoProvider {
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: Box::leak(counted.collect::<Vec<_>>().into_boxed_slice()),
            mapping: true_ones.mapping,
        },
        ..provider
    }
}

#[test]
fn a_known_peers_chain_is_verified_once_a_generation() {
    let world = World::new(HERE);
    let mut server = Side::new(&world, "/server", &[&world]);
    server.options = TlsOptions::new(Arc::new(counting()), Arc::new(MovedClock::default()));
    let config = server.server();
    let [one, other] = [(); 2].map(|()| short_lived(&world, &[&world]).client());
    let asked = |client| {
        let before = ASKED.load(Ordering::SeqCst);
        handshake(client, &config).works();
        ASKED.load(Ordering::SeqCst) - before
    };
    let once = asked(&one);
    assert!(once > 0);
    assert_eq!(asked(&one), 0);
    assert_eq!(asked(&other), once);
    assert_eq!((asked(&other), asked(&one)), (0, 0));
    // Another identity of the server's own, under the same bundles.
    server.adopt(&world.leaf("/server"), &[&world]);
    assert_eq!((asked(&one), asked(&one)), (once, 0));
}
