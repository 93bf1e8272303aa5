//! What a Workload API answers, as a hostile agent may write it. Nothing panics; what is taken over is what was sent, byte for byte; bundles stay
//! with their trust domains; and no words of a refusal hold a part of a key or a token.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the daemon's files as they are, of which a part is used here"
)]
use libfuzzer_sys::fuzz_target;
use mtls_identity::{TrustBundles, TrustDomain};
use pki_types::pem::PemObject;
use prost::Message;
use proto::workload as messages;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::LazyLock;

#[path = "../../../agent/mwid/src/proto/mod.rs"]
mod proto;

#[path = "../../../agent/mwid/src/config"]
mod config {
    mod endpoint;
    pub(crate) use endpoint::Endpoint;
}

#[path = "../../../agent/mwid/src/grpc"]
mod grpc {
    mod status;
    pub(crate) use status::{Code, Status};

    pub(crate) mod client {
        use super::Status;

        /// Nothing is connected here.
        pub(crate) struct Connection;

        #[derive(Debug, thiserror::Error)]
        #[error("no call")]
        pub(crate) enum CallError {
            Refused(Status),
            NoCall,
        }

        impl Connection {
            pub(crate) async fn open<S>(_: S, _: &str, _: usize) -> Result<Self, CallError> {
                Err(CallError::NoCall)
            }
        }
    }
}

#[path = "../../../agent/mwid/src/workload_client"]
mod workload_client {
    mod error;
    mod read;
    use super::{TrustBundles, messages};
    pub(crate) use error::AnswerError;
    pub(crate) use read::{JwtSvid, Svid};

    pub(crate) fn svids(answer: messages::X509svidResponse) -> Result<Vec<Svid>, AnswerError> {
        read::svids(answer)
    }

    pub(crate) fn jwt_svids(answer: messages::JwtsvidResponse) -> Result<Vec<JwtSvid>, AnswerError> {
        read::jwt_svids(answer)
    }

    pub(crate) fn x509_bundles(answer: &messages::X509BundlesResponse) -> Result<TrustBundles, AnswerError> {
        read::x509_bundles(answer)
    }

    pub(crate) fn jwt_bundles(answer: &messages::JwtBundlesResponse) -> Result<TrustBundles, AnswerError> {
        read::jwt_bundles(answer)
    }

    pub(crate) fn claims(claims: prost_types::Struct) -> serde_json::Value {
        read::claims(claims)
    }
}
use config::Endpoint;
use workload_client::AnswerError;

fn der(pem: &[u8]) -> Vec<u8> {
    let all = pki_types::CertificateDer::pem_slice_iter(pem);
    all.flat_map(|one| one.unwrap().to_vec()).collect()
}

/// A good answer, of which the input replaces a part.
static CHAIN: LazyLock<Vec<u8>> =
    LazyLock::new(|| der(include_bytes!("../../../certs-testdata/good-p256/chain.pem")));

const SECRET: &str = "SECRETSECRET";

fn words(error: &AnswerError) -> String {
    let mut words = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &error.to_string();
        cause = error.source();
    }
    words
}

/// The names of a message are those of what was read.
fn are_of(bundles: &TrustBundles, named: &BTreeMap<String, Vec<u8>>) {
    let read: Vec<_> = bundles
        .iter()
        .map(|bundle| bundle.trust_domain().to_string())
        .collect();
    let mut named: Vec<_> = named
        .keys()
        .map(|name| name.strip_prefix("spiffe://").unwrap_or(name).to_owned())
        .collect();
    named.sort();
    assert_eq!(read, named);
}

fn x509(answer: &messages::X509svidResponse) {
    match workload_client::svids(answer.clone()) {
        Err(error) => assert!(!words(&error).contains(SECRET)),
        Ok(read) => {
            assert!(!read.is_empty());
            assert_eq!(read.len(), answer.svids.len());
            for (read, sent) in read.iter().zip(&answer.svids) {
                assert_eq!(read.id.as_str(), sent.spiffe_id);
                assert_eq!(read.hint, sent.hint);
                assert!(der(&read.candidate.certificates_pem) == sent.x509_svid);
                let key = pki_types::PrivatePkcs8KeyDer::from_pem_slice(&read.candidate.private_key_pem);
                match key {
                    Ok(key) => assert!(key.secret_pkcs8_der() == sent.x509_svid_key),
                    // Its PEM has no lines.
                    Err(_) => assert!(sent.x509_svid_key.is_empty()),
                }
            }
        }
    }
}

fn value_as_sent(value: &serde_json::Value) {
    // Numbers that JSON has no words for are null.
    let text = value.to_string();
    let again: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(again.to_string(), text);
}

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, bytes) = input;
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let mut good = messages::X509svid {
        spiffe_id: "spiffe://example.org/a".to_owned(),
        x509_svid: CHAIN.clone(),
        x509_svid_key: SECRET.as_bytes().to_vec(),
        bundle: CHAIN.clone(),
        hint: String::new(),
    };
    let mut federated = BTreeMap::new();
    match choice % 12 {
        0 => good.spiffe_id = text(),
        1 => good.x509_svid = bytes.to_vec(),
        2 => good.bundle = bytes.to_vec(),
        3 => good.x509_svid_key = bytes.to_vec(),
        4 => drop(federated.insert(text(), CHAIN.clone())),
        5 => drop(federated.insert("spiffe://other.example".to_owned(), bytes.to_vec())),
        6 => {
            if let Ok(answer) = messages::X509svidResponse::decode(bytes) {
                x509(&answer);
            }
            return;
        }
        7 => {
            if let Ok(mut answer) = messages::JwtsvidResponse::decode(bytes) {
                answer
                    .svids
                    .iter_mut()
                    .for_each(|svid| svid.svid = SECRET.to_owned());
                match workload_client::jwt_svids(answer.clone()) {
                    Ok(read) => {
                        assert!(read.len() == answer.svids.len() && !read.is_empty());
                        assert!(read.iter().all(|svid| *svid.token == SECRET));
                    }
                    Err(error) => assert!(!words(&error).contains(SECRET)),
                }
            }
            return;
        }
        8 => {
            let bundles = BTreeMap::from([("spiffe://example.org".to_owned(), bytes.to_vec())]);
            let answer = messages::JwtBundlesResponse { bundles };
            if let Ok(read) = workload_client::jwt_bundles(&answer) {
                are_of(&read, &answer.bundles);
                let domain = TrustDomain::parse("example.org").unwrap();
                let bundle = read.get(&domain).unwrap();
                assert!(bundle.roots().is_empty(), "roots from a set of JWT keys");
            }
            return;
        }
        9 => {
            if let Ok(answer) = messages::X509BundlesResponse::decode(bytes)
                && let Ok(read) = workload_client::x509_bundles(&answer)
            {
                are_of(&read, &answer.bundles);
            }
            return;
        }
        10 => {
            if let Ok(claims) = prost_types::Struct::decode(bytes) {
                value_as_sent(&workload_client::claims(claims));
            }
            return;
        }
        _ => {
            if let Ok(place) = Endpoint::parse(&text()) {
                match &place {
                    Endpoint::Unix(path) => assert!(path.is_absolute()),
                    Endpoint::Tcp(address) => assert_eq!(place.to_string(), format!("tcp://{address}")),
                }
            }
            return;
        }
    }
    x509(&messages::X509svidResponse {
        svids: vec![good],
        crl: vec![],
        federated_bundles: federated,
    });
});
