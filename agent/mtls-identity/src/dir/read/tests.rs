//! Reading: each file set, each fault by name, and never a mixture.
use super::handle::{Handle, open_by};
use super::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use testkit::guest_agent::{Agent, Secrets};

const GCE: [(&str, &[u8]); 3] = [
    (CERTIFICATES, b"chain"),
    (PRIVATE_KEY, b"key"),
    (TRUST_BUNDLES, b"{}"),
];

fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn fault(files: &[(&str, &[u8])]) -> ReadError {
    read(directory(files).path()).expect_err("a fault")
}

fn without<'a>(name: &str) -> Vec<(&'a str, &'a [u8])> {
    GCE.into_iter().filter(|(n, _)| *n != name).collect()
}

fn with<'a>(name: &'a str, bytes: &'a [u8]) -> Vec<(&'a str, &'a [u8])> {
    let mut files = without(name);
    files.push((name, bytes));
    files
}

#[test]
fn the_set_with_trust_bundles_is_read() {
    let reading = read_set(directory(&GCE).path()).unwrap();
    assert_eq!(reading.form, Form::Gce);
    assert_eq!(**reading.candidate.certificates_pem, *b"chain");
    assert_eq!(&**reading.candidate.private_key_pem, b"key");
    assert!(matches!(reading.candidate.bundles, CandidateBundles::MapJson(json) if json == b"{}"));
    assert!(reading.config_status.is_none());
}

