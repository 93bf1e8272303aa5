//! Calls to a service whose wire format was written by hand.
use super::*;
use crate::report::Causes;
use mtls_identity::{Prover, UnixTime};
use std::sync::Arc;
use testkit::metadata_grpc::{Said, Service, framed};
use testkit::pki::World;

const DOMAIN: &str = "pool.global.1.workload.id.goog";

async fn refused(said: Said) -> MetadataError {
    let service = Service::start(said);
    let error = read(service.address()).await.err().expect("refused");
    let text = Causes(&error).to_string();
    assert!(text.contains(&service.address().to_string()), "{text}");
    error
}

#[tokio::test]
async fn an_identity_arrives_whole() {
    let world = World::new(DOMAIN);
    let leaf = world.leaf("/ns/a/sa/b");
    let service = Service::start(Said::identity(&world, &leaf));
    for _ in 0..2 {
        let reading = read(service.address()).await.unwrap();
        assert_eq!(&reading.candidate.certificates_pem[..], leaf.chain_pem.as_bytes());
        assert_eq!(&reading.candidate.private_key_pem[..], leaf.key_pem.as_bytes());
        let prover = Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        #[expect(
            clippy::disallowed_methods,
            reason = "the kit's certificates are made for now"
        )]
        let proven = prover.prove(&reading.candidate, UnixTime::now()).unwrap();
        assert_eq!(proven.id().as_str(), format!("spiffe://{DOMAIN}/ns/a/sa/b"));
    }
}

#[tokio::test]
async fn each_refusal_is_told_by_its_code() {
    for (code, message, reason, lasting, words) in [
        (
            9,
            "not%20%C3%BCsable%0a%zz",
            "feature_off",
            true,
            "not \u{fc}sable\\n%zz",
        ),
        (7, "", "grpc_status", true, "PERMISSION_DENIED"),
        (12, "", "grpc_status", true, "UNIMPLEMENTED"),
        (14, "down", "grpc_status", false, "UNAVAILABLE: \"down\""),
        (4, "", "grpc_status", false, "DEADLINE_EXCEEDED"),
        (99, "", "grpc_status", false, "status 99"),
    ] {
        let error = refused(Said::Refusal(code, message)).await;
        assert_eq!((error.reason(), error.is_lasting()), (reason, lasting), "{code}");
        let text = Causes(&error).to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused_and_not_shown() {
    let ok = || vec![("grpc-status", "0")];
    let mut cut = framed(&[(1, b"chain"), (2, b"SECRET")]);
    cut.pop();
    let mut compressed = framed(&[(1, b"chain"), (2, b"SECRET")]);
    compressed[0] = 1;
    for (body, trailers) in [
        (vec![], ok()),
        (cut, ok()),
        (compressed, ok()),
        ([framed(&[]), framed(&[])].concat(), ok()),
        (vec![0, 0, 0, 0, 3, 0x0a, 9, b'S'], ok()),
        (framed(&[(1, b"chain"), (2, b"SECRET")]), vec![]),
        (
            framed(&[(1, b"chain"), (2, b"SECRET")]),
            vec![("grpc-status", "x")],
        ),
        (vec![0; 1 << 20 | 1], ok()),
    ] {
        let error = refused(Said::Raw(body, trailers)).await;
        assert_eq!(error.reason(), "broken_answer", "{error:?}");
        let text = format!("{error:?} {}", Causes(&error));
        assert!(!text.contains("SECRET"), "{text}");
    }
    // A status after a whole message counts too.
    let late = Said::Raw(
        framed(&[(1, b"chain"), (2, b"SECRET")]),
        vec![("grpc-status", "14")],
    );
    assert_eq!(refused(late).await.reason(), "grpc_status");
}

#[tokio::test]
async fn a_withheld_key_and_no_credentials_are_told_apart() {
    let identity = |chain: &str, key: &str| Said::Identity {
        chain_pem: chain.to_owned(),
        key_pem: key.to_owned(),
        bundles_json: "{}".to_owned(),
    };
    assert_eq!(refused(identity("chain", "\n")).await.reason(), "key_withheld");
    assert_eq!(refused(identity("", "")).await.reason(), "not_issued");
}

#[tokio::test]
async fn who_is_no_such_service_is_told_as_such() {
    let gone = Service::start(Said::Silence).address();
    assert_eq!(read(gone).await.err().unwrap().reason(), "unreachable");
    let http = testkit::metadata::Server::start();
    assert_eq!(
        read(http.address()).await.err().unwrap().reason(),
        "broken_answer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_nothing_is_not_waited_for() {
    // On this runtime, so that the paused clock sees that all wait for it.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let began = tokio::time::Instant::now();
    let error = read(listener.local_addr().unwrap()).await.err().unwrap();
    assert_eq!((error.reason(), began.elapsed()), ("timed_out", ANSWER_WITHIN));
}
