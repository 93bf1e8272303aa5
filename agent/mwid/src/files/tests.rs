//! The stores as Java's and OpenSSL's own tools read them. Skipped, with a word, where a tool is missing.

use super::*;
use crate::publish::testing::{Identities, TRUST_DOMAIN, wall};
use std::path::Path;
use std::process::{Command, Output};

/// Not ASCII: the hash over it is in UTF-16.
const JKS_PASSWORD: &str = "ch€nge it";
/// Java takes nothing else than ASCII for PKCS#12.
const P12_PASSWORD: &str = "change \"it\"";

struct Made {
    dir: tempfile::TempDir,
    password: &'static str,
    key_pem: String,
    chain: usize,
}

fn made(sets: &[FileSet], password: &'static str) -> Made {
    let identity = Identities::new().next();
    let wanted = Wanted {
        sets: sets.iter().copied().collect(),
        password: StorePassword(Zeroizing::new(password.to_owned())),
    };
    let dir = tempfile::tempdir().unwrap();
    for file in render(&identity, &wanted, wall()).unwrap() {
        std::fs::write(dir.path().join(&file.name), &*file.bytes).unwrap();
        assert_eq!(file.secret, file.name.starts_with("identity."), "{}", file.name);
    }
    Made {
        dir,
        password,
        key_pem: identity.private_key_pem().to_string(),
        chain: identity.chain().len(),
    }
}

fn tool(name: &str, dir: &Path, arguments: &[&str]) -> Option<Output> {
    let run = Command::new(name)
        .args(arguments)
        .current_dir(dir)
        // Java takes its arguments' encoding from here.
        .env("LC_ALL", "C.UTF-8")
        .output();
    if run.is_err() {
        println!("skipped: there is no {name} on this machine");
    }
    run.ok()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// What keytool must say of both stores of a format, and that it takes the key out as it went in.
fn keytool_reads(format: &str, made: &Made) {
    let identity = format!("identity.{format}");
    let list = ["-list", "-v", "-storepass", made.password, "-keystore", &identity];
    let Some(listed) = tool("keytool", made.dir.path(), &list) else {
        return;
    };
    let told = text(&listed);
    assert!(listed.status.success(), "{told}");
    assert!(told.contains("Alias name: identity"), "{told}");
    assert!(told.contains("Entry type: PrivateKeyEntry"), "{told}");
    let length = format!("Certificate chain length: {}", made.chain);
    assert!(told.contains(&length), "{told}");
    let year = jiff::Timestamp::from_second(i64::try_from(wall().as_secs()).unwrap()).unwrap();
    if format == "jks" {
        assert!(
            told.contains(&year.strftime("%Y").to_string()),
            "creation date: {told}"
        );
    }

    let trust = format!("truststore.{format}");
    let list = ["-list", "-v", "-storepass", made.password, "-keystore", &trust];
    let told = text(&tool("keytool", made.dir.path(), &list).unwrap());
    assert!(told.contains("Entry type: trustedCertEntry"), "{told}");
    assert!(told.contains("contains 1 entry"), "{told}");
    assert!(told.contains(&format!("Alias name: {TRUST_DOMAIN}-1")), "{told}");

    let list = ["-list", "-storepass", "wrong password", "-keystore", &identity];
    let wrong = tool("keytool", made.dir.path(), &list).unwrap();
    assert!(!wrong.status.success(), "a wrong password opens {identity}");

    let copied = format!("copied-{format}.p12");
    let copy = [
        "-importkeystore",
        "-noprompt",
        "-srckeystore",
        &identity,
        "-srcstorepass",
        made.password,
        "-destkeystore",
        &copied,
        "-deststoretype",
        "PKCS12",
        "-deststorepass",
        "copied",
    ];
    let copy = tool("keytool", made.dir.path(), &copy).unwrap();
    assert!(copy.status.success(), "{}", text(&copy));
    openssl_takes_the_key_out(&copied, "copied", made);
}

fn openssl_takes_the_key_out(file: &str, password: &str, made: &Made) {
    let password = format!("pass:{password}");
    let arguments = ["pkcs12", "-in", file, "-passin", &password, "-nodes", "-nocerts"];
    let Some(output) = tool("openssl", made.dir.path(), &arguments) else {
        return;
    };
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains(made.key_pem.trim()),
        "the key of {file} is another one"
    );
}

#[test]
fn java_and_openssl_read_the_pkcs12_stores() {
    let made = made(&[FileSet::Pkcs12], P12_PASSWORD);
    keytool_reads("p12", &made);
    openssl_takes_the_key_out("identity.p12", P12_PASSWORD, &made);
    let arguments = [
        "pkcs12",
        "-in",
        "truststore.p12",
        "-passin",
        &format!("pass:{P12_PASSWORD}"),
        "-nokeys",
    ];
    if let Some(output) = tool("openssl", made.dir.path(), &arguments) {
        assert_eq!(text(&output).matches("BEGIN CERTIFICATE").count(), 1);
    }
}

#[test]
fn java_reads_the_jks_stores() {
    keytool_reads("jks", &made(&[FileSet::Jks], JKS_PASSWORD));
}

#[test]
fn stores_are_made_only_when_asked_for() {
    let made = made(&[], P12_PASSWORD);
    assert_eq!(std::fs::read_dir(made.dir.path()).unwrap().count(), 0);
}

#[test]
fn the_fingerprint_follows_what_changes_the_bytes() {
    let mut identities = Identities::new();
    let (one, two) = (identities.next(), identities.next());
    let wanted = |sets: &[FileSet], password: &str| Wanted {
        sets: sets.iter().copied().collect(),
        password: StorePassword(Zeroizing::new(password.to_owned())),
    };
    let base = fingerprint(&one, &wanted(&[FileSet::Gce], "a"));
    assert_eq!(
        base,
        fingerprint(&one, &wanted(&[FileSet::Gce], "b")),
        "no store, no password"
    );
    assert_ne!(base, fingerprint(&two, &wanted(&[FileSet::Gce], "a")));
    assert_ne!(
        base,
        fingerprint(&one, &wanted(&[FileSet::Gce, FileSet::Jks], "a"))
    );
    let store = |password| fingerprint(&one, &wanted(&[FileSet::Jks], password));
    assert_ne!(store("a"), store("b"));
}

#[test]
fn a_trust_domain_too_long_for_a_file_name_keeps_nothing_else_from_being_made() {
    let long = "a".repeat(255);
    let short = "b".repeat(200);
    let wanted = Wanted {
        sets: [FileSet::Gce, FileSet::CredentialBundle, FileSet::SpiffeBundle].into(),
        password: StorePassword(Zeroizing::new("a".to_owned())),
    };
    let names = |other: &str| -> Vec<String> {
        let identity = Identities::new().next_beside(other);
        let files = render(&identity, &wanted, wall()).unwrap();
        files.into_iter().map(|file| file.name).collect()
    };
    let some = names(&long);
    assert!(some.iter().all(|name| name.len() <= 255), "{some:?}");
    assert!(
        some.contains(&format!("{TRUST_DOMAIN}.spiffe-trust-bundle.x509.pem")),
        "{some:?}"
    );
    assert!(some.contains(&format!("{TRUST_DOMAIN}.bundle.json")), "{some:?}");
    assert!(some.iter().any(|name| name == "private_key.pem"), "{some:?}");
    let all = names(&short);
    assert_eq!(all.len(), some.len() + 2, "{all:?}");
}
