//! One part of a good candidate is replaced by the input; the first byte says which. Nothing panics, every refusal has a
//! name, and what is proven is whole.
#![no_main]
use libfuzzer_sys::fuzz_target;
use mtls_identity::candidate::CandidateBundles;
use mtls_identity::{Candidate, Prover, UnixTime};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const CHAIN: &[u8] = include_bytes!("../../../certs-testdata/good-p256/chain.pem");
const KEY: &[u8] = include_bytes!("../../../certs-testdata/good-p256/key.pem");
const BUNDLE: &[u8] = include_bytes!("../../../certs-testdata/good-p256/bundle.json");
static PROVER: LazyLock<Prover> =
    LazyLock::new(|| Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider())));

fuzz_target!(|input: &[u8]| {
    let Some((part, bytes)) = input.split_first() else {
        return;
    };
    let (mut chain, mut key, mut bundles) = (CHAIN, KEY, CandidateBundles::MapJson(BUNDLE.to_vec()));
    match part % 4 {
        0 => chain = bytes,
        1 => key = bytes,
        2 => bundles = CandidateBundles::MapJson(bytes.to_vec()),
        _ => bundles = CandidateBundles::OwnPem(bytes.to_vec()),
    }
    let candidate = Candidate {
        certificates_pem: chain.to_vec().into(),
        private_key_pem: key.to_vec().into(),
        bundles,
    };
    let in_2030 = UnixTime::since_unix_epoch(Duration::from_secs(1_900_000_000));
    match PROVER.prove(&candidate, in_2030) {
        Ok(identity) => {
            assert!(identity.not_before() <= in_2030 && in_2030 <= identity.not_after());
            assert!(identity.bundles().get(identity.id().trust_domain()).is_some());
        }
        Err(refusal) => assert!(!refusal.reason().is_empty() && !refusal.to_string().is_empty()),
    }
});