#[test]
fn the_set_with_ca_certificates_is_read() {
    let mut files = without(TRUST_BUNDLES);
    files.push((CA_CERTIFICATES, b"roots"));
    files.push((CONFIG_STATUS, br#"{"partnerMetadataConfigsErrors": {}}"#));
    let reading = read_set(directory(&files).path()).unwrap();
    assert!(matches!(reading.candidate.bundles, CandidateBundles::OwnPem(pem) if pem == b"roots"));
    assert!(reading.config_status.unwrap().is_healthy());
}

#[test]
fn trust_bundles_are_preferred_to_ca_certificates() {
    let files = [&GCE[..], &[(CA_CERTIFICATES, b"roots")]].concat();
    let candidate = read(directory(&files).path()).unwrap();
    assert!(matches!(candidate.bundles, CandidateBundles::MapJson(_)));
}

#[test]
fn the_credential_bundle_is_taken_apart() {
    let world = testkit::pki::World::new("example.org");
    let leaf = world.leaf("/ns/a/sa/b");
    for whole in [
        format!("{}{}", leaf.key_pem, leaf.chain_pem),
        format!("{}{}", leaf.chain_pem, leaf.key_pem),
    ] {
        let dir = directory(&[
            (CREDENTIAL_BUNDLE, whole.as_bytes()),
            (
                "example.org.spiffe-trust-bundle.x509.pem",
                world.root.cert_pem.as_bytes(),
            ),
        ]);
        let reading = read_set(dir.path()).unwrap();
        assert_eq!(reading.form, Form::CredentialBundle);
        // The prover takes each kind of block for itself.
        assert_eq!(**reading.candidate.private_key_pem, *whole.as_bytes());
        assert_eq!(**reading.candidate.certificates_pem, *whole.as_bytes());
        let CandidateBundles::Parsed(bundles) = reading.candidate.bundles else {
            panic!("parsed bundles");
        };
        let names: Vec<_> = bundles
            .iter()
            .map(|b| b.trust_domain().as_str().to_owned())
            .collect();
        assert_eq!(names, ["example.org"]);
    }
}

#[test]
fn a_credential_bundle_is_proven_only_with_exactly_one_key() {
    let world = testkit::pki::World::new("example.org");
    let leaf = world.leaf("/ns/a/sa/b");
    let other = world.leaf("/other").key_pem;
    let bundle = "example.org.spiffe-trust-bundle.x509.pem";
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let prover = crate::Prover::new(provider);
    #[expect(clippy::disallowed_methods, reason = "testkit makes certificates for now")]
    let now = pki_types::UnixTime::now();
    for (keys, wanted) in [
        (leaf.key_pem.clone(), "good"),
        (format!("{}{other}", leaf.key_pem), "many_keys"),
        (String::new(), "no_key"),
    ] {
        let whole = format!("{keys}{}", leaf.chain_pem);
        let dir = directory(&[
            (CREDENTIAL_BUNDLE, whole.as_bytes()),
            (bundle, world.root.cert_pem.as_bytes()),
        ]);
        let proven = prover.prove(&read(dir.path()).unwrap(), now);
        assert_eq!(proven.map_or_else(|e| e.reason(), |_| "good"), wanted);
    }
}

#[test]
fn a_bad_credential_bundle_is_named() {
    let bundle = "x.org.spiffe-trust-bundle.x509.pem";
    let key: &[u8] = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    let reason = |files: &[(&str, &[u8])]| fault(files).reason();
    assert_eq!(reason(&[(CREDENTIAL_BUNDLE, key)]), "file_missing");
    assert_eq!(reason(&[(CREDENTIAL_BUNDLE, key), (bundle, b"")]), "file_empty");
    assert_eq!(
        reason(&[(CREDENTIAL_BUNDLE, key), (bundle, b"no roots")]),
        "bundle"
    );
    assert_eq!(
        reason(&[
            (CREDENTIAL_BUNDLE, key),
            ("X!.spiffe-trust-bundle.x509.pem", b"r")
        ]),
        "bundle_name"
    );
}

#[test]
fn a_missing_directory_is_named() {
    let dir = directory(&[]);
    let path = dir.path().join("not/there");
    let e = read(&path).err().unwrap();
    assert!(
        matches!(&e, ReadError::DirectoryMissing { path: p } if *p == path),
        "{e}"
    );
    assert!(e.is_transient());
}

#[test]
fn a_dangling_link_is_named() {
    let dir = directory(&[]);
    let link = dir.path().join("link");
    symlink("gone", &link).unwrap();
    let e = read(&link).err().unwrap();
    assert!(
        matches!(&e, ReadError::DanglingLink { path, target } if *path == link && target == Path::new("gone")),
        "{e}"
    );
}

#[test]
fn a_file_in_the_place_of_the_directory_is_named() {
    let dir = directory(&GCE);
    let e = read(dir.path().join(CERTIFICATES)).err().unwrap();
    assert!(matches!(e, ReadError::NotADirectory { .. }), "{e}");
}

#[test]
fn each_missing_file_is_named() {
    for name in [CERTIFICATES, PRIVATE_KEY, TRUST_BUNDLES] {
        let e = fault(&without(name));
        assert!(
            matches!(&e, ReadError::FileMissing { path, .. } if path.ends_with(name)),
            "{name}: {e}"
        );
    }
}

#[test]
fn each_empty_file_is_named() {
    for name in [CERTIFICATES, PRIVATE_KEY, TRUST_BUNDLES] {
        let e = fault(&with(name, b""));
        assert!(
            matches!(&e, ReadError::FileEmpty { path } if path.ends_with(name)),
            "{name}: {e}"
        );
    }
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let large = vec![b'x'; usize::try_from(MOST_KEY).unwrap() + 1];
    let e = fault(&with(PRIVATE_KEY, &large));
    assert!(
        matches!(&e, ReadError::TooLarge { path, limit: MOST_KEY } if path.ends_with(PRIVATE_KEY)),
        "{e}"
    );
    assert!(!e.is_transient());
}

#[test]
fn pipes_sockets_and_directories_are_refused_without_waiting() {
    let dir = directory(&without(PRIVATE_KEY));
    let key = dir.path().join(PRIVATE_KEY);
    let refused = || matches!(read(dir.path()), Err(ReadError::NotARegularFile { path }) if path == key);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &key,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert!(refused(), "pipe");
    fs::remove_file(&key).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&key).unwrap();
    assert!(refused(), "socket");
    drop(socket);
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    assert!(refused(), "directory");
}

#[test]
fn an_unreadable_key_names_the_user_and_the_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory(&GCE);
    let key = dir.path().join(PRIVATE_KEY);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&key).is_ok() {
        println!("skipped: this user may read every file");
        return;
    }
    let e = read(dir.path()).err().unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert!(
        matches!(&e, ReadError::PermissionDenied { path, uid: u, owner: Some((_, _, 0)) } if *path == key && *u == uid),
        "{e}"
    );
    assert!(e.to_string().contains(&format!("uid {uid}")), "{e}");
}

#[test]
fn an_unhealthy_status_beside_a_whole_set_is_reported_only() {
    let status: &[u8] = br#"{"partnerMetadataConfigsErrors": {"ca_pool": "not found"}}"#;
    let reading = read_set(directory(&with(CONFIG_STATUS, status)).path()).unwrap();
    let status = reading.config_status.unwrap();
    assert!(!status.is_healthy());
    assert!(status.to_string().contains("not found"), "{status}");
}

