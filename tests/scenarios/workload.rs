//! What SPIFFE programs get: the identity at once, each rotation, and words that they understand when there is none.

use crate::daemon::{Daemon, PATH, Place, mwid};
use crate::spiffe::{Next, PERMISSION_DENIED, Program, UNAVAILABLE, UNIMPLEMENTED, X509_BUNDLES, X509_SVID};
use crate::user::{as_user, can_be_others};
use nix::sys::signal::Signal;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use testkit::guest_agent::Agent;
use testkit::pki::{Leaf, LeafSpec, Validity, World};

/// Long enough for a message that should not come.
const A_WHILE: Duration = Duration::from_millis(300);

fn socket(place: &Place) -> PathBuf {
    place.path("run/workload.sock")
}

fn started(place: &mut Place) -> (Daemon, Leaf) {
    place.config("");
    let leaf = place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    (daemon, leaf)
}

/// The DER of the certificates of a PEM text, one after another.
fn der(pem: &str) -> Vec<u8> {
    use pki_types::pem::PemObject as _;
    pki_types::CertificateDer::pem_slice_iter(pem.as_bytes())
        .flat_map(|der| der.unwrap().to_vec())
        .collect()
}

fn key_der(pem: &str) -> Vec<u8> {
    use pki_types::pem::PemObject as _;
    pki_types::PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .secret_pkcs8_der()
        .to_vec()
}

#[test]
fn a_spiffe_program_gets_the_whole_identity_at_once() {
    let mut place = Place::new();
    let (daemon, leaf) = started(&mut place);
    let program = Program::connect(&socket(&place));
    let answer = program.call(X509_SVID).svid();
    let [svid] = &answer.svids[..] else {
        panic!("{} SVIDs", answer.svids.len());
    };
    let domain = crate::daemon::DOMAIN;
    let root = der(&place.world.root.cert_pem);
    assert_eq!(svid.spiffe_id, format!("spiffe://{domain}{PATH}"));
    assert_eq!(svid.x509_svid, der(&leaf.chain_pem), "leaf first, DER after DER");
    assert_eq!(svid.x509_svid_key, key_der(&leaf.key_pem), "PKCS#8");
    assert_eq!(svid.bundle, root);
    assert_eq!(svid.hint, "");
    assert!(answer.federated_bundles.is_empty() && answer.crl.is_empty());
    let bundles = program.call(X509_BUNDLES).bundles().bundles;
    assert_eq!(
        bundles.into_iter().collect::<Vec<_>>(),
        [(format!("spiffe://{domain}"), root)]
    );
    daemon.stop();
}

#[test]
fn a_program_that_comes_before_the_first_identity_is_told_to_ask_again_and_then_gets_it() {
    let mut place = Place::new();
    place.config("");
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/readyz").is_some_and(|a| a.code == 503));
    let program = Program::connect(&socket(&place));
    for method in [X509_SVID, X509_BUNDLES] {
        let Next::End(code, words) = program.first(method) else {
            panic!("an identity from nowhere");
        };
        assert_eq!(code, UNAVAILABLE, "not a denial: {words}");
        assert!(words.contains("no identity yet"), "{words}");
    }
    place.deliver_good();
    daemon.wait_ready();
    assert_eq!(
        program.call(X509_SVID).svid().svids.len(),
        1,
        "on the same connection"
    );
    daemon.stop();
}

