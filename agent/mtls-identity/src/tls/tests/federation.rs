//! Two trust domains that trust each other, or only one the other.

use super::{Side, handshake};
use crate::peer::Peer;
use testkit::pki::World;

#[test]
fn two_federated_domains_reach_each_other_in_both_directions() {
    let (east, west) = (World::new("east.test"), World::new("west.test"));
    let both = [&east, &west];
    let (in_east, in_west) = (Side::new(&east, "/e", &both), Side::new(&west, "/w", &both));
    for (client, server) in [(&in_east, &in_west), (&in_west, &in_east)] {
        let mut outcome = handshake(&client.client(), &server.server());
        outcome.works();
        let seen = Peer::client_of(&outcome.server).unwrap();
        assert_eq!(seen.id(), client.reader.current().unwrap().id());
        let seen = Peer::server_of(&outcome.client).unwrap();
        assert_eq!(seen.id(), server.reader.current().unwrap().id());
    }
}

#[test]
fn trust_in_one_direction_is_not_enough_for_either() {
    let (east, west) = (World::new("east.test"), World::new("west.test"));
    let open = Side::new(&east, "/e", &[&east, &west]);
    let closed = Side::new(&west, "/w", &[&west]);
    let outcome = handshake(&open.client(), &closed.server());
    assert_eq!(
        outcome.server_refused(),
        ("unknown_trust_domain", "CertificateUnknown".to_owned())
    );
    let outcome = handshake(&closed.client(), &open.server());
    assert_eq!(
        outcome.client_refused(),
        ("unknown_trust_domain", "CertificateUnknown".to_owned())
    );
}
