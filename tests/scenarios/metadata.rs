//! An identity from the metadata server: found, rotated, withheld, busy; and what `auto` makes of a machine.

use crate::daemon::{DOMAIN, Daemon, PATH, Place, mwid};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use testkit::guest_agent::Agent;
use testkit::metadata::{Answer, Identity, Server};
use testkit::metadata_grpc::{Said, Service};
use testkit::pki::Leaf;

fn config(place: &Place, server: SocketAddr) {
    place.config_text(&format!(
        "identity:\n  source: {{ metadata: {{ address: \"{server}\", poll: 100ms }} }}\nruntime_dir: {}\n",
        place.path("run").display()
    ));
}

/// Hands out a new good leaf.
fn deliver(place: &Place, server: &Server) -> Leaf {
    let leaf = place.world.leaf(PATH);
    server.deliver(&Identity::of(&place.world, &leaf, PATH));
    leaf
}

fn published_is(place: &Place, leaf: &Leaf) -> bool {
    fs::read_to_string(place.published("certificates.pem"))
        .is_ok_and(|pem| pem.starts_with(leaf.leaf_pem.trim_end()))
}

fn wait_for_reason(daemon: &mut Daemon, words: &str) {
    daemon.wait_for(words, |d| {
        d.get("/readyz")
            .is_some_and(|a| a.code == 503 && a.body.contains(words))
    });
}

#[test]
fn from_nothing_to_ready_and_through_rotations() {
    let place = Place::new();
    let server = Server::start();
    config(&place, server.address());
    let mut daemon = place.start();
    wait_for_reason(&mut daemon, "does not serve this VM");
    server.feature_off();
    wait_for_reason(&mut daemon, "workload certificates are not enabled");
    for generation in 1..4 {
        let leaf = deliver(&place, &server);
        daemon.wait_generation(generation);
        assert!(published_is(&place, &leaf));
        // The same bytes again and again are no new generation: two more rounds, then the next rotation counts one up.
        let asked = server.asked().len();
        daemon.wait_for("two more rounds", |_| server.asked().len() > asked + 6);
    }
    let status = daemon.status().unwrap();
    assert_eq!(status["source"]["kind"], "metadata");
    assert_eq!(status["source"]["from"], server.address().to_string());
    assert_eq!(
        status["identity"]["spiffe_id"],
        format!("spiffe://{DOMAIN}{PATH}")
    );
    let first: Vec<String> = server.asked().into_iter().rev().take(300).collect();
    for name in ["config-status", "workload-identities", "trust-anchors"] {
        assert!(first.iter().any(|path| path.ends_with(name)), "{name}");
    }
    daemon.stop();
}