#[test]
fn a_rotation_reaches_every_stream_once_and_only_those_whom_it_tells_something() {
    let mut place = Place::new();
    let (mut daemon, first) = started(&mut place);
    let programs: Vec<Program> = (0..3).map(|_| Program::connect(&socket(&place))).collect();
    let mut svids: Vec<_> = programs
        .iter()
        .flat_map(|program| (0..20).map(|_| program.call(X509_SVID)))
        .collect();
    let mut bundles: Vec<_> = programs
        .iter()
        .map(|program| program.call(X509_BUNDLES))
        .collect();
    for stream in &mut svids {
        assert_eq!(stream.svid().svids[0].x509_svid, der(&first.chain_pem));
    }
    for stream in &mut bundles {
        stream.bundles();
    }
    let second = place.deliver_good();
    for stream in &mut svids {
        assert_eq!(stream.svid().svids[0].x509_svid, der(&second.chain_pem));
    }
    // The roots are the same, so bundles say nothing new; and nobody is told twice.
    for stream in bundles.iter_mut().chain(svids.iter_mut().take(1)) {
        assert_eq!(stream.next_within(A_WHILE), Next::Nothing);
    }
    daemon.wait_for("what the status tells of it", |d| {
        let status = d.status().unwrap();
        let workload = &status["workload"];
        workload["streams"] == 63 && workload["callers"] == 3 && workload["rotation"]["subscribers"] == 60
    });
    let metrics = daemon.get("/metrics").unwrap().body;
    for line in [
        "mwid_workload_streams{method=\"FetchX509SVID\"} 60",
        "mwid_workload_messages_total{method=\"FetchX509SVID\"} 120",
        "mwid_workload_messages_total{method=\"FetchX509Bundles\"} 3",
        "mwid_workload_rotation_to_subscriber_seconds_count 60",
    ] {
        assert!(metrics.contains(line), "no {line} in:\n{metrics}");
    }
    // A new root: bundles are told too.
    place.world = World::new(crate::daemon::DOMAIN);
    place.deliver_good();
    for stream in &mut bundles {
        assert_eq!(
            stream.bundles().bundles.into_values().collect::<Vec<_>>(),
            [der(&place.world.root.cert_pem)]
        );
    }
    drop((svids, bundles));
    drop(programs);
    daemon.wait_for("no stream any more", |d| {
        d.status()
            .is_some_and(|s| s["workload"]["streams"] == 0 && s["workload"]["callers"] == 0)
    });
    daemon.stop();
}

#[test]
fn a_stream_that_is_not_read_gets_the_newest_generation_when_it_is() {
    let mut place = Place::new();
    let (mut daemon, _) = started(&mut place);
    let asleep = Program::with_window(&socket(&place), 16 * 1024);
    let mut stream = asleep.call(X509_SVID);
    stream.svid();
    let reader = Program::connect(&socket(&place));
    let mut read = reader.call(X509_SVID);
    read.svid();
    let mut newest = vec![];
    // The sleeper's window takes the first few of them.
    for generation in 2..60 {
        newest = der(&place.deliver_good().chain_pem);
        assert_eq!(
            read.svid().svids[0].x509_svid,
            newest,
            "generation {generation} for who reads"
        );
    }
    daemon.wait_generation(59);
    let mut got = 0;
    while stream.svid().svids[0].x509_svid != newest {
        got += 1;
    }
    assert!(got < 20, "{got} old ones were kept for who does not read");
    assert_eq!(stream.next_within(A_WHILE), Next::Nothing);
    daemon.stop();
}

#[test]
fn an_identity_that_expires_ends_the_streams_and_a_new_one_is_served_again() {
    let mut place = Place::new();
    place.config("");
    let spec = LeafSpec {
        validity: Validity { from: -60, to: 4 },
        ..LeafSpec::new(&format!("spiffe://{}{PATH}", crate::daemon::DOMAIN))
    };
    let leaf = place.world.leaf_of(&spec);
    place.deliver(Agent::Legacy, &leaf);
    let mut daemon = place.start();
    daemon.wait_ready();
    let program = Program::connect(&socket(&place));
    let mut stream = program.call(X509_SVID);
    stream.svid();
    let Next::End(code, words) = stream.next() else {
        panic!("the stream goes on");
    };
    assert!(
        code == UNAVAILABLE && words.contains("the identity expired at 20"),
        "{code} {words}"
    );
    assert!(
        matches!(program.first(X509_SVID), Next::End(UNAVAILABLE, _)),
        "never served after its end"
    );
    place.deliver_good();
    // Readiness may be a second late, and so say yes of the one that has just expired.
    daemon.wait_generation(2);
    daemon.wait_ready();
    program.call(X509_SVID).svid();
    daemon.stop();
}

