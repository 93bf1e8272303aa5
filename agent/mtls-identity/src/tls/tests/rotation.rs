//! A rotation is seen by the next handshake and by no open connection.

use super::{HERE, Side, handshake};
use crate::peer::Peer;
use testkit::pki::World;

#[test]
fn the_next_handshake_shows_the_new_identity_and_open_connections_live_on() {
    let world = World::new(HERE);
    let mut client = Side::new(&world, "/client", &[&world]);
    let mut server = Side::new(&world, "/server", &[&world]);
    let (client_config, server_config) = (client.client(), server.server());
    let mut open = vec![];
    let mut serials = vec![];
    for round in 0..5 {
        let mut outcome = handshake(&client_config, &server_config);
        outcome.works();
        let (seen_by_server, seen_by_client) = (
            Peer::client_of(&outcome.server).unwrap(),
            Peer::server_of(&outcome.client).unwrap(),
        );
        assert_eq!(
            seen_by_server.serial(),
            client.reader.current().unwrap().serial(),
            "round {round}"
        );
        assert_eq!(
            seen_by_client.serial(),
            server.reader.current().unwrap().serial(),
            "round {round}"
        );
        serials.push(seen_by_client.serial().to_owned());
        open.push(outcome);
        client.adopt(&world.leaf("/client"), &[&world]);
        server.adopt(&world.leaf("/server"), &[&world]);
        for connection in &mut open {
            connection.exchange();
        }
    }
    serials.dedup();
    assert_eq!(serials.len(), 5, "a certificate was shown twice: {serials:?}");
}

#[test]
fn the_next_handshake_judges_by_the_new_trust_bundles() {
    let (old, new) = (World::new(HERE), World::new(HERE));
    let mut server = Side::new(&old, "/server", &[&old]);
    let (old_client, new_client) = (
        Side::new(&old, "/client", &[&old]),
        Side::new(&new, "/client", &[&new]),
    );
    let config = server.server();
    let mut open = handshake(&old_client.client(), &config);
    open.works();
    assert!(handshake(&new_client.client(), &config).client_error.is_some());
    server.adopt(&new.leaf("/server"), &[&new]);
    handshake(&new_client.client(), &config).works();
    assert!(handshake(&old_client.client(), &config).client_error.is_some());
    open.exchange();
}
