//! What an Envoy gets that does not read: nothing that is over by the time it reads on.

use crate::daemon::{DOMAIN, Daemon, PATH, Place};
use crate::secret_discovery::{asks, is_of, secret, secrets, socket, subscribes};
use crate::xds::discovery::{DeltaDiscoveryResponse, DiscoveryResponse};
use crate::xds::{Call, DELTA, Envoy, Next, STREAM, Stalled, tls};
use prost::Message;
use std::time::Duration;
use testkit::guest_agent::Agent;
use testkit::pki::{Leaf, LeafSpec, Validity};

/// Long enough for an answer that should not come.
const A_WHILE: Duration = Duration::from_millis(500);

fn streams(daemon: &Daemon) -> u64 {
    let sds = &daemon.status().unwrap()["workload"]["sds"];
    sds["streams"].as_u64().unwrap()
}

fn started(place: &Place) -> Daemon {
    place.config("");
    let mut daemon = place.start();
    daemon.wait_ready();
    daemon
}

/// So many seconds and no longer.
fn deliver_for(place: &mut Place, seconds: i64) {
    let mut spec = LeafSpec::new(&format!("spiffe://{DOMAIN}{PATH}"));
    spec.validity = Validity {
        from: -60,
        to: seconds,
    };
    let leaf = place.world.leaf_of(&spec);
    place.deliver(Agent::Legacy, &leaf);
}

/// After this no identity may be served.
fn forbid(place: &Place) {
    let text = std::fs::read_to_string(place.config("")).unwrap();
    let expecting = text.replacen(
        "identity:\n",
        "identity:\n  expect: spiffe://other.example/**\n",
        1,
    );
    assert_ne!(text, expecting);
    place.config_text(&expecting);
    assert!(place.mwid(&["reload"]).status.success());
}

/// A client of either kind that has not opened its window.
fn two(place: &Place) -> [Stalled; 2] {
    let path = socket(place);
    [
        Stalled::call(&path, STREAM, &asks(&["default"])),
        Stalled::call(&path, DELTA, &subscribes(&["default"])),
    ]
}

/// Clients with room for a part of their answer.
fn narrow(place: &Place) -> [Envoy; 2] {
    [(); 2].map(|()| Envoy::with_window(&socket(place), 100))
}

/// A call of either kind that has taken as much as there is room for.
fn half_taken([one, other]: &[Envoy; 2]) -> [Call<'_>; 2] {
    [
        one.call(STREAM, &asks(&["default"])),
        other.call(DELTA, &subscribes(&["default"])),
    ]
}

/// The rest of what was half taken, and all of what was not.
fn get_nothing(taken: [Call<'_>; 2], stalled: [Stalled; 2]) {
    for mut call in taken {
        assert_eq!(call.next::<DiscoveryResponse>(), Next::BrokenOff);
    }
    for mut stalled in stalled {
        stalled.open();
        let got = stalled.next_within(A_WHILE);
        assert_eq!(got, None, "{}", stalled.method);
        assert_eq!(stalled.taken(), 0, "{}", stalled.method);
    }
}

/// The certificate, the nonce, and the version of the whole, of an answer of either kind.
fn answer(method: &str, bytes: &[u8]) -> (tls::Secret, String) {
    if method == STREAM {
        let answer = DiscoveryResponse::decode(bytes).unwrap();
        (secrets(&answer).remove(0), answer.nonce)
    } else {
        let answer = DeltaDiscoveryResponse::decode(bytes).unwrap();
        let [resource] = &answer.resources[..] else {
            panic!("{} resources", answer.resources.len());
        };
        (secret(resource.resource.as_ref().unwrap()), answer.nonce)
    }
}

/// Reads on, and gets this leaf, in the first answer that there was for it; and nothing more.
fn gets_only(stalled: &mut Stalled, leaf: &Leaf) {
    stalled.open();
    let bytes = stalled.next_within(Duration::from_secs(20)).unwrap();
    let (secret, nonce) = answer(stalled.method, &bytes);
    assert!(is_of(&secret, leaf), "{}: not the newest", stalled.method);
    assert_eq!(nonce, "1", "{}", stalled.method);
    assert_eq!(stalled.next_within(A_WHILE), None, "{}", stalled.method);
}

#[test]
fn an_envoy_that_did_not_read_gets_the_newest_alone_and_the_rotation_after_it() {
    let mut place = Place::new();
    place.deliver_good();
    let mut daemon = started(&place);
    let mut stalled = two(&place);
    daemon.wait_for("both streams", |daemon| streams(daemon) == 2);
    place.deliver_good();
    daemon.wait_generation(2);
    let newest = place.deliver_good();
    daemon.wait_generation(3);
    for one in &mut stalled {
        gets_only(one, &newest);
    }
    let next = place.deliver_good();
    for one in &mut stalled {
        let bytes = one.next_within(Duration::from_secs(20)).unwrap();
        let (secret, nonce) = answer(one.method, &bytes);
        assert!(is_of(&secret, &next) && nonce == "2", "{} {nonce}", one.method);
    }
    daemon.stop();
}

#[test]
fn an_envoy_that_did_not_read_gets_nothing_that_has_expired() {
    let mut place = Place::new();
    deliver_for(&mut place, 5);
    let mut daemon = started(&place);
    let stalled = two(&place);
    let envoys = narrow(&place);
    let taken = half_taken(&envoys);
    daemon.wait_for("all streams", |daemon| streams(daemon) == 4);
    daemon.wait_for("the end of them", |daemon| streams(daemon) <= 2);
    get_nothing(taken, stalled);
    daemon.stop();
}

#[test]
fn an_envoy_that_did_not_read_gets_nothing_that_may_not_be_served_any_more() {
    let mut place = Place::new();
    place.deliver_good();
    let mut daemon = started(&place);
    let stalled = two(&place);
    let envoys = narrow(&place);
    let taken = half_taken(&envoys);
    daemon.wait_for("all streams", |daemon| streams(daemon) == 4);
    forbid(&place);
    daemon.wait_for("the end of them", |daemon| streams(daemon) == 2);
    get_nothing(taken, stalled);
    daemon.stop();
}