#[test]
fn an_unhealthy_status_explains_what_is_missing() {
    let e = fault(&[(CONFIG_STATUS, br#"{"xErrors": {"ca_pool": "not found"}}"#)]);
    assert!(matches!(&e, ReadError::NotIssued { cause, .. }
            if matches!(**cause, ReadError::FileMissing { .. })));
    assert!(e.to_string().contains("not found"), "{e}");
    assert!(e.is_transient());
}

#[test]
fn a_kubernetes_style_directory_is_resolved_once() {
    let dir = directory(&[]);
    fs::create_dir(dir.path().join("..1")).unwrap();
    for (name, bytes) in GCE {
        fs::write(dir.path().join("..1").join(name), bytes).unwrap();
        symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
    }
    symlink("..1", dir.path().join("..data")).unwrap();
    let reading = read_set(dir.path()).unwrap();
    assert_eq!(reading.directory, dir.path().canonicalize().unwrap().join("..1"));

    // Between the opening and the files, the link is switched: that is noticed.
    let handle = Handle::open(dir.path()).unwrap();
    fs::create_dir(dir.path().join("..2")).unwrap();
    symlink("..2", dir.path().join("..data_tmp")).unwrap();
    fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    assert!(!handle.is_unchanged());
}

#[test]
fn a_directory_deleted_between_two_files_is_noticed() {
    let dir = directory(&[]);
    let mut secrets = Secrets::new(dir.path());
    secrets.replace(Agent::Legacy, &GCE);
    let mut handle = Handle::open(&secrets.link()).unwrap();
    assert!(handle.file(CERTIFICATES, MOST_CERTIFICATES).unwrap().is_some());
    assert!(handle.is_unchanged());
    secrets.replace(Agent::Legacy, &GCE);
    assert!(handle.file(PRIVATE_KEY, MOST_KEY).unwrap().is_none());
    assert!(!handle.is_unchanged());
}

#[test]
fn a_file_rewritten_in_place_is_noticed() {
    let dir = directory(&GCE);
    let mut handle = Handle::open(dir.path()).unwrap();
    handle.file(CERTIFICATES, MOST_CERTIFICATES).unwrap();
    fs::write(dir.path().join(CERTIFICATES), b"other").unwrap();
    fs::write(dir.path().join(CERTIFICATES), b"another one").unwrap();
    assert!(!handle.is_unchanged());
}

#[test]
fn replaced_without_end_the_read_ends_with_a_whole_set_or_a_passing_fault() {
    let dir = directory(&[]);
    let mut secrets = Secrets::new(dir.path());
    let set =
        |n: u32| [CERTIFICATES, PRIVATE_KEY, TRUST_BUNDLES].map(|name| (name, n.to_string().into_bytes()));
    let mut replace = move |agent, n: u32| {
        let files = set(n);
        let files: Vec<_> = files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        secrets.replace(agent, &files);
    };
    replace(Agent::Legacy, 0);
    let link = dir.path().join("workload-spiffe-credentials");
    let done = AtomicBool::new(false);
    let (mut whole, mut passing) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..1500 {
                replace(if n % 2 == 0 { Agent::Legacy } else { Agent::Current }, n);
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            match read(&link) {
                Ok(c) => {
                    assert_eq!(c.certificates_pem, c.private_key_pem);
                    assert!(matches!(&c.bundles, CandidateBundles::MapJson(j) if *j == *c.certificates_pem));
                    whole += 1;
                }
                Err(e) => {
                    // Each directory is whole when the link shows it, so a file that is missing would be a mixture.
                    let between = ["directory_missing", "dangling_link", "changed_while_reading"];
                    assert!(e.is_transient() && between.contains(&e.reason()), "{e}");
                    passing += 1;
                }
            }
        }
    });
    println!("1500 replacements: {whole} whole reads, {passing} passing faults");
    assert!(whole > 0);
}

#[test]
fn a_directory_that_was_made_in_between_is_not_called_missing() {
    use rustix::io::Errno;
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    symlink("target", &link).unwrap();
    let never = || Err(Errno::NOENT);
    assert_eq!(open_by(&link, never).unwrap_err().reason(), "dangling_link");
    fs::create_dir(dir.path().join("target")).unwrap();
    assert_eq!(
        open_by(&link, never).unwrap_err().reason(),
        "changed_while_reading"
    );
    let mut answers = vec![Ok(fs::File::open(&link).unwrap().into()), Err(Errno::NOENT)];
    open_by(&link, || answers.pop().unwrap()).unwrap();
    assert!(answers.is_empty(), "asked twice");
}

#[test]
fn debug_shows_no_contents() {
    let shown = format!("{:?}", read_set(directory(&GCE).path()).unwrap());
    assert!(!shown.contains("chain") && !shown.contains("key"), "{shown}");
}
