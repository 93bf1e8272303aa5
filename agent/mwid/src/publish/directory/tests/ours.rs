//! What is ours to replace, modes and owners, restarts, and how long old generations stay.

use super::*;
use crate::publish::error::PublishError;
use crate::publish::fs::RealFileSystem;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

fn real(path: &Path) -> Directory {
    directory(path, OPEN, Arc::new(RealFileSystem))
}

#[test]
fn a_generation_shows_every_file_with_its_mode_whatever_the_umask() {
    // The umask is one for the whole process, so this test runs itself again in processes of its own.
    if std::env::var_os("MWID_TEST_HAS_UMASK").is_none() {
        let thread = std::thread::current();
        let (program, name) = (std::env::current_exe().unwrap(), thread.name().unwrap());
        for umask in ["umask 077", "umask 000"] {
            let run = std::process::Command::new("sh")
                .args(["-c", &format!("{umask}; exec \"$0\" \"$@\"")])
                .arg(&program)
                .args([name, "--exact"])
                .env("MWID_TEST_HAS_UMASK", "yes")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&run.stdout);
            assert!(
                run.status.success() && text.contains("1 passed"),
                "{umask}: {text}"
            );
        }
        return;
    }
    let dir = fast_directory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("identity");
    let identity = Identities::new().next();
    assert!(real(&path).publish(&identity, now()).unwrap().switched);
    shown(&path, &[identity]).unwrap();
    assert_eq!(
        fs::read_link(&path).unwrap().parent(),
        Some(Path::new(".identity"))
    );
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode(""), 0o755);
    assert_eq!(
        fs::metadata(dir.path().join(".identity")).unwrap().mode() & 0o7777,
        0o755
    );
    for secret in [
        "private_key.pem",
        "haproxy.pem",
        "credential-bundle.private-key.x509.pem",
    ] {
        assert_eq!(mode(secret), 0o640, "{secret}");
    }
    for public in ["certificates.pem", "ca_certificates.pem", "trust_bundles.json"] {
        assert_eq!(mode(public), 0o644, "{public}");
    }
    assert_eq!(mode(".manifest"), 0o600);
}

#[test]
fn owner_and_group_are_set() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: giving files to another user needs root");
        return;
    }
    let dir = fast_directory();
    let path = dir.path().join("identity");
    let access = Access {
        uid: Some(4001),
        gid: Some(4002),
        key_mode: 0o440,
    };
    let identity = Identities::new().next();
    let make = || directory(&path, access, Arc::new(RealFileSystem));
    make().publish(&identity, now()).unwrap();
    let key = fs::metadata(path.join("private_key.pem")).unwrap();
    assert_eq!((key.uid(), key.gid(), key.mode() & 0o7777), (4001, 4002, 0o440));
    let certificate = fs::metadata(path.join("certificates.pem")).unwrap();
    assert_eq!((certificate.uid(), certificate.mode() & 0o7777), (0, 0o644));
    assert!(
        !make().publish(&identity, now()).unwrap().switched,
        "kept after a restart"
    );
}

#[test]
fn after_a_restart_the_same_generation_is_kept_and_modes_are_repaired() {
    let dir = fast_directory();
    let path = dir.path().join("identity");
    let identity = Identities::new().next();
    real(&path).publish(&identity, now()).unwrap();
    let link = fs::read_link(&path).unwrap();
    let key = path.join("private_key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let done = real(&path).publish(&identity, now()).unwrap();
    assert!(!done.switched);
    assert!(!done.reacted, "no reaction has been noted yet");
    assert_eq!(fs::read_link(&path).unwrap(), link);
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o755);
    real(&path).mark_reacted().unwrap();
    let done = real(&path).publish(&identity, now()).unwrap();
    assert!(!done.switched && done.reacted);
}

#[test]
fn a_generation_that_somebody_bent_is_written_anew() {
    let identity = Identities::new().next();
    let bend: [fn(&Path); 5] = [
        |path| fs::write(path.join("private_key.pem"), "short").unwrap(),
        |path| {
            let file = path.join("certificates.pem");
            let mut bytes = fs::read(&file).unwrap();
            bytes[100] ^= 1;
            fs::write(file, bytes).unwrap();
        },
        |path| fs::remove_file(path.join("haproxy.pem")).unwrap(),
        |path| fs::write(path.join("extra"), "x").unwrap(),
        |path| fs::remove_dir_all(path.canonicalize().unwrap()).unwrap(),
    ];
    for (n, bend) in bend.iter().enumerate() {
        let dir = fast_directory();
        let path = dir.path().join("identity");
        real(&path).publish(&identity, now()).unwrap();
        bend(&path);
        assert!(
            real(&path).publish(&identity, now()).unwrap().switched,
            "bend {n}"
        );
        shown(&path, std::slice::from_ref(&identity)).unwrap();
    }
}

