//! Documents in the shape that was captured on a VM, and ones that are wrong.
use super::*;
use mtls_identity::{Prover, UnixTime};
use std::sync::Arc;
use testkit::metadata::{Identity, Server};
use testkit::pki::World;

const DOMAIN: &str = "pool.global.1.workload.id.goog";
const PATH: &str = "/ns/a/sa/b";

fn identity() -> Identity {
    let world = World::new(DOMAIN);
    Identity::of(&world, &world.leaf(PATH), PATH)
}

async fn read_from(identity: &Identity) -> Result<Reading, CertificatesError> {
    let server = Server::start();
    server.deliver(identity);
    match read(&Client::new(server.address())).await {
        Ok(reading) => Ok(reading),
        Err(MetadataError::Certificates { source, .. }) => Err(source),
        Err(error) => panic!("{error}"),
    }
}

async fn reason(identity: &Identity) -> &'static str {
    let error = read_from(identity).await.err().expect("refused");
    let text = crate::report::Causes(&error).to_string();
    assert!(!text.contains("PRIVATE"), "{text}");
    error.reason()
}

#[tokio::test]
async fn the_captured_shape_is_an_identity_with_the_bundles_of_all_domains() {
    for with_status in [false, true] {
        let mut identity = identity();
        identity.with_status = with_status;
        let friend = World::new("friend.example");
        // A name that the own domain's contains, which must not stand in for it.
        let part = World::new("global.1.workload.id.goog");
        for world in [&friend, &part] {
            identity
                .anchors
                .insert(0, (world.root.trust_domain.clone(), world.root.cert_pem.clone()));
        }
        identity
            .anchors
            .push(("nobody.example".to_owned(), String::new()));
        let reading = read_from(&identity).await.unwrap();
        assert!(reading.trouble.is_none());
        let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        #[expect(
            clippy::disallowed_methods,
            reason = "the kit's certificates are made for now"
        )]
        let proven = prover.prove(&reading.candidate, UnixTime::now()).unwrap();
        assert_eq!(proven.id().as_str(), format!("spiffe://{DOMAIN}{PATH}"));
        let domains: Vec<_> = proven
            .bundles()
            .iter()
            .map(|b| (b.trust_domain().as_str().to_owned(), b.roots().len()))
            .collect();
        assert_eq!(
            domains,
            [
                ("friend.example".to_owned(), 1),
                ("global.1.workload.id.goog".to_owned(), 1),
                ("nobody.example".to_owned(), 0),
                (DOMAIN.to_owned(), 1),
            ]
        );
    }
}

#[tokio::test]
async fn trouble_of_the_platform_is_told_beside_the_identity_and_is_the_reason_without_one() {
    let mut identity = identity();
    identity.config_status = r#"{"partnerMetadataConfigsErrors": {"ca_pool": "denied"}}"#.to_owned();
    let reading = read_from(&identity).await.unwrap();
    assert!(reading.trouble.unwrap().to_string().contains("denied"));
    identity.credentials.clear();
    let error = read_from(&identity).await.err().expect("refused");
    assert!(matches!(error, CertificatesError::NotIssued { .. }), "{error}");
    assert!(error.to_string().contains("denied"), "{error}");
    identity.config_status = "{}".to_owned();
    let error = read_from(&identity).await.err().expect("refused");
    assert!(matches!(error, CertificatesError::NoCredentials), "{error}");
}

#[tokio::test]
async fn a_withheld_key_is_told_by_its_identity() {
    let mut identity = identity();
    identity.credentials[0].key_pem = String::new();
    let error = read_from(&identity).await.err().expect("refused");
    assert_eq!(error.reason(), "key_withheld");
    assert!(error.to_string().contains(PATH), "{error}");
}

#[tokio::test]
async fn two_identities_are_one_too_many_and_both_are_named() {
    let mut identity = identity();
    let mut second = identity.credentials[0].clone();
    second.id = format!("spiffe://{DOMAIN}/ns/a/sa/other");
    identity.credentials.push(second);
    let error = read_from(&identity).await.err().expect("refused");
    assert_eq!(error.reason(), "several_identities");
    let text = error.to_string();
    assert!(text.contains(PATH) && text.contains("/ns/a/sa/other"), "{text}");
}

#[tokio::test]
async fn anchors_that_are_none_refuse_the_whole() {
    for (name, pem) in [("Not A Domain", ""), ("friend.example", "no PEM")] {
        let mut identity = identity();
        identity.anchors.push((name.to_owned(), pem.to_owned()));
        assert_eq!(reason(&identity).await, "trust_anchors", "{name}");
    }
    let mut doubled = identity();
    doubled.anchors.push(doubled.anchors[0].clone());
    assert_eq!(reason(&doubled).await, "json");
}

#[test]
fn no_error_quotes_what_may_be_a_key() {
    let key = "-----BEGIN PRIVATE KEY-----";
    for json in [
        format!("\"{key}\""),
        format!("{{\"workloadCredentials\": \"{key}\"}}"),
        format!("{{\"workloadCredentials\": {{\"spiffe://a/b\": \"{key}\"}}}}"),
        format!("{{\"workloadCredentials\": {{\"spiffe://a/b\": {{\"privateKeyPem\": [\"{key}\"]}}}}}}"),
        format!("{{\"workloadCredentials\": {{\"spiffe://a/b\": {{\"privateKeyPem\": \"{key}"),
    ] {
        let error = candidate(json.as_bytes(), b"{}", None).unwrap_err();
        assert_eq!(error.reason(), "json", "{json}");
        let text = format!("{error:?} {}", crate::report::Causes(&error));
        assert!(!text.contains("BEGIN"), "{text}");
    }
}
