//! The good handshake: what it negotiates and what it tells about the peer.

use super::{HERE, Side, handshake, provider, strangers};
use crate::peer::{Peer, PeerRole};
use crate::tls::{PeerError, TlsConfigError, TlsOptions, server_config};
use pki_types::ServerName;
use rustls::{NamedGroup, ProtocolVersion};
use std::sync::Arc;
use testkit::pki::World;

#[test]
fn each_side_learns_who_the_other_is() {
    let world = World::new(HERE);
    let (client, server) = (
        Side::new(&world, "/client", &[&world]),
        Side::new(&world, "/server", &[&world]),
    );
    let mut outcome = handshake(&client.client(), &server.server());
    outcome.works();
    let peer = Peer::client_of(&outcome.server).unwrap();
    let own = client.reader.current().unwrap();
    assert_eq!(peer.id().as_str(), "spiffe://here.test/client");
    assert_eq!((peer.chain(), peer.serial()), (own.chain(), own.serial()));
    assert_eq!(
        (peer.not_after(), peer.role()),
        (own.not_after(), PeerRole::Client)
    );
    let peer = Peer::server_of(&outcome.client).unwrap();
    assert_eq!(peer.id().as_str(), "spiffe://here.test/server");
    assert_eq!((peer.chain().len(), peer.role()), (2, PeerRole::Server));
}

#[test]
fn a_peer_is_not_to_be_had_before_the_handshake_is_done() {
    let world = World::new(HERE);
    let side = Side::new(&world, "/x", &[&world]);
    let name = ServerName::try_from("x.test").unwrap();
    let connection = rustls::ClientConnection::new(side.client(), name).unwrap();
    assert!(matches!(
        Peer::server_of(&connection),
        Err(PeerError::HandshakeNotDone)
    ));
}

#[test]
fn the_hybrid_key_exchange_is_used_even_if_the_provider_has_it_last() {
    let world = World::new(HERE);
    let [mut client, mut server] = ["/c", "/s"].map(|name| Side::new(&world, name, &[&world]));
    for side in [&mut client, &mut server] {
        let mut reversed = rustls::crypto::CryptoProvider::clone(&provider());
        reversed.kx_groups.reverse();
        assert_ne!(reversed.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        side.options = TlsOptions::new(Arc::new(reversed), side.clock.clone());
    }
    let outcome = handshake(&client.client(), &server.server());
    let group = outcome.server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(outcome.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn tls12_is_refused_by_default_and_works_when_enabled() {
    let world = World::new(HERE);
    let only12 = strangers::client(Some(&world.leaf("/old")), &[&rustls::version::TLS12]);
    let side = Side::new(&world, "/server", &[&world]);
    let refused = handshake(&only12, &side.server());
    assert!(
        matches!(refused.server_error, Some(rustls::Error::PeerIncompatible(_))),
        "{:?}",
        refused.server_error
    );
    let old_server = strangers::server(&world.leaf("/old"), &[&rustls::version::TLS12]);
    assert!(handshake(&side.client(), &old_server).client_error.is_some());

    let side = side.with_tls12(true);
    let mut outcome = handshake(&only12, &side.server());
    outcome.works();
    assert_eq!(outcome.server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(
        Peer::client_of(&outcome.server).unwrap().id().as_str(),
        "spiffe://here.test/old"
    );
    let mut outcome = handshake(&side.client(), &old_server);
    outcome.works();
    assert_eq!(
        Peer::server_of(&outcome.client).unwrap().id().as_str(),
        "spiffe://here.test/old"
    );
}

#[test]
fn a_version_without_a_cipher_suite_is_an_error_and_not_silently_left_out() {
    let mut poor = rustls::crypto::CryptoProvider::clone(&provider());
    poor.cipher_suites
        .retain(|suite| suite.version().version == ProtocolVersion::TLSv1_3);
    let side = Side::empty();
    let options = TlsOptions::new(Arc::new(poor), side.clock.clone()).with_tls12(true);
    let error = server_config(side.reader, &options).unwrap_err();
    assert!(
        matches!(
            error,
            TlsConfigError::NoCipherSuite {
                version: ProtocolVersion::TLSv1_2
            }
        ),
        "{error}"
    );
}

#[test]
fn application_protocols_are_negotiated() {
    let world = World::new(HERE);
    let [mut client, mut server] = ["/c", "/s"].map(|name| Side::new(&world, name, &[&world]));
    client.options = client.options.with_alpn(["h2", "http/1.1"]);
    server.options = server.options.with_alpn(["http/1.1"]);
    let outcome = handshake(&client.client(), &server.server());
    assert_eq!(outcome.server.alpn_protocol(), Some(&b"http/1.1"[..]));
}
