//! Promise 6: keys reach no log, status, metric, error or core file.

use crate::daemon::{Place, mwid};
use std::fs;
use testkit::guest_agent::Agent;

/// The longest base64 line of a PEM key: if any output holds it, a key has leaked.
fn needle(pem: &str) -> String {
    pem.lines()
        .filter(|l| !l.starts_with("---"))
        .max_by_key(|l| l.len())
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn no_key_reaches_a_log_a_status_a_metric_or_an_error() {
    let mut place = Place::new();
    place.config("log: { level: trace }");
    let mut needles = vec![];
    let first = place.deliver_good();
    needles.push(needle(&first.key_pem));
    let mut daemon = place.start();
    daemon.wait_ready();
    // Broken in every way that could tempt an error message to quote the file.
    let mut mixed = place.world.leaf("/ns/shop/sa/payments");
    mixed.key_pem = format!("{}junk {}", mixed.key_pem, first.key_pem);
    needles.push(needle(&mixed.key_pem));
    place.deliver(Agent::Current, &mixed);
    daemon.wait_for("the refusal", |d| {
        d.status()
            .is_some_and(|s| s["source"]["refusals"].as_u64() >= Some(1))
    });
    let mut swapped = place.world.leaf("/ns/shop/sa/payments");
    std::mem::swap(&mut swapped.key_pem, &mut swapped.chain_pem);
    needles.push(needle(&swapped.chain_pem));
    place.deliver(Agent::Current, &swapped);
    daemon.wait_for("the next refusal", |d| {
        d.status()
            .is_some_and(|s| s["source"]["refusals"].as_u64() >= Some(2))
    });
    let mut said: Vec<String> = ["/status", "/metrics", "/readyz", "/identity"]
        .iter()
        .map(|p| daemon.get(p).unwrap().body)
        .collect();
    for args in [&["status"][..], &["identity"], &["check"]] {
        let out = place.mwid(args);
        said.push(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr));
    }
    said.push(daemon.stop());
    for text in &said {
        assert!(!text.contains("PRIVATE KEY-----\n"), "{text}");
        for needle in &needles {
            assert!(!text.contains(needle.as_str()), "a key in:\n{text}");
        }
    }
    assert!(said.last().unwrap().len() > 200, "the log was read");
}

#[test]
fn the_process_is_not_dumpable_and_writes_no_core() {
    let place = Place::new();
    place.config("");
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/healthz").is_some());
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid()));
    if nix::unistd::geteuid().is_root() {
        let limits = limits.unwrap();
        let core = limits
            .lines()
            .find(|l| l.starts_with("Max core file size"))
            .unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    }
    if !nix::unistd::geteuid().is_root() {
        assert!(
            fs::read(format!("/proc/{}/environ", daemon.pid())).is_err(),
            "the process is dumpable"
        );
    }
    daemon.stop();
    is_closed_to_its_own_user();
}

/// What belongs to a process in /proc is its user's, and root's where the process is not dumpable: proc(5).
fn is_closed_to_its_own_user() {
    use nix::fcntl::{FcntlArg, FdFlag};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::{MetadataExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;
    const USER: u32 = 45040;
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    place.config("");
    for at in [place.path(""), place.path("mwid.yaml")] {
        chown(at, Some(USER), Some(USER)).unwrap();
    }
    let config = place.path("mwid.yaml");
    let binary = fs::File::open(mwid().get_program()).unwrap();
    // By its descriptor: the user may not get to where it was built.
    nix::fcntl::fcntl(&binary, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    command
        .env_clear()
        .args(["run", "--config"])
        .arg(config)
        .uid(USER)
        .gid(USER);
    let mut daemon = place.start_as(&mut command);
    daemon.wait_for("an answer", |d| d.get("/healthz").is_some());
    let of_process = |file| {
        fs::metadata(format!("/proc/{}/{file}", daemon.pid()))
            .unwrap()
            .uid()
    };
    assert_eq!(of_process("environ"), 0, "the process is dumpable");
    assert!(
        fs::read_to_string(format!("/proc/{}/status", daemon.pid()))
            .unwrap()
            .contains("45040")
    );
    daemon.stop();
}

#[test]
fn published_keys_have_their_mode_from_the_first_moment() {
    use std::os::unix::fs::PermissionsExt;
    let mut place = Place::new();
    place.config(&format!(
        "publish:\n  - {{ directory: {}, files: [gce, credential_bundle, haproxy], key_mode: \"0600\" }}",
        place.path("run/identity").display()
    ));
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    for generation in 2..5 {
        for (file, wanted) in [
            ("private_key.pem", 0o600),
            ("credential-bundle.private-key.x509.pem", 0o600),
            ("haproxy.pem", 0o600),
            ("certificates.pem", 0o644),
            ("ca_certificates.pem", 0o644),
        ] {
            let mode = fs::metadata(place.published(file)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, wanted, "{file}: {mode:o}");
        }
        place.deliver_good();
        daemon.wait_generation(generation);
    }
    daemon.stop();
    assert!(mwid().arg("--version").output().unwrap().status.success());
}
