//! Who does not get a token, and is told so: callers without a grant, with a narrower one, or in disguise.

use crate::daemon::{Answer, Daemon, Place, talk};
use crate::tokens::{IDENTITY, TOKEN, free_address, get, get_with, place, settings, token};
use crate::user::{as_user, can_be_others};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const READ: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const WRITE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
const ALICE: u32 = 45_011;
const BOB: u32 = 45_012;
const SHOP: u32 = 45_020;

const RULES: &str = r#"access:
  - { who: { uid: 45011 }, may: { access_tokens: { scopes: ["https://www.googleapis.com/auth/devstorage.read_only"] }, id_tokens: { audiences: ["https://*.a.run.app"] } } }
  - { who: { gid: 45020 }, may: { access_tokens: true } }
"#;

fn started(place: &Place) -> Daemon {
    // Other users reach the socket: only the test's own directory is closed to them.
    std::fs::set_permissions(place.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut daemon = place.start();
    daemon.wait_ready();
    daemon
}

fn socket(place: &Place) -> PathBuf {
    place.path("run/metadata.sock")
}

fn on_socket(socket: &Path, path: &str) -> Answer {
    let stream = UnixStream::connect(socket).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nMetadata-Flavor: Google\r\n");
    talk(stream, &head).unwrap()
}

fn scopes(answer: &Answer) -> String {
    use std::process::{Command, Stdio};
    let (jwt, _) = token(answer);
    let payload = jwt.split('.').nth(1).unwrap().replace('-', "+").replace('_', "/");
    let padded = format!("{payload}{}", "=".repeat((4 - payload.len() % 4) % 4));
    let mut child = Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(padded.as_bytes()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    json["scope"].as_str().unwrap().to_owned()
}

#[test]
fn a_user_without_a_rule_gets_no_token_but_the_instances_own_data() {
    if !can_be_others("a_user_without_a_rule") {
        return;
    }
    let address = free_address();
    let place = place("dev", address, RULES);
    let daemon = started(&place);
    as_user(BOB, BOB, &[], || {
        for answer in [
            get(address, TOKEN),
            get(address, &format!("{TOKEN}?scopes={READ}")),
            get(address, &format!("{IDENTITY}?audience=https://x.a.run.app")),
            on_socket(&socket(&place), TOKEN),
        ] {
            assert_eq!(answer.code, 403, "{answer:?}");
        }
        assert_eq!(
            get(address, "/computeMetadata/v1/project/project-id").body,
            "mwid-dev"
        );
        let listing = get(address, "/computeMetadata/v1/instance/disks/?alt=json");
        assert_eq!((listing.code, &*listing.body), (200, "0/\n"), "names are text");
    });
    let status = daemon.status().unwrap();
    assert!(status["callers"]["denials"].as_u64() >= Some(4), "{status}");
    let log = daemon.stop();
    for (what, listener) in [
        ("access token", LISTENER),
        (READ, LISTENER),
        ("ID token for https://x.a.run.app", LISTENER),
        ("access token", "listener=metadata "),
    ] {
        on_record(&log, &["uid=45012", what, listener]);
    }
}

#[test]
fn a_grant_of_scopes_is_neither_widened_nor_guessed() {
    if !can_be_others("a_grant_of_scopes") {
        return;
    }
    let address = free_address();
    let place = place("dev", address, RULES);
    let daemon = started(&place);
    as_user(ALICE, ALICE, &[], || {
        assert_eq!(
            scopes(&get(address, TOKEN)),
            READ,
            "without scopes: exactly the grant"
        );
        assert_eq!(scopes(&get(address, &format!("{TOKEN}?scopes={READ}"))), READ);
        for wider in [
            WRITE.to_owned(),
            format!("{READ},{WRITE}"),
            "https://www.googleapis.com/auth/cloud-platform".to_owned(),
        ] {
            let answer = get(address, &format!("{TOKEN}?scopes={wider}"));
            assert_eq!(answer.code, 403, "{answer:?}");
            assert!(answer.body.contains(READ), "it says what is granted: {answer:?}");
        }
        let account = get(
            address,
            "/computeMetadata/v1/instance/service-accounts/default/?recursive=true",
        );
        let account: serde_json::Value = serde_json::from_str(&account.body).unwrap();
        assert_eq!(
            account["scopes"],
            serde_json::json!([READ]),
            "what google-auth sends back"
        );
        assert_eq!(
            get(address, &format!("{IDENTITY}?audience=https://x.a.run.app")).code,
            200
        );
        for other in [
            "https://x.y.a.run.app",
            "https://x.a.run.app.evil.example",
            "https://a.run.app",
            "https://evil@x.a.run.app",
        ] {
            let answer = get(address, &format!("{IDENTITY}?audience={other}"));
            assert_eq!(answer.code, 403, "{other}: {answer:?}");
        }
    });
    let log = daemon.stop();
    for what in [
        format!("access token with {WRITE}"),
        format!("access token with {READ} {WRITE}"),
        "access token with https://www.googleapis.com/auth/cloud-platform".to_owned(),
        "ID token for https://x.y.a.run.app".to_owned(),
        "ID token for https://evil@x.a.run.app".to_owned(),
    ] {
        on_record(&log, &["uid=45011", &what]);
    }
}

/// Of the same user, but of another unit than the rule says.
#[test]
fn a_user_outside_of_the_unit_gets_nothing() {
    if !can_be_others("a_user_outside_of_the_unit") {
        return;
    }
    let address = free_address();
    let place = place(
        "dev",
        address,
        "access: [{ who: { uid: 45011, unit: payments.service }, may: { access_tokens: true } }]",
    );
    let daemon = started(&place);
    as_user(ALICE, ALICE, &[], || {
        for answer in [get(address, TOKEN), on_socket(&socket(&place), TOKEN)] {
            assert_eq!(answer.code, 403, "{answer:?}");
        }
    });
    let log = daemon.stop();
    for listener in [LISTENER, "listener=metadata "] {
        on_record(&log, &["uid=45011", "access token", listener]);
    }
}

#[test]
fn a_group_is_proven_on_the_socket_and_only_there() {
    if !can_be_others("a_group") {
        return;
    }
    let address = free_address();
    let place = place("dev", address, RULES);
    let daemon = started(&place);
    let code = |groups: &[u32]| as_user(BOB, BOB, groups, || on_socket(&socket(&place), TOKEN).code);
    assert_eq!(code(&[]), 403, "not in the group");
    assert_eq!(code(&[SHOP + 1]), 403, "in another group");
    assert_eq!(code(&[SHOP + 1, SHOP]), 200, "one of his further groups");
    let primary = as_user(BOB, SHOP, &[], || on_socket(&socket(&place), TOKEN).code);
    assert_eq!(primary, 200);
    let by_tcp = as_user(BOB, SHOP, &[], || get(address, TOKEN));
    assert_eq!(by_tcp.code, 403, "TCP proves no group: {by_tcp:?}");
    let log = daemon.stop();
    on_record(&log, &["uid=45012", "access token", "listener=metadata "]);
    // The operator is told where a group is proven.
    on_record(&log, &["uid=45012", "access token", LISTENER, "socket"]);
}

#[test]
fn everyone_is_one_line() {
    if !can_be_others("everyone") {
        return;
    }
    let address = free_address();
    let place = place(
        "dev",
        address,
        "access: [{ who: everyone, may: { access_tokens: true, id_tokens: true } }]",
    );
    let daemon = started(&place);
    let code = as_user(BOB, BOB, &[], || get(address, TOKEN).code);
    assert_eq!(code, 200);
    daemon.stop();
}

#[test]
fn a_reload_takes_a_grant_away_from_a_connection_that_is_open() {
    if !can_be_others("a_reload_takes_a_grant_away") {
        return;
    }
    let address = free_address();
    let place = place(
        "dev",
        address,
        "access: [{ who: { uid: 45011 }, may: { access_tokens: true } }]",
    );
    let daemon = started(&place);
    let mut stream = as_user(ALICE, ALICE, &[], || TcpStream::connect(address).unwrap());
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut code = || {
        write!(
            stream,
            "GET {TOKEN} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\n\r\n"
        )
        .unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let mut text = String::new();
        loop {
            let n = stream.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "closed: {text}");
            text += &String::from_utf8_lossy(&buffer[..n]);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let length: usize = head
                .split("content-length: ")
                .nth(1)
                .unwrap()
                .lines()
                .next()
                .unwrap()
                .parse()
                .unwrap();
            if body.len() >= length {
                return head.split(' ').nth(1).unwrap().to_owned();
            }
        }
    };
    assert_eq!(code(), "200");
    settings(&place, "dev", address, "access: []");
    assert!(place.mwid(&["reload"]).status.success());
    assert_eq!(code(), "403", "the same connection, decided again");
    daemon.stop();
}

#[test]
fn browsers_and_proxies_in_disguise_are_refused() {
    let address = free_address();
    let place = place("dev", address, "");
    let daemon = started(&place);
    let flavor = "Metadata-Flavor: Google\r\n";
    assert_eq!(get_with(address, TOKEN, "").code, 403, "no flavor");
    assert_eq!(
        get_with(address, TOKEN, &format!("{flavor}X-Forwarded-For: 10.0.0.1\r\n")).code,
        403
    );
    let by_host = |host: &str| {
        let head = format!("GET {TOKEN} HTTP/1.1\r\nHost: {host}\r\n{flavor}");
        talk(TcpStream::connect(address).unwrap(), &head).unwrap().code
    };
    for good in [
        "localhost",
        "127.0.0.1",
        "metadata.google.internal",
        "169.254.169.254",
        &address.to_string(),
    ] {
        assert_eq!(by_host(good), 200, "{good}");
    }
    for bad in [
        "evil.example",
        "metadata.google.internal.evil.example",
        "10.0.0.1",
    ] {
        assert_eq!(by_host(bad), 403, "{bad}");
    }
    for path in [
        "/computeMetadata/v1/instance/service-accounts/default/%74oken",
        "/computeMetadata/v1/instance/service-accounts//default/token",
        "/computeMetadata/v1/instance/service-accounts/default/../default/token",
        "/computeMetadata/v1/project/../instance/service-accounts/default/token",
        "/computeMetadata/v1beta1/instance/service-accounts/default/token",
        "/0.1/meta-data/service-accounts/default/acquire",
    ] {
        assert_eq!(get(address, path).code, 404, "{path}");
    }
    let log = daemon.stop();
    on_record(&log, &["request in disguise", "X-Forwarded-For", LISTENER]);
    on_record(&log, &["request in disguise", "foreign Host", LISTENER]);
    assert!(
        lines_with(&log, &["foreign Host", "host=evil.example"]) >= 1,
        "{log}"
    );
}

#[test]
fn a_socket_whose_owner_has_gone_gets_nothing() {
    let address = free_address();
    let place = place("dev", address, "");
    let daemon = started(&place);
    let head = format!("GET {TOKEN} HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\n\r\n");
    // The daemon stands still, so that both ends are as they are when it meets them.
    daemon.signal(Signal::SIGSTOP);
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(head.as_bytes()).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    drop(TcpStream::connect(address).unwrap());
    // Broken off: when it is looked up, nothing is left of either end.
    let mut broken = TcpStream::connect(address).unwrap();
    broken.write_all(head.as_bytes()).unwrap();
    let at_once = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    nix::sys::socket::setsockopt(&broken, nix::sys::socket::sockopt::Linger, &at_once).unwrap();
    drop(broken);
    daemon.signal(Signal::SIGCONT);
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(!answer.contains("access_token"), "{answer}");
    let kinds = ["half_closed", "orphan", "closed"];
    let told = || daemon.get("/metrics").unwrap().body;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !kinds
        .iter()
        .all(|kind| told().contains(&format!("kind=\"{kind}\"")))
    {
        assert!(Instant::now() < deadline, "not on record:\n{}", told());
    }
    // Closed before it is met: nobody reads the answer, and the daemon lives.
    for _ in 0..200 {
        let mut gone = TcpStream::connect(address).unwrap();
        gone.write_all(head.as_bytes()).unwrap();
        drop(gone);
    }
    assert_eq!(get(address, TOKEN).code, 200);
    let log = daemon.stop();
    for why in [
        "no longer open for sending",
        "has no owner any more",
        "was closed before mwid could see whose it is",
    ] {
        on_record(&log, &[why, LISTENER]);
    }
}

#[test]
fn heads_that_are_too_large_or_too_slow_are_cut_off() {
    let address = free_address();
    let place = place("dev", address, "");
    let daemon = started(&place);
    let large = format!(
        "Metadata-Flavor: Google\r\nX-Filler: {}\r\n",
        "x".repeat(64 * 1024)
    );
    let head = format!("GET {TOKEN} HTTP/1.1\r\nHost: {address}\r\n{large}");
    let mut stream = TcpStream::connect(address).unwrap();
    // The daemon reads no more than it must: the rest may find the connection closed, and so may who reads on after the answer.
    let _rest_refused = stream.write_all(format!("{head}\r\n").as_bytes());
    let mut answer = vec![];
    let _reset = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 431 "), "too large: {answer:?}");
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /computeMetadata/v1/ HTTP/1.1\r\nHo")
        .unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let began = Instant::now();
    assert_eq!(slow.read(&mut [0; 1]).unwrap_or(0), 0, "closed");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let log = daemon.stop();
    let us = format!("uid={}", nix::unistd::geteuid());
    for said in [
        "its head is too large",
        "did not send the head of a request in time",
    ] {
        assert!(
            lines_with(&log, &[said, LISTENER, &us]) >= 1,
            "{said:?} of us in:\n{log}"
        );
    }
}

#[test]
fn one_users_idle_connections_keep_nobody_else_out() {
    if !can_be_others("one_users_idle_connections") {
        return;
    }
    let address: SocketAddr = free_address();
    let place = place("dev", address, RULES);
    let daemon = started(&place);
    raise_files(12_000);
    let idle: Vec<TcpStream> = as_user(BOB, BOB, &[], || {
        (0..5_000)
            .map_while(|_| TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok())
            .collect()
    });
    assert!(idle.len() >= 4_000, "{} connections", idle.len());
    let began = Instant::now();
    assert_eq!(as_user(ALICE, ALICE, &[], || get(address, TOKEN).code), 200);
    assert_eq!(get(address, TOKEN).code, 200, "root");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // And his own next one takes the place of one that has idled for a while.
    let deadline = Instant::now() + Duration::from_secs(20);
    let head = format!(
        "GET /computeMetadata/v1/project/project-id HTTP/1.1\r\nHost: {address}\r\nMetadata-Flavor: Google\r\n"
    );
    let again = || as_user(BOB, BOB, &[], || talk(TcpStream::connect(address).ok()?, &head));
    while again().is_none_or(|answer| answer.code != 200) {
        assert!(
            Instant::now() < deadline,
            "the user of the idle ones is locked out by himself"
        );
    }
    drop(idle);
    let log = daemon.stop();
    let lines = lines_with(&log, &["has his share of the places", LISTENER, "uid=45012"]);
    assert!(
        (1..20).contains(&lines),
        "{lines} lines name the user of the idle ones:\n{log}"
    );
}

/// Of the daemon's API on loopback, as the log writes it.
const LISTENER: &str = "listener=metadata_tcp";

/// Lines of a log that have all of these.
/// The record has a line of a denial with all of this.
fn on_record(log: &str, all: &[&str]) {
    let all = [&["denied"], all].concat();
    assert!(lines_with(log, &all) >= 1, "no line with {all:?} in:\n{log}");
}

fn lines_with(log: &str, all: &[&str]) -> usize {
    let has_all = |line: &&str| all.iter().all(|part| line.contains(part));
    log.lines().filter(has_all).count()
}

pub(crate) fn raise_files(wanted: u64) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(wanted.min(hard)), hard).unwrap();
}
