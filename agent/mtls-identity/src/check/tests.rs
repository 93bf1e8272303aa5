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
        certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
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

#[test]
fn no_key_byte_shows_in_debug() {
    let world = World::new("example.org");
    let leaf = world.leaf("/a");
    let candidate = candidate(&leaf, &world.root.cert_pem);
    let shown = format!("{candidate:?} {:?}", prove(&candidate, 0).unwrap());
    let key = leaf.key_pem.lines().nth(1).unwrap();
    assert!(
        !shown.contains(&key[..16]) && !shown.contains("48, 129"),
        "{shown}"
    );
    assert!(shown.len() < 500, "closed: {shown}");
}

#[test]
fn sizes_are_bounded_before_anything_is_parsed() {
    let world = World::new("example.org");
    let leaf = world.leaf("/a");
    let good = || candidate(&leaf, &world.root.cert_pem);
    let padding = "\n".repeat(MAX_CERTIFICATES_PEM);
    let mut large = good();
    large.certificates_pem.extend(padding.bytes());
    assert_eq!(reason(&large), "certificates_too_large");
    let mut large = good();
    large.private_key_pem.extend(padding.bytes());
    assert_eq!(reason(&large), "key_too_large");
    let mut large = good();
    large.bundles = CandidateBundles::OwnPem(vec![b'\n'; 2 * 1024 * 1024]);
    assert_eq!(reason(&large), "bundles");
}

#[test]
fn the_message_of_a_long_subject_is_short_and_on_one_line() {
    let root = Ca::root("example.org");
    let intermediate = root.intermediate_with(Span { from: -10, to: -5 }, |params| {
        let name = format!("line\nbreak \u{1b}[31m {}", "x".repeat(5000));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
    });
    let mut leaf = intermediate.leaf(&LeafSpec::new("spiffe://example.org/a"));
    leaf.chain_pem += &intermediate.cert_pem;
    let message = prove(&candidate(&leaf, &root.cert_pem), 0)
        .unwrap_err()
        .to_string();
    assert!(message.contains("intermediate certificate 1") && message.contains("expired"));
    assert!(
        message.len() < 500 && !message.contains(['\n', '\u{1b}']),
        "{message}"
    );
}