#[test]
fn a_server_that_is_busy_or_takes_the_identity_away_takes_nothing_from_a_good_one() {
    let place = Place::new();
    let server = Server::start();
    config(&place, server.address());
    server.refuse(&Answer::status(503, "maintenance"));
    let mut daemon = place.start();
    wait_for_reason(&mut daemon, "busy or in maintenance");
    let good = deliver(&place, &server);
    daemon.wait_ready();
    for (answer, words) in [
        (Answer::status(503, ""), "busy or in maintenance"),
        (
            Answer::status(404, "workload certificate feature not enabled"),
            "not enabled",
        ),
        (Answer::json("{}").flavor(None), "is no metadata server"),
        (Answer::json(&"x".repeat(5 << 20)), "larger than"),
    ] {
        server.refuse(&answer);
        daemon.wait_for(words, |d| {
            d.status().is_some_and(|s| {
                s["source"]["trouble"]["text"]
                    .as_str()
                    .is_some_and(|t| t.contains(words))
            })
        });
        assert!(daemon.is_ready() && published_is(&place, &good));
    }
    let mut withheld = Identity::of(&place.world, &place.world.leaf(PATH), PATH);
    withheld.credentials[0].key_pem.clear();
    server.deliver(&withheld);
    daemon.wait_for("the withheld key", |d| {
        d.status().is_some_and(|s| {
            s["source"]["trouble"]["text"]
                .as_str()
                .is_some_and(|t| t.contains("withheld") && t.contains(PATH))
        })
    });
    assert!(daemon.is_ready() && published_is(&place, &good));
    deliver(&place, &server);
    daemon.wait_generation(2);
    let log = daemon.stop();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn over_grpc_from_nothing_to_ready_and_through_a_rotation_and_a_refusal() {
    let place = Place::new();
    let service = Service::start(Said::Refusal(9, "no%20identity"));
    place.config_text(&format!(
        "identity:\n  source: {{ metadata_grpc: {{ address: \"{}\", poll: 100ms }} }}\nruntime_dir: {}\n",
        service.address(),
        place.path("run").display()
    ));
    let checked = || String::from_utf8(place.mwid(&["check", "--json"]).stdout).unwrap();
    assert!(checked().contains("source_feature_off"));
    let mut daemon = place.start();
    wait_for_reason(&mut daemon, "FAILED_PRECONDITION");
    let leaf = place.world.leaf(PATH);
    service.say(Said::identity(&place.world, &leaf));
    daemon.wait_generation(1);
    assert!(published_is(&place, &leaf));
    service.say(Said::Refusal(14, "maintenance"));
    daemon.wait_for("the refusal", |d| {
        d.status().is_some_and(|s| {
            s["source"]["trouble"]["text"]
                .as_str()
                .is_some_and(|t| t.contains("UNAVAILABLE"))
        })
    });
    assert!(daemon.is_ready() && published_is(&place, &leaf));
    let leaf = place.world.leaf(PATH);
    service.say(Said::identity(&place.world, &leaf));
    daemon.wait_generation(2);
    assert!(published_is(&place, &leaf));
    assert_eq!(daemon.status().unwrap()["source"]["kind"], "metadata_grpc");
    assert!(!checked().contains("source_"), "{}", checked());
    daemon.stop();
}

#[test]
fn check_says_what_the_server_lacks() {
    let place = Place::new();
    let server = Server::start();
    config(&place, server.address());
    server.feature_off();
    let out = place.mwid(&["check", "--json"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(
        !out.status.success() && text.contains("source_feature_off"),
        "{text}"
    );
    deliver(&place, &server);
    let out = place.mwid(&["check"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

/// An address of this machine that no other process's test takes: the gRPC service has its fixed port there.
fn own_address() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    IpAddr::from([127, 128 | high, middle, low])
}

/// mwid on a machine whose /run is `run` of the place: a mount of its own, which wants root or user namespaces.
fn mwid_with_own_run(place: &Place, server: SocketAddr) -> Option<Command> {
    let can = Command::new("unshare")
        .args(["-rm", "mount", "--bind", "/tmp", "/run"])
        .output()
        .is_ok_and(|out| out.status.success());
    if !can || place.dir.path().canonicalize().unwrap().starts_with("/run") {
        println!("skipped: no mount namespaces for this user here");
        return None;
    }
    let mwid = mwid();
    let mut command = Command::new("unshare");
    command
        .args([
            "-rm",
            "sh",
            "-c",
            "mount --bind \"$1\" /run && shift && exec \"$@\"",
            "sh",
        ])
        .arg(place.path("machine"))
        .arg(mwid.get_program())
        .args(["run", "--config"])
        .arg(place.path("mwid.yaml"))
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM")
        .env("GCE_METADATA_HOST", server.to_string());
    Some(command)
}

/// What is published is so a moment before the status tells whose it is.
fn kind_is(daemon: &Daemon, kind: &str) -> bool {
    daemon
        .status()
        .is_some_and(|status| status["source"]["kind"] == kind)
}

#[test]
fn auto_takes_whichever_there_is_and_the_better_one_when_it_appears() {
    let mut place = Place::new();
    let server = Server::start_at((own_address(), 0).into());
    // Busy, which passes: what lasts is asked about once a minute, and nobody waits here for that.
    server.refuse(&Answer::status(503, "maintenance"));
    let grpc = SocketAddr::new(own_address(), 8083);
    let secrets = place.path("machine/secrets");
    fs::create_dir_all(place.path("machine")).unwrap();
    place.config_text(&format!("runtime_dir: {}\n", place.path("run").display()));
    let Some(mut command) = mwid_with_own_run(&place, server.address()) else {
        return;
    };
    let mut daemon = place.start_as(&mut command);
    wait_for_reason(&mut daemon, "tried");
    let why = daemon.get("/readyz").unwrap().body;
    assert!(
        why.contains("guest_agent /run/secrets/workload-spiffe-credentials")
            && why.contains(&format!("metadata_grpc {grpc}: "))
            && why.contains(&format!("metadata {}: ", server.address())),
        "{why}"
    );
    let leaf = deliver(&place, &server);
    daemon.wait_for("the server's identity", |_| published_is(&place, &leaf));
    daemon.wait_for("its name in the status", |daemon| kind_is(daemon, "metadata"));

    let leaf = place.world.leaf(PATH);
    let service = Service::start_at(grpc, Said::identity(&place.world, &leaf));
    daemon.wait_for("the service's identity", |_| published_is(&place, &leaf));
    daemon.wait_for("its name in the status", |daemon| {
        kind_is(daemon, "metadata_grpc")
    });

    fs::create_dir(&secrets).unwrap();
    place.secrets = testkit::guest_agent::Secrets::new(&secrets);
    let leaf = place.world.leaf(PATH);
    place.deliver(Agent::Current, &leaf);
    daemon.wait_for("the directory's identity", |_| published_is(&place, &leaf));
    daemon.wait_for("its name in the status", |daemon| kind_is(daemon, "guest_agent"));
    // Whoever is not needed is not asked any more.
    drop(service);
    let asked = server.asked().len();
    place.deliver_good();
    daemon.wait_generation(4);
    assert_eq!(server.asked().len(), asked);
    let log = daemon.stop();
    let told = log.matches("no source has an identity now").count();
    assert!((1..=3).contains(&told), "{told} times:\n{log}");
}
