//! The CA and the key that all folders share, and how a folder is written.
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair, PublicKeyData, date_time_ymd};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::pki::{Ca, LeafSpec, Validity};

pub(crate) const DOMAIN: &str = "pool.global.123.workload.id.goog";
pub(crate) const ID: &str = "spiffe://pool.global.123.workload.id.goog/ns/shop/sa/payments";
/// The dates are set after testkit set its own.
pub(crate) const ANY_TIME: Validity = Validity { from: 0, to: 0 };

/// What folders are made of.
pub(crate) struct Kit {
    pub(crate) root: Ca,
    pub(crate) intermediate: Ca,
    pub(crate) key: KeyPair,
    out: PathBuf,
}

/// Sets first and last year: from the first of January to the first of January.
pub(crate) fn years(from: i32, to: i32) -> impl Fn(&mut CertificateParams) {
    move |params| {
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
    }
}

/// Long enough that no test rots.
pub(crate) fn long() -> impl Fn(&mut CertificateParams) {
    years(2026, 2125)
}

impl Kit {
    pub(crate) fn new(out: &Path) -> Self {
        let root = Ca::root_with(DOMAIN, ANY_TIME, long());
        Self {
            intermediate: root.intermediate_with(ANY_TIME, long()),
            root,
            key: KeyPair::generate().unwrap(),
            out: out.to_owned(),
        }
    }

    /// A leaf of the shared CA for the shared key, odd as the caller made it, with its chain.
    pub(crate) fn chain(&self, spec: &LeafSpec) -> String {
        self.chain_for(spec, &self.key)
    }

    pub(crate) fn chain_for(&self, spec: &LeafSpec, key: &impl PublicKeyData) -> String {
        let leaf = self.intermediate.certify(spec, key, long());
        format!("{}{}", leaf.pem(), self.intermediate.cert_pem)
    }

    pub(crate) fn good_chain(&self) -> String {
        self.chain(&LeafSpec::new(ID))
    }

    pub(crate) fn good_bundle(&self) -> String {
        bundle_map(&[(DOMAIN, &[&self.root])])
    }

    /// A folder with the shared key and bundle.
    pub(crate) fn with_chain(&self, name: &str, chain: &str) {
        self.folder(name, chain, &self.key.serialize_pem(), &self.good_bundle());
    }

    /// A folder with a good chain and the shared bundle.
    pub(crate) fn with_key(&self, name: &str, key: &str) {
        self.folder(name, &self.good_chain(), key, &self.good_bundle());
    }

    /// A folder with a good chain and the shared key.
    pub(crate) fn with_bundle(&self, name: &str, bundle: &str) {
        self.folder(name, &self.good_chain(), &self.key.serialize_pem(), bundle);
    }

    pub(crate) fn folder(&self, name: &str, chain: &str, key: &str, bundle: &str) {
        let folder = self.out.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("chain.pem"), chain).unwrap();
        fs::write(folder.join("key.pem"), key).unwrap();
        fs::write(folder.join("bundle.json"), bundle).unwrap();
    }
}

/// A SPIFFE bundle map as short as its readers allow (gRPC reads no other members of a key).
pub(crate) fn bundle_map(domains: &[(&str, &[&Ca])]) -> String {
    let key =
        |ca: &&Ca| json!({"use": "x509-svid", "kty": "EC", "x5c": [BASE64_STANDARD.encode(&ca.cert_der)]});
    let domain = |(name, roots): &(&str, &[&Ca])| {
        let keys: Vec<Value> = roots.iter().map(key).collect();
        ((*name).to_owned(), json!({"keys": keys, "spiffe_sequence": 1}))
    };
    let map = domains.iter().map(domain).collect();
    format!("{:#}\n", json!({"trust_domains": Value::Object(map)}))
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// Standard output of `openssl` with `input` on its standard input.
pub(crate) fn openssl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}
