//! Every folder of certs-testdata/ meets exactly the refusal that its README names, and nothing but that fault is in it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a panic is the report"
)]

use mtls_identity::candidate::CandidateBundles;
use mtls_identity::{Candidate, IdPattern, IdentitySnapshot, Prover, Refusal, UnixTime};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const ID: &str = "spiffe://pool.global.123.workload.id.goog/ns/shop/sa/payments";
/// One that would do for every folder but the one that is about it.
const EXPECTED: &str = "spiffe://pool.global.123.workload.id.goog/ns/*/sa/payments";
const GOOD: &str = "good-p256";

/// A row of the README's table.
struct Case {
    folder: String,
    refusal: String,
    healed_by: String,
}

fn testdata() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../certs-testdata"))
}

fn cases() -> Vec<Case> {
    let readme = fs::read_to_string(testdata().join("README.md")).unwrap();
    let rows = readme
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [folder, _, refusal, healed_by] = cells[..] else {
            panic!("a row needs four cells: {row}");
        };
        Case {
            folder: folder.to_owned(),
            refusal: refusal.to_owned(),
            healed_by: healed_by.to_owned(),
        }
    })
    .collect()
}

/// The middle of a year, near enough.
fn year(year: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952 + 15_000_000))
}

fn read(folder: &str, file: &str) -> Vec<u8> {
    fs::read(testdata().join(folder).join(file)).unwrap_or_else(|error| panic!("{folder}/{file}: {error}"))
}

/// The folder's candidate, with the files named in `instead` taken from the good one.
fn candidate(folder: &str, instead: &str) -> Candidate {
    let read = |file| {
        let from = if instead.contains(file) { GOOD } else { folder };
        read(from, file)
    };
    Candidate {
        certificates_pem: read("chain.pem").into(),
        private_key_pem: read("key.pem").into(),
        bundles: CandidateBundles::MapJson(read("bundle.json")),
    }
}

fn prover(expect: Option<&str>) -> Prover {
    let expect = expect.map(|pattern| IdPattern::parse(pattern).unwrap());
    Prover::new(Arc::new(default_provider())).expecting(expect)
}

fn expectation(folder: &str) -> &'static str {
    match folder {
        "unexpected-id" => "spiffe://pool.global.123.workload.id.goog/ns/bank/**",
        _ => EXPECTED,
    }
}

fn prove(folder: &str) -> Result<IdentitySnapshot, Refusal> {
    prover(Some(expectation(folder))).prove(&candidate(folder, ""), year(2030))
}

fn refusal(folder: &str) -> Refusal {
    prove(folder).expect_err(folder)
}

/// The message with all its causes.
fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn every_folder_meets_exactly_its_refusal() {
    for Case { folder, refusal, .. } in cases() {
        match prove(&folder) {
            Ok(identity) => {
                assert_eq!(refusal, "good", "{folder} was proven");
                assert_eq!(identity.id().as_str(), ID, "{folder}");
            }
            Err(found) => assert_eq!(found.reason(), refusal, "{folder}: {}", told(&found)),
        }
    }
}

#[test]
fn without_its_one_fault_every_folder_is_good() {
    for Case {
        folder,
        refusal,
        healed_by,
    } in cases()
    {
        let (mut now, mut expect, mut instead) = (year(2030), Some(expectation(&folder)), "");
        match healed_by.split_once(' ') {
            _ if refusal == "good" => continue,
            Some(("at", at)) => now = year(at.parse().unwrap()),
            Some(("no", "expectation")) => expect = None,
            _ => instead = &healed_by,
        }
        assert!(
            instead.is_empty() || instead.contains(".pem") || instead.contains(".json"),
            "{folder}"
        );
        let proven = prover(expect).prove(&candidate(&folder, instead), now);
        proven.unwrap_or_else(|found| panic!("{folder}, healed by {healed_by}: {}", told(&found)));
    }
}

