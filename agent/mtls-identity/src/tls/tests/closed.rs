//! Without a valid identity of our own every new handshake fails, on both sides.

use super::strangers::{self, BOTH, alert, reason};
use super::{HERE, Side, handshake};
use crate::tls::PeerRefusal;
use testkit::pki::{LeafSpec, Validity, World};

/// A side whose identity ended an hour ago by its clock.
fn expired(world: &World) -> Side {
    let mut side = Side::empty();
    let mut spec = LeafSpec::new("spiffe://here.test/expired");
    spec.validity = Validity { from: -60, to: 3600 };
    side.adopt(&world.leaf_of(&spec), &[world]);
    side.clock.forward(2 * 3600);
    side
}

#[test]
fn a_server_without_an_identity_lets_nobody_in() {
    let world = World::new(HERE);
    for (side, name) in [
        (Side::empty(), "no_identity"),
        (expired(&world), "identity_expired"),
    ] {
        let side = side.with_tls12(true);
        let outcome = handshake(&strangers::client(Some(&world.leaf("/c")), BOTH), &side.server());
        assert!(outcome.server_error.is_some(), "{name}");
        assert_eq!(alert(outcome.client_error.as_ref()), "AccessDenied", "{name}");
        assert!(
            outcome.client.peer_certificates().is_none(),
            "{name}: a certificate was shown"
        );
    }
}

#[test]
fn a_client_without_an_identity_trusts_no_server_and_shows_nothing() {
    let world = World::new(HERE);
    for (side, name) in [
        (Side::empty(), "no_identity"),
        (expired(&world), "identity_expired"),
    ] {
        let side = side.with_tls12(true);
        for versions in [BOTH, &[&rustls::version::TLS12]] {
            let mut leaf = LeafSpec::new("spiffe://here.test/server");
            leaf.validity = Validity {
                from: -3600,
                to: 24 * 3600,
            };
            let outcome = handshake(
                &side.client(),
                &strangers::server(&world.leaf_of(&leaf), versions),
            );
            assert_eq!(reason(outcome.client_error.as_ref()), name);
            assert_eq!(alert(outcome.server_error.as_ref()), "HandshakeFailure", "{name}");
            assert!(
                outcome.server.peer_certificates().is_none(),
                "{name}: a certificate was shown"
            );
        }
    }
}

#[test]
fn the_refusal_says_which_identity_ended_and_when() {
    let world = World::new(HERE);
    let side = expired(&world);
    let outcome = handshake(&side.client(), &strangers::server(&world.leaf("/server"), BOTH));
    let refusal = PeerRefusal::of(outcome.client_error.as_ref().unwrap()).unwrap();
    let PeerRefusal::OurIdentity { source } = refusal else {
        panic!("{refusal}")
    };
    let text = source.to_string();
    let end = side.reader.current().unwrap().not_after().as_secs();
    assert!(
        text.contains("spiffe://here.test/expired") && text.contains(&end.to_string()),
        "{text}"
    );
}

#[test]
fn an_identity_counts_to_its_last_second_and_its_successor_opens_again() {
    let world = World::new(HERE);
    let mut side = expired(&world);
    let end = side.reader.current().unwrap().not_after().as_secs();
    let peer = strangers::client(Some(&world.leaf("/c")), BOTH);
    side.clock
        .forward(i64::try_from(end).unwrap() - i64::try_from(side.clock.now().as_secs()).unwrap() - 30);
    handshake(&peer, &side.server()).works();
    side.clock.forward(60);
    let server = side.server();
    assert!(handshake(&peer, &server).server_error.is_some());
    side.adopt(&world.leaf("/next"), &[&world]);
    handshake(&peer, &server).works();
}