#[test]
fn an_identity_that_a_reload_forbids_is_taken_back() {
    let mut place = Place::new();
    let (daemon, _) = started(&mut place);
    let program = Program::connect(&socket(&place));
    let mut stream = program.call(X509_SVID);
    stream.svid();
    place.config_text(&format!(
        "identity:\n  source: {{ guest_agent: {{ directory: {} }} }}\n  expect: spiffe://other.example/**\nruntime_dir: {}\n",
        place.secrets.link().display(),
        place.path("run").display()
    ));
    assert!(place.mwid(&["reload"]).status.success());
    assert!(
        matches!(stream.next(), Next::End(UNAVAILABLE, _)),
        "another one may come"
    );
    // No identity at all is a decision: nobody is told to ask again for what never comes.
    place.config_text(&format!(
        "identity: {{ source: none }}\nruntime_dir: {}\n",
        place.path("run").display()
    ));
    assert!(place.mwid(&["reload"]).status.success());
    assert_eq!(
        program.first(X509_SVID),
        Next::End(PERMISSION_DENIED, "no identity issued".to_owned())
    );
    daemon.stop();
}

#[test]
fn over_a_restart_programs_are_told_to_connect_again_and_find_the_identity_there() {
    let mut place = Place::new();
    let (daemon, leaf) = started(&mut place);
    let program = Program::connect(&socket(&place));
    let mut stream = program.call(X509_SVID);
    stream.svid();
    let began = Instant::now();
    daemon.signal(Signal::SIGTERM);
    let Next::End(code, words) = stream.next() else {
        panic!("the stream is not ended");
    };
    assert!(code == UNAVAILABLE && words.contains("connect"), "{code} {words}");
    daemon.stop();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}: streams hold up the end",
        began.elapsed()
    );
    assert!(!socket(&place).exists());
    let mut daemon = place.start();
    daemon.wait_ready();
    let again = Program::connect(&socket(&place));
    assert_eq!(
        again.call(X509_SVID).svid().svids[0].x509_svid,
        der(&leaf.chain_pem)
    );
    daemon.stop();
}

