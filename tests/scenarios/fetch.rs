//! `mwid fetch` and `mwid validate`: what a person or a script gets of an agent's Workload API.

use crate::daemon::{DOMAIN, PATH, Place, mwid};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use testkit::guest_agent::Agent;
use testkit::pki::{Ca, Leaf};

#[test]
fn fetch_shows_and_writes_what_was_proven_and_never_shows_the_key() {
    let mut place = Place::new();
    place.config("");
    let leaf = place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let written = place.path("written");
    fs::create_dir(&written).unwrap();
    let fetched = place.mwid(&["fetch", "x509", "--write", written.to_str().unwrap()]);
    assert!(fetched.status.success(), "{fetched:?}");
    let shown = String::from_utf8(fetched.stdout).unwrap();
    assert!(shown.contains(PATH) && !shown.contains("PRIVATE KEY"), "{shown}");
    let file = |name: &str| fs::read_to_string(written.join(name)).unwrap();
    assert_eq!(file("svid.0.pem"), leaf.chain_pem);
    assert_eq!(file("svid.0.key"), leaf.key_pem);
    assert_eq!(file("bundle.0.pem"), place.world.root.cert_pem);
    assert_eq!(
        fs::metadata(written.join("svid.0.key")).unwrap().mode() & 0o777,
        0o600
    );
    // By the variable, as any SPIFFE program finds it.
    let socket = format!("unix://{}", place.path("run/workload.sock").display());
    let bundles = mwid()
        .args(["fetch", "bundles", "--json"])
        .env("SPIFFE_ENDPOINT_SOCKET", &socket)
        .output()
        .unwrap();
    let map: serde_json::Value = serde_json::from_slice(&bundles.stdout).unwrap();
    assert_eq!(map["trust_domains"][DOMAIN]["keys"][0]["use"], "x509-svid");
    daemon.stop();
    let gone = place.mwid(&["fetch", "x509"]);
    assert_eq!(gone.status.code(), Some(69), "{gone:?}");
}

#[test]
fn a_jwt_svid_is_printed_alone_or_written_for_its_owner_and_holds() {
    let place = Place::new();
    crate::jwt::development(&place);
    let mut daemon = place.start();
    daemon.wait_ready();
    let fetch = |more: &[&str]| {
        let words = [&["fetch", "jwt", "--audience", "ledger"][..], more].concat();
        place.mwid(&words)
    };
    let printed = fetch(&[]);
    assert!(
        printed.status.success() && printed.stderr.is_empty(),
        "{printed:?}"
    );
    let token = String::from_utf8(printed.stdout).unwrap();
    let is_one = token.ends_with('\n') && token.trim().split('.').count() == 3;
    assert!(
        is_one && token.trim().lines().count() == 1,
        "the token and nothing else"
    );
    let file = place.path("token");
    let written = fetch(&[
        "--spiffe-id",
        "spiffe://dev.internal/ns/dev/sa/vm",
        "--write",
        file.to_str().unwrap(),
    ]);
    let shown = String::from_utf8(written.stdout).unwrap();
    assert!(
        shown.starts_with("spiffe://dev.internal/ns/dev/sa/vm for ledger, until ") && !shown.contains("eyJ"),
        "{shown}"
    );
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let other = format!("unix://{}", place.path("run/workload.sock").display());
    let by_the_agent = |audience: &str| {
        let words = [
            "validate",
            "jwt",
            "--socket",
            &other,
            "--audience",
            audience,
            "--svid",
        ];
        mwid().args(words).arg(&file).output().unwrap()
    };
    let valid = by_the_agent("ledger");
    assert!(valid.status.success(), "{valid:?}");
    let told = String::from_utf8(valid.stdout).unwrap();
    assert!(told.starts_with("spiffe://dev.internal/ns/dev/sa/vm"), "{told}");
    assert_eq!(by_the_agent("bank").status.code(), Some(65));
    let denied = fetch(&["--spiffe-id", "spiffe://dev.internal/other"]);
    assert_eq!(denied.status.code(), Some(77), "{denied:?}");
    assert!(denied.stdout.is_empty());
    let log = daemon.stop();
    assert!(
        log.contains("JWT-SVID for ledger") && !log.contains("eyJ"),
        "{log}"
    );
}

