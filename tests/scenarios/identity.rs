//! What happens to the identity: delivered, rotated, broken, gone, expired.

use crate::daemon::{DOMAIN, PATH, Place};
use std::fs;
use std::time::{Duration, Instant};
use testkit::guest_agent::Agent;
use testkit::pki::{Leaf, LeafSpec, Validity, World};

fn published_is(place: &Place, leaf: &Leaf) -> bool {
    fs::read_to_string(place.published("certificates.pem"))
        .is_ok_and(|pem| pem.starts_with(leaf.leaf_pem.trim_end()))
}

#[test]
fn a_delivered_identity_is_proven_and_published_and_makes_the_daemon_ready() {
    let mut place = Place::new();
    place.config("");
    let leaf = place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    assert!(published_is(&place, &leaf));
    let status = daemon.status().unwrap();
    assert_eq!(
        status["identity"]["spiffe_id"],
        format!("spiffe://{DOMAIN}{PATH}")
    );
    assert_eq!(status["identity"]["generation"], 1);
    let key = fs::read_to_string(place.published("private_key.pem")).unwrap();
    assert_eq!(key.trim(), leaf.key_pem.replace("\r\n", "\n").trim());
    daemon.stop();
}

#[test]
fn it_starts_before_the_directory_exists_and_says_why_it_is_not_ready() {
    let mut place = Place::new();
    place.config("");
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/readyz").is_some());
    let answer = daemon.get("/readyz").unwrap();
    assert_eq!(answer.code, 503);
    let link = place.secrets.link();
    daemon.wait_for("the reason", |d| {
        d.get("/readyz")
            .is_some_and(|a| a.body.contains(link.to_str().unwrap()))
    });
    place.deliver_good();
    daemon.wait_ready();
    daemon.stop();
}

#[test]
fn rotations_in_the_way_of_both_agents_are_published_and_unchanged_bytes_are_no_new_generation() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    for (n, agent) in [Agent::Legacy, Agent::Current, Agent::Current, Agent::Legacy]
        .into_iter()
        .enumerate()
    {
        let leaf = place.world.leaf(PATH);
        place.deliver(agent, &leaf);
        daemon.wait_generation(n as u64 + 2);
        assert!(published_is(&place, &leaf));
        place.deliver(agent, &leaf); // the same bytes under a new name, as every 10 minutes on a VM
    }
    // The next real change would be generation 6 only if the unchanged deliveries counted for nothing.
    place.deliver_good();
    daemon.wait_generation(6);
    daemon.stop();
}

#[test]
fn a_broken_candidate_is_refused_by_name_and_displaces_nothing() {
    let mut place = Place::new();
    place.config("");
    let good = place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let mut mixed = place.world.leaf(PATH);
    mixed.key_pem = place.world.leaf(PATH).key_pem;
    let foreign = World::new(DOMAIN).leaf(PATH);
    let mut empty = place.world.leaf(PATH);
    empty.chain_pem = String::new();
    for (leaf, reason) in [
        (mixed, "key"),
        (foreign, "not of the same ca"),
        (empty, "certificate"),
    ] {
        let before = daemon.status().unwrap()["source"]["refusals"].as_u64().unwrap();
        place.deliver(Agent::Legacy, &leaf);
        daemon.wait_for(&format!("a refusal that names the {reason}"), |d| {
            d.status().is_some_and(|s| {
                let told = format!(
                    "{}{}",
                    s["source"]["refused"]["text"], s["source"]["trouble"]["text"]
                );
                let counted =
                    s["source"]["refusals"].as_u64().unwrap() > before || !s["source"]["trouble"].is_null();
                counted && told.to_lowercase().contains(reason)
            })
        });
        assert!(published_is(&place, &good));
        assert_eq!(daemon.status().unwrap()["identity"]["generation"], 1);
        assert!(daemon.is_ready(), "the last good identity goes on");
    }
    place.deliver_good();
    daemon.wait_generation(2);
    assert!(
        daemon.status().unwrap()["source"]["refused"].is_null(),
        "a proven candidate ends the trouble"
    );
    daemon.stop();
}

#[test]
fn after_a_restart_with_a_broken_source_the_last_published_identity_goes_on() {
    let mut place = Place::new();
    place.config("");
    let good = place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    daemon.stop();
    fs::remove_file(place.secrets.link()).unwrap();
    let mut daemon = place.start();
    daemon.wait_ready();
    let status = daemon.status().unwrap();
    assert!(!status["source"]["restored_from"].is_null(), "{status:#}");
    assert!(published_is(&place, &good));
    let next = place.deliver_good();
    daemon.wait_for("the next identity", |_| published_is(&place, &next));
    assert!(daemon.status().unwrap()["source"]["restored_from"].is_null());
    daemon.stop();
}

#[test]
fn after_not_after_readiness_says_why_within_one_second() {
    let mut place = Place::new();
    place.config("");
    let mut spec = LeafSpec::new(&format!("spiffe://{DOMAIN}{PATH}"));
    spec.validity = Validity { from: -60, to: 3 };
    let made = Instant::now();
    let leaf = place.world.leaf_of(&spec);
    place.deliver(Agent::Legacy, &leaf);
    let mut daemon = place.start();
    daemon.wait_ready();
    // X.509 times are whole seconds and not_after is inclusive: it ends between 3 and 4 s after making it.
    daemon.wait_for("the end of readiness", |d| {
        d.get("/readyz").is_some_and(|a| a.code == 503)
    });
    let after = made.elapsed();
    println!("not_after within 3 s, /readyz false after {after:?}");
    assert!(
        after >= Duration::from_secs(2),
        "gave up {after:?} after making: before the end"
    );
    let why = daemon.get("/readyz").unwrap().body;
    assert!(why.contains("expired"), "{why}");
    assert_eq!(daemon.status().unwrap()["identity"]["expired"], true);
    place.deliver_good();
    daemon.wait_ready();
    daemon.stop();
}

#[test]
fn an_identity_unlike_expect_is_refused() {
    let mut place = Place::new();
    place.config_text(&format!(
        "identity:\n  source: {{ guest_agent: {{ directory: {} }} }}\n  expect: spiffe://{DOMAIN}/ns/bank/**\nruntime_dir: {}\n",
        place.secrets.link().display(),
        place.path("run").display()
    ));
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_for("the refusal", |d| {
        d.status()
            .is_some_and(|s| s["source"]["refusals"].as_u64() >= Some(1))
    });
    let text = daemon.get("/readyz").unwrap().body;
    assert!(text.contains("ns/bank") && text.contains(PATH), "{text}");
    assert!(!place.published("certificates.pem").exists());
    daemon.stop();
}

#[test]
fn a_published_directory_that_was_damaged_is_published_anew_at_a_reload() {
    use std::os::unix::fs::PermissionsExt;
    let mut place = Place::new();
    place.config("");
    let leaf = place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let key = place.published("private_key.pem");
    let whole = fs::read_to_string(&key).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let wanted = mode(&key);

    fs::remove_file(place.path("run/identity")).unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    daemon.wait_for("the link", |_| published_is(&place, &leaf));

    fs::write(&key, &whole[..20]).unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    daemon.wait_for("the whole key", |_| {
        fs::read_to_string(&key).is_ok_and(|now| now == whole)
    });

    fs::set_permissions(&key, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(place.mwid(&["reload"]).status.success());
    daemon.wait_for("the mode", |_| mode(&key) == wanted);
    assert_eq!(daemon.status().unwrap()["identity"]["generation"], 1);
    assert!(daemon.is_ready());
    let log = daemon.stop();
    assert!(log.contains("published anew"), "{log}");
}