#[test]
fn the_generation_before_stays_for_a_minute_also_over_a_restart() {
    let dir = fast_directory();
    let path = dir.path().join("identity");
    let mut identities = Identities::new();
    let (one, two) = (identities.next(), identities.next());
    let first = real(&path);
    first.publish(&one, now()).unwrap();
    let old = path.canonicalize().unwrap();
    // The first was published an hour ago; what counts is when the second took its place.
    let hour_ago = rustix::fs::Timespec {
        tv_sec: i64::try_from(wall().as_secs()).unwrap() - 3600,
        tv_nsec: 0,
    };
    let times = rustix::fs::Timestamps {
        last_access: hour_ago,
        last_modification: hour_ago,
    };
    rustix::fs::utimensat(rustix::fs::CWD, &old, &times, rustix::fs::AtFlags::empty()).unwrap();
    let done = first.publish(&two, now()).unwrap();
    assert!(done.sweep_at.is_some());
    first.sweep(later(58)).unwrap();
    assert!(old.join("private_key.pem").exists());
    drop(first);
    let restarted = real(&path);
    let done = restarted.publish(&two, later(58)).unwrap();
    assert!(
        old.join("private_key.pem").exists(),
        "swept too early by a new process"
    );
    let at = done.sweep_at.expect("comes again").duration_since(Instant::now());
    assert!(
        at > Duration::from_secs(55) && at < Duration::from_secs(62),
        "{at:?}"
    );
    restarted.sweep(later(63)).unwrap();
    assert!(!old.exists());
    drop(restarted);
    assert!(path.join("private_key.pem").exists());
    real(&path).sweep(later(100_000)).unwrap();
    assert!(
        path.join("private_key.pem").exists(),
        "the current one is never swept"
    );
}

#[test]
fn an_empty_directory_is_replaced_and_foreign_things_are_refused() {
    let identity = Identities::new().next();
    let dir = fast_directory();
    let path = dir.path().join("identity");
    fs::create_dir(&path).unwrap();
    real(&path).inspect().unwrap();
    assert!(path.is_dir() && !path.is_symlink(), "inspect changes nothing");
    real(&path).publish(&identity, now()).unwrap();
    assert!(path.is_symlink());

    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("precious"), "x").unwrap();
    assert!(matches!(
        real(&full).inspect(),
        Err(PublishError::NotEmpty { .. })
    ));
    let error = real(&full).publish(&identity, now()).unwrap_err();
    assert!(error.to_string().contains("move the directory away"), "{error}");
    assert!(full.join("precious").exists());

    let link = dir.path().join("link");
    symlink("/etc", &link).unwrap();
    let error = real(&link).publish(&identity, now()).unwrap_err();
    assert!(matches!(error, PublishError::ForeignLink { .. }), "{error}");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("/etc"));

    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = real(&file).publish(&identity, now()).unwrap_err();
    assert!(matches!(error, PublishError::InTheWay { .. }), "{error}");
}

#[test]
fn a_missing_parent_is_made_below_the_runtime_directory_only() {
    let dir = fast_directory();
    let identity = Identities::new().next();
    let make = |path: &Path, runtime: &Path| {
        let claim = Arc::new(Claim::default());
        Directory::new(
            path,
            runtime,
            OPEN,
            wanted(&PEM_SETS),
            claim,
            Arc::new(RealFileSystem),
        )
        .unwrap()
    };
    let runtime = dir.path().join("run/mwid");
    let inside = runtime.join("more/identity");
    make(&inside, &runtime).publish(&identity, now()).unwrap();
    assert!(inside.join("private_key.pem").exists());
    let outside = dir.path().join("srv/identity");
    let error = make(&outside, &runtime).publish(&identity, now()).unwrap_err();
    assert!(matches!(error, PublishError::NoParent { .. }), "{error}");
    assert!(!dir.path().join("srv").exists());
}

#[test]
fn a_parent_or_hidden_directory_open_to_others_is_refused() {
    let dir = fast_directory();
    let identity = Identities::new().next();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let error = real(&open.join("identity"))
        .publish(&identity, now())
        .unwrap_err();
    assert!(matches!(error, PublishError::ParentOpenToAll { .. }), "{error}");
    let hidden = dir.path().join(".identity");
    fs::create_dir(&hidden).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o775)).unwrap();
    let error = real(&dir.path().join("identity"))
        .publish(&identity, now())
        .unwrap_err();
    assert!(matches!(error, PublishError::HiddenNotOurs { .. }), "{error}");
}

#[test]
fn a_second_publisher_of_the_same_directory_is_refused() {
    let dir = fast_directory();
    let path = dir.path().join("identity");
    let identity = Identities::new().next();
    let first = real(&path);
    first.publish(&identity, now()).unwrap();
    let error = real(&path).publish(&identity, now()).unwrap_err();
    assert!(matches!(error, PublishError::Busy { .. }), "{error}");
    drop(first);
    real(&path).publish(&identity, now()).unwrap();
}

#[test]
fn relative_and_dotted_paths_are_refused() {
    for bad in ["identity", "/run/../identity", "/", ""] {
        let made = Directory::new(
            Path::new(bad),
            Path::new("/run/mwid"),
            OPEN,
            wanted(&PEM_SETS),
            Arc::new(Claim::default()),
            Arc::new(RealFileSystem),
        );
        assert!(matches!(made, Err(PublishError::BadPath { .. })), "{bad:?}");
    }
}

#[test]
fn what_is_not_ours_in_the_hidden_directory_stays() {
    let dir = fast_directory();
    let path = dir.path().join("identity");
    let identity = Identities::new().next();
    real(&path).publish(&identity, now()).unwrap();
    let foreign = dir.path().join(".identity/notes.txt");
    fs::write(&foreign, "x").unwrap();
    real(&path).sweep(later(100_000)).unwrap();
    assert!(foreign.exists());
}

#[test]
fn generations_go_on_from_the_highest_that_is_on_disk_also_without_the_link() {
    let dir = fast_directory();
    let path = dir.path().join("identity");
    assert_eq!(super::super::last_generation(&path), None);
    let mut identities = Identities::new();
    let (one, two) = (identities.next(), identities.next());
    real(&path).publish(&one, now()).unwrap();
    real(&path).publish(&two, now()).unwrap();
    assert_eq!(super::super::last_generation(&path), Some(2));
    fs::remove_file(&path).unwrap();
    fs::create_dir(dir.path().join(".identity/00000099-notours")).unwrap();
    assert_eq!(super::super::last_generation(&path), Some(2));
}