#[test]
fn a_reload_moves_the_socket_and_streams_at_the_old_one_are_told_to_connect_again() {
    let mut place = Place::new();
    let (daemon, _) = started(&mut place);
    let program = Program::connect(&socket(&place));
    let mut stream = program.call(X509_SVID);
    stream.svid();
    let moved = place.path("run/moved.sock");
    place.config("api: { workload: { socket: moved.sock, mode: \"0600\" } }");
    assert!(place.mwid(&["reload"]).status.success());
    assert!(matches!(stream.next(), Next::End(UNAVAILABLE, _)));
    assert!(!socket(&place).exists());
    Program::connect(&moved).call(X509_SVID).svid();
    let told = place.mwid(&["env"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains(&format!(
            "export SPIFFE_ENDPOINT_SOCKET='unix://{}'\n",
            moved.display()
        )),
        "{told}"
    );
    place.config("api: { workload: { socket: off } }");
    assert!(place.mwid(&["reload"]).status.success());
    assert!(!moved.exists());
    daemon.stop();
}

#[test]
fn what_is_not_served_says_so() {
    let mut place = Place::new();
    let (daemon, _) = started(&mut place);
    let program = Program::connect(&socket(&place));
    for method in ["FetchWITSVID", "FetchWITBundles", "NoSuchMethod"] {
        assert!(
            matches!(program.first(method), Next::End(UNIMPLEMENTED, _)),
            "{method}"
        );
    }
    daemon.stop();
}

/// A daemon that systemd passes a socket at this path to.
fn started_with(place: &Place, name: &str, path: &Path) -> Daemon {
    started_with_socket(place, name, UnixListener::bind(path).unwrap().into())
}

/// A daemon that systemd passes this socket to.
pub(crate) fn started_with_socket(place: &Place, name: &str, listener: OwnedFd) -> Daemon {
    // The shell keeps its number over exec, so LISTEN_PID can name it; descriptor 3 is systemd's first one.
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$; exec \"$0\" \"$@\"";
    let plain = mwid();
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(plain.get_program()).args([
        "run",
        "--config",
        place.path("mwid.yaml").to_str().unwrap(),
    ]);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
    let mut daemon = place.start_from(&mut command, listener.into());
    daemon.wait_ready();
    daemon
}

#[test]
fn systemds_socket_serves_the_same() {
    let mut place = Place::new();
    place.config("api: { workload: { socket: off, listen: \"systemd:workload\" } }");
    place.deliver_good();
    let path = place.path("activated.sock");
    let daemon = started_with(&place, "workload", &path);
    assert!(!place.path("run/workload.sock").exists());
    Program::connect(&path).call(X509_SVID).svid();
    daemon.stop();
    assert!(path.exists(), "it is systemd's to remove");
}

#[test]
fn who_comes_by_systemds_socket_is_attested_and_decided_like_any_other() {
    const ALICE: u32 = 45_011;
    const BOB: u32 = 45_012;
    if !can_be_others("who_comes_by_systemds_socket") {
        return;
    }
    let mut place = Place::new();
    place.open_to_all();
    let served = "api: { workload: { socket: off, listen: \"systemd:workload\" } }";
    let rule = |uid| format!("{served}\naccess: [{{ who: {{ uid: {uid} }}, may: {{ identity: true }} }}]");
    place.config(&rule(ALICE));
    place.deliver_good();
    let path = place.path("activated.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let daemon = started_with_socket(&place, "workload", listener.into());
    let come = |uid| as_user(uid, uid, &[], || Program::connect(&path));
    let (alice, bob) = (come(ALICE), come(BOB));
    let denied = Next::End(PERMISSION_DENIED, "no identity issued".to_owned());
    for method in [X509_SVID, X509_BUNDLES, "FetchJWTBundles"] {
        assert_eq!(bob.first(method), denied, "{method}");
        assert!(matches!(alice.first(method), Next::Message(_)), "{method}");
    }
    let last = daemon.status().unwrap()["workload"]["last_denial"]["caller"].to_string();
    assert!(last.contains("uid 45012"), "{last}");
    // Open streams are decided again there too.
    let mut stream = alice.call(X509_SVID);
    stream.svid();
    place.config(&rule(BOB));
    assert!(place.mwid(&["reload"]).status.success());
    assert_eq!(stream.next(), denied);
    assert!(matches!(come(BOB).first(X509_SVID), Next::Message(_)));
    drop((stream, bob));
    drop(alice);
    daemon.stop();
}

#[test]
fn systemds_socket_serves_credentials_too() {
    let mut place = Place::new();
    place.config("api: { credential: { socket: off, listen: \"systemd:credential\" } }");
    place.deliver_good();
    let path = place.path("activated.sock");
    let daemon = started_with(&place, "credential", &path);
    assert!(!place.path("run/credential.sock").exists());
    // We are not systemd, and are told so at length: it would start a unit with an empty credential.
    let mut told = String::new();
    let stream = UnixStream::connect(&path).unwrap();
    stream.take(2 << 20).read_to_string(&mut told).unwrap();
    assert!(
        told.starts_with("mwid does not give this credential: the caller has not the address"),
        "{told:.300}"
    );
    assert!(told.len() > 1 << 20 && !told.contains("PRIVATE KEY"));
    daemon.stop();
    assert!(path.exists(), "it is systemd's to remove");
}