#[test]
fn who_gets_nothing_is_told_why_by_the_exit_code() {
    let place = Place::new();
    place.config("");
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/readyz").is_some_and(|a| a.code == 503));
    let early = place.mwid(&["fetch", "x509"]);
    assert_eq!(early.status.code(), Some(75), "not yet: {early:?}");
    let wrong = mwid()
        .args(["fetch", "x509", "--socket", "http://x"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
    daemon.stop();
}

/// Delivers this leaf, with the roots of its own trust domain and of these others.
fn deliver_with(place: &mut Place, leaf: &Leaf, others: &[&str]) {
    let mut domains = serde_json::Map::new();
    for name in [&[DOMAIN], others].concat() {
        let root = match name {
            DOMAIN => place.world.root.cert_der.clone(),
            other => Ca::root(other).cert_der,
        };
        let key = serde_json::json!({ "use": "x509-svid", "kty": "EC", "x5c": [STANDARD.encode(root)] });
        domains.insert(name.to_owned(), serde_json::json!({ "keys": [key] }));
    }
    let bundles = serde_json::json!({ "trust_domains": domains }).to_string();
    let files: [(&str, &[u8]); 3] = [
        ("certificates.pem", leaf.chain_pem.as_bytes()),
        ("private_key.pem", leaf.key_pem.as_bytes()),
        ("trust_bundles.json", bundles.as_bytes()),
    ];
    place.secrets.replace(Agent::Legacy, &files);
}

/// What is in the directory after all of this was written there.
fn fetched_into(place: &Place, written: &Path) -> Vec<String> {
    for what in ["x509", "bundles"] {
        let fetched = place.mwid(&["fetch", what, "--write", written.to_str().unwrap()]);
        assert!(fetched.status.success(), "{fetched:?}");
    }
    let entries = fs::read_dir(written).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_second_write_leaves_nothing_of_what_was_taken_back_and_all_that_is_another_ones() {
    let mut place = Place::new();
    place.config("");
    let leaf = place.world.leaf(PATH);
    deliver_with(&mut place, &leaf, &["a.example", "b.example"]);
    let mut daemon = place.start();
    daemon.wait_ready();
    let written = place.path("written");
    fs::create_dir(&written).unwrap();
    let own = format!("{DOMAIN}.spiffe-trust-bundle.x509.pem");
    let first = [
        "a.example.spiffe-trust-bundle.x509.pem",
        "b.example.spiffe-trust-bundle.x509.pem",
        "bundle.0.pem",
        "federated_bundle.0.0.pem",
        "federated_bundle.0.1.pem",
        &own,
        "svid.0.key",
        "svid.0.pem",
        "trust_bundles.json",
    ];
    assert_eq!(fetched_into(&place, &written), first);
    // As an agent that gave two SVIDs left it, and what is another's.
    for name in [
        "svid.1.pem",
        "svid.1.key",
        "bundle.1.pem",
        "federated_bundle.1.0.pem",
        "svid.0.pem.bak",
        "my.pem",
    ] {
        fs::write(written.join(name), "old").unwrap();
    }
    deliver_with(&mut place, &leaf, &["b.example"]);
    daemon.wait_generation(2);
    let second = [
        "b.example.spiffe-trust-bundle.x509.pem",
        "bundle.0.pem",
        "federated_bundle.0.0.pem",
        "my.pem",
        &own,
        "svid.0.key",
        "svid.0.pem",
        "svid.0.pem.bak",
        "trust_bundles.json",
    ];
    assert_eq!(fetched_into(&place, &written), second);
    daemon.stop();
}