#[test]
fn of_a_root_and_its_renewal_the_later_end_counts() {
    let years = |params: &mut rcgen::CertificateParams, to| {
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut root = |to| {
        years(&mut params, to);
        (params.self_signed(&key).unwrap().pem(), params.clone())
    };
    let ((short, _), (renewed, params)) = (root(2031), root(2040));
    let issuer = rcgen::Issuer::new(params, key);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::default();
    years(&mut leaf, 2035);
    leaf.subject_alt_names = vec![rcgen::SanType::URI("spiffe://example.org/a".try_into().unwrap())];
    leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    let chain = leaf.signed_by(&leaf_key, &issuer).unwrap().pem();
    let ends = |roots: &str| {
        let candidate = Candidate {
            certificates_pem: chain.clone().into_bytes().into(),
            private_key_pem: leaf_key.serialize_pem().into_bytes().into(),
            bundles: CandidateBundles::OwnPem(roots.as_bytes().to_vec()),
        };
        let in_2030 = UnixTime::since_unix_epoch(Duration::from_secs(1_900_000_000));
        let identity = Prover::new(provider()).prove(&candidate, in_2030).unwrap();
        crate::time::Rfc3339(identity.not_after()).to_string()
    };
    assert_eq!(
        ends(&short),
        "2031-01-01T00:00:00Z",
        "the root ends before the leaf"
    );
    assert_eq!(
        ends(&format!("{short}{renewed}")),
        "2035-01-01T00:00:00Z",
        "the leaf ends first"
    );
}

#[test]
fn an_expired_root_beside_a_good_one_does_no_harm() {
    let world = World::new("example.org");
    let old = Ca::root_valid("example.org", Span { from: -100, to: -50 });
    let both = format!("{}{}", old.cert_pem, world.root.cert_pem);
    prove(&candidate(&world.leaf("/a"), &both), 0).unwrap();

    let below_old = old.leaf(&LeafSpec::new("spiffe://example.org/a"));
    let refusal = prove(&candidate(&below_old, &both), 0).unwrap_err();
    assert_eq!(refusal.reason(), "root_expired", "{refusal}");
}

#[test]
fn an_expired_certificate_counts_before_one_of_the_future() {
    let world = World::new("example.org");
    let late = world.root.intermediate_with(Span { from: 100, to: 200 }, |_| {});
    let mut spec = LeafSpec::new("spiffe://example.org/a");
    spec.validity = Span { from: -200, to: -100 };
    let mut leaf = late.leaf(&spec);
    leaf.chain_pem += &late.cert_pem;
    assert_eq!(reason(&candidate(&leaf, &world.root.cert_pem)), "expired");

    spec.validity = Span { from: 50, to: 300 };
    let mut leaf = late.leaf(&spec);
    leaf.chain_pem += &late.cert_pem;
    let refusal = prove(&candidate(&leaf, &world.root.cert_pem), 0).unwrap_err();
    let retry = refusal.retry_at().unwrap();
    assert!(
        retry.as_secs() >= in_seconds(95).as_secs(),
        "not before the last of them begins"
    );
    prove(&candidate(&leaf, &world.root.cert_pem), 110).unwrap();
}

#[test]
fn a_provider_that_cannot_tell_whose_key_it_is_is_not_believed() {
    #[derive(Debug)]
    struct Mute(Arc<dyn rustls::sign::SigningKey>);
    impl rustls::sign::SigningKey for Mute {
        fn choose_scheme(
            &self,
            offered: &[rustls::SignatureScheme],
        ) -> Option<Box<dyn rustls::sign::Signer>> {
            self.0.choose_scheme(offered)
        }
        fn algorithm(&self) -> rustls::SignatureAlgorithm {
            self.0.algorithm()
        }
    }
    #[derive(Debug)]
    struct Loader;
    impl rustls::crypto::KeyProvider for Loader {
        fn load_private_key(
            &self,
            key: pki_types::PrivateKeyDer<'static>,
        ) -> Result<Arc<dyn rustls::sign::SigningKey>, rustls::Error> {
            Ok(Arc::new(Mute(provider().key_provider.load_private_key(key)?)))
        }
    }
    let mut mute = (*provider()).clone();
    mute.key_provider = &Loader;
    let world = World::new("example.org");
    let candidate = candidate(&world.leaf("/a"), &world.root.cert_pem);
    let refusal = Prover::new(Arc::new(mute))
        .prove(&candidate, in_seconds(0))
        .unwrap_err();
    assert_eq!(refusal.reason(), "key_not_comparable");
}

#[test]
fn a_provider_without_the_chains_algorithm_is_told_so() {
    let mut poor = (*provider()).clone();
    poor.signature_verification_algorithms = rustls::crypto::WebPkiSupportedAlgorithms {
        all: &[],
        mapping: &[],
    };
    let world = World::new("example.org");
    let candidate = candidate(&world.leaf("/a"), &world.root.cert_pem);
    let refusal = Prover::new(Arc::new(poor))
        .prove(&candidate, in_seconds(0))
        .unwrap_err();
    let Refusal::Chain { source, .. } = refusal else {
        panic!("{refusal}")
    };
    assert!(source.to_string().contains("signature algorithm"), "{source}");
}

#[test]
fn bundles_that_were_parsed_before_are_taken_as_they_are() {
    let world = World::new("example.org");
    let mut candidate = candidate(&world.leaf("/a"), &world.root.cert_pem);
    let domain = TrustDomain::parse("example.org").unwrap();
    let own = TrustBundle::from_roots(domain, vec![world.root.cert_der.clone().into()]).unwrap();
    candidate.bundles = CandidateBundles::Parsed(TrustBundles::of(own));
    prove(&candidate, 0).unwrap();
    candidate.bundles = CandidateBundles::Parsed(TrustBundles::default());
    assert_eq!(reason(&candidate), "no_own_bundle");
}

#[test]
fn a_peers_leaf_is_read_by_the_same_checks() {
    let world = World::new("example.org");
    let good = leaf::spiffe_id_of_der(&world.leaf("/a").leaf_der.into()).unwrap();
    assert_eq!(good.as_str(), "spiffe://example.org/a");
    let mut spec = LeafSpec::new("spiffe://example.org/a");
    spec.uris.push("spiffe://example.org/b".into());
    let odd = leaf::spiffe_id_of_der(&world.leaf_of(&spec).leaf_der.into()).unwrap_err();
    assert_eq!(odd.reason(), "many_uri_sans");
    assert!(leaf::spiffe_id_of_der(&vec![0x30, 0].into()).is_err());
    let mut trailing = world.leaf("/a").leaf_der;
    trailing.push(0);
    assert!(leaf::spiffe_id_of_der(&trailing.into()).is_err());
}

#[test]
fn a_uri_that_is_no_text_still_counts_as_one() {
    let world = World::new("example.org");
    let mut spec = LeafSpec::new("");
    spec.uris.clear();
    let good = b"\x86\x16spiffe://example.org/a";
    let names = [&good[..], b"\x86\x02\xff\xfe"].concat();
    let names = [&[0x30, u8::try_from(names.len()).unwrap()], &names[..]].concat();
    spec.extensions = vec![rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], names)];
    let refusal = leaf::spiffe_id_of_der(&world.leaf_of(&spec).leaf_der.into()).unwrap_err();
    assert_eq!(refusal.reason(), "extension", "{refusal}");
}

#[test]
fn a_doubled_extension_is_refused() {
    let world = World::new("example.org");
    let mut spec = LeafSpec::new("spiffe://example.org/a");
    for _ in 0..2 {
        let content = vec![0x03, 0x02, 0x07, 0x80];
        spec.extensions
            .push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 15], content));
    }
    let refusal = leaf::spiffe_id_of_der(&world.leaf_of(&spec).leaf_der.into()).unwrap_err();
    assert!(
        matches!(refusal.reason(), "extension" | "certificate"),
        "{refusal}"
    );
}