#[test]
fn the_table_and_the_folders_are_the_same() {
    let listed: BTreeSet<String> = cases().into_iter().map(|case| case.folder).collect();
    let folders = fs::read_dir(testdata()).unwrap().map(Result::unwrap);
    let there: BTreeSet<String> = folders
        .filter(|entry| entry.path().join("chain.pem").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(listed, there);
    assert!(listed.len() > 60, "the table was not read");
}

#[test]
fn a_refusal_tells_the_offending_value_and_what_to_do() {
    for (folder, words) in [
        ("two-uri-sans", vec!["2 URIs", ID, "exactly one"]),
        (
            "not-spiffe-uri",
            vec!["https://payments.internal/ns/shop", "begins with spiffe://"],
        ),
        ("percent-encoded-path", vec!["sh%6Fp", "no percent-encoding"]),
        ("dots-segment", vec!["\"..\"", "name the segment"]),
        (
            "spiffe-id-without-path",
            vec!["spiffe://pool.global.123.workload.id.goog has no path"],
        ),
        ("leaf-with-crlsign", vec!["cRLSign"]),
        ("eku-client-only", vec!["lacks serverAuth"]),
        ("eku-server-only", vec!["lacks clientAuth"]),
        ("eku-any-only", vec!["lacks serverAuth and clientAuth"]),
        ("unexpected-id", vec![ID, "/ns/bank/**"]),
        (
            "wrong-chain-order",
            vec!["CN=intermediate", "certificate 2", "leaf first"],
        ),
        (
            "intermediate-not-ca",
            vec!["intermediate certificate 1", "CN=intermediate"],
        ),
        ("path-length", vec!["path length"]),
        ("uri-name-constraint", vec!["name constraints", "not supported"]),
        ("truncated-pem", vec!["no end line"]),
        (
            "expired-leaf",
            vec!["leaf certificate", "expired at 2027-01-01T00:00:00Z", "2030-"],
        ),
        (
            "expired-intermediate",
            vec!["intermediate certificate 1", "CN=intermediate", "2027-01-01"],
        ),
        ("expired-root", vec!["CN=root", "2027-01-01", "new root"]),
        (
            "not-yet-valid-root",
            vec!["root certificate", "2040-01-01", "clock"],
        ),
        ("encrypted-key", vec!["encrypted", "unencrypted"]),
        ("unknown-key-label", vec!["OPENSSH PRIVATE KEY", "PKCS#8"]),
        ("rsa-1024", vec!["1024", "2048"]),
        ("p521", vec!["P-521", "P-256"]),
        (
            "no-own-bundle",
            vec![
                "pool.global.123.workload.id.goog",
                "other.global.456.workload.id.goog",
            ],
        ),
        ("leaf-as-root", vec!["pool.global.123", "certificate 2", "no CA"]),
        ("duplicate-json-keys", vec!["\"keys\"", "twice"]),
        (
            "duplicate-trust-domain",
            vec!["pool.global.123.workload.id.goog", "twice"],
        ),
        ("x5c-base64url", vec!["x5c of key 1", "standard base64"]),
    ] {
        let message = told(&refusal(folder));
        for word in words {
            assert!(message.contains(word), "{folder} lacks {word:?}: {message}");
        }
        let key = String::from_utf8(read(folder, "key.pem")).unwrap();
        let secret = key
            .lines()
            .filter(|line| line.len() > 20 && !line.starts_with('-'));
        assert!(secret.into_iter().all(|line| !message.contains(line)), "{folder}");
    }
}

#[test]
fn only_a_candidate_of_the_future_is_worth_another_try_and_then_it_is_good() {
    for Case { folder, .. } in cases() {
        let Err(found) = prove(&folder) else { continue };
        assert_eq!(
            found.retry_at().is_some(),
            folder.starts_with("not-yet-valid-"),
            "{folder}"
        );
        if let Some(then) = found.retry_at() {
            let before = UnixTime::since_unix_epoch(Duration::from_secs(then.as_secs() - 1));
            let prover = prover(None);
            assert!(prover.prove(&candidate(&folder, ""), before).is_err(), "{folder}");
            assert!(prover.prove(&candidate(&folder, ""), then).is_ok(), "{folder}");
        }
    }
}

#[test]
fn an_identity_ends_with_the_first_of_its_certificates() {
    let at = |folder, when| prover(None).prove(&candidate(folder, ""), when).unwrap();
    for folder in ["expired-leaf", "expired-intermediate", "expired-root"] {
        let identity = at(folder, year(2026));
        let end = identity.not_after();
        assert_eq!(end.as_secs(), 1_798_761_600, "{folder}: 2027-01-01");
        at(folder, end);
        let after = UnixTime::since_unix_epoch(Duration::from_secs(end.as_secs() + 1));
        assert!(
            prover(None).prove(&candidate(folder, ""), after).is_err(),
            "{folder}"
        );
    }
}

#[test]
fn a_root_is_not_presented_to_peers() {
    assert_eq!(prove("good-p256").unwrap().chain().len(), 2);
    assert_eq!(prove("good-root-in-chain").unwrap().chain().len(), 2);
}

/// Standard output, or `None` when there is no `openssl` here.
fn openssl(arguments: &[&str], input: &str) -> Option<String> {
    let mut openssl = Command::new("openssl");
    let piped = openssl
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {talk}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_kind_of_key_becomes_pkcs8_that_rustls_and_openssl_read() {
    for Case { folder, .. } in cases().iter().filter(|case| case.refusal == "good") {
        let identity = prove(folder).unwrap();
        let pem = identity.private_key_pem();
        assert!(
            pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n")
        );
        let der = identity.private_key_pkcs8();
        // The first member after the outer header is the version: 0 is what every reader of PKCS#8 knows.
        let header = if der[1] < 0x80 {
            2
        } else {
            2 + usize::from(der[1] & 0x7f)
        };
        assert_eq!(der[header..header + 3], [0x02, 0x01, 0x00], "{folder}");
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(key.secret_der(), der);
        default_provider().key_provider.load_private_key(key).unwrap();

        let Some(of_key) = openssl(&["pkey", "-pubout"], &pem) else {
            println!("skipped: no openssl here to read the keys with");
            return;
        };
        let of_leaf = openssl(&["x509", "-noout", "-pubkey"], &identity.chain_pem());
        assert_eq!(Some(of_key), of_leaf, "{folder}");
    }
}

/// A good candidate with one of its files changed.
fn changed(file: usize, change: impl FnOnce(&mut Vec<u8>)) -> Result<IdentitySnapshot, Refusal> {
    let mut files = ["chain.pem", "key.pem", "bundle.json"].map(|file| read(GOOD, file));
    change(&mut files[file]);
    let [chain, key, bundle] = files;
    let candidate = Candidate {
        certificates_pem: chain.into(),
        private_key_pem: key.into(),
        bundles: CandidateBundles::MapJson(bundle),
    };
    prover(Some(EXPECTED)).prove(&candidate, year(2030))
}

#[test]
fn a_file_that_ends_early_is_never_taken_for_whole() {
    for (file, name) in ["chain.pem", "key.pem", "bundle.json"].into_iter().enumerate() {
        let whole = read(GOOD, name).len();
        for cut in 0..whole {
            let proven = changed(file, |bytes| bytes.truncate(cut)).is_ok();
            assert_eq!(
                proven,
                cut == whole - 1,
                "{name} cut at {cut} of {whole}: only its last newline may lack"
            );
        }
    }
}

#[test]
fn a_byte_changed_anywhere_makes_no_panic_and_no_other_identity() {
    for (file, name) in ["chain.pem", "key.pem", "bundle.json"].into_iter().enumerate() {
        let good = changed(file, |_| {}).unwrap();
        for at in 0..read(GOOD, name).len() {
            let odd = changed(file, |bytes| bytes[at] ^= 1 << (at % 7));
            if let Ok(identity) = odd {
                assert_eq!(
                    (identity.id(), identity.chain()),
                    (good.id(), good.chain()),
                    "{name}, byte {at}"
                );
            }
        }
    }
}
