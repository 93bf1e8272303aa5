//! What a SPIFFE program gets that reads a part of its identity and then no more: nothing that is over by the time it reads on.

use crate::daemon::{DOMAIN, Daemon, PATH, Place};
use crate::spiffe::{Next, Program, X509_BUNDLES, X509_SVID};
use std::time::{Duration, Instant};
use testkit::guest_agent::Agent;
use testkit::pki::{LeafSpec, Validity};

fn started(place: &Place) -> Daemon {
    place.config("");
    let mut daemon = place.start();
    daemon.wait_ready();
    daemon
}

/// Room for a part of the message.
fn narrow(place: &Place) -> Program {
    Program::with_window(&place.path("run/workload.sock"), 100)
}

fn streams(daemon: &Daemon) -> u64 {
    daemon.status().unwrap()["workload"]["streams"].as_u64().unwrap()
}

#[test]
fn the_rest_of_an_identity_that_has_expired_does_not_follow() {
    let mut place = Place::new();
    let mut spec = LeafSpec::new(&format!("spiffe://{DOMAIN}{PATH}"));
    spec.validity = Validity { from: -60, to: 5 };
    let leaf = place.world.leaf_of(&spec);
    place.deliver(Agent::Legacy, &leaf);
    let mut daemon = started(&place);
    let program = narrow(&place);
    let mut call = program.call(X509_SVID);
    daemon.wait_for("the stream", |daemon| streams(daemon) == 1);
    daemon.wait_for("the end of it", |daemon| streams(daemon) == 0);
    assert_eq!(call.next(), Next::Gone);
    daemon.stop();
}

#[test]
fn the_rest_of_an_identity_follows_for_ten_seconds_after_there_is_a_newer_one() {
    let mut place = Place::new();
    place.deliver_good();
    let mut daemon = started(&place);
    let (one, other, idle) = (narrow(&place), narrow(&place), narrow(&place));
    let mut half = one.call(X509_SVID);
    let mut reads_on = other.call(X509_SVID);
    let mut bundles = idle.call(X509_BUNDLES);
    daemon.wait_for("all streams", |daemon| streams(daemon) == 3);
    place.deliver_good();
    daemon.wait_generation(2);
    let began = Instant::now();
    let (old, new) = (reads_on.svid(), reads_on.svid());
    assert_ne!(old, new, "the rest, then the newest");
    daemon.wait_for("the end of what was half taken", |daemon| streams(daemon) == 2);
    let after = began.elapsed();
    assert!(after > Duration::from_secs(8), "{after:?}");
    assert_eq!(half.next(), Next::Gone);
    // Trust bundles stay good.
    assert!(!bundles.bundles().bundles.is_empty());
    daemon.stop();
}
