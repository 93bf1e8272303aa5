//! What cannot be sealed is an error, and never a silent loss.
use super::super::scratch;
use super::super::tls::Tls;
use super::strangers::{self, TLS13};
use super::*;
use pki_types::ServerName;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;

pub(super) fn both() -> (Tls, Tls) {
    let here = World::new(HERE);
    let client = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
    let name = ServerName::try_from("any.test").unwrap();
    let client = UnbufferedClientConnection::new(client, name).unwrap();
    let server = strangers::server(&here.leaf("/b"), TLS13).config().clone();
    let server = UnbufferedServerConnection::new(server).unwrap();
    (Tls::Client(client), Tls::Server(server))
}

/// Bytes for the wire, of whatever is done.
fn sealed(work: impl FnOnce(&mut scratch::Sealed) -> bool) -> Option<Vec<u8>> {
    scratch::with(|scratch| work(&mut scratch.sealed).then(|| scratch.sealed.bytes().to_vec()))
}

fn take(tls: &mut Tls, mut bytes: Vec<u8>) -> Vec<u8> {
    let mut plain = vec![];
    let answer = sealed(|sealed| tls.take(&mut bytes, &mut plain, sealed).is_ok());
    assert!(plain.is_empty());
    answer.unwrap()
}

pub(super) fn shake(client: &mut Tls, server: &mut Tls) {
    let mut bytes = take(client, vec![]);
    while !bytes.is_empty() {
        let answer = take(server, bytes);
        bytes = take(client, answer);
    }
    assert!(!client.state().is_handshaking() && !server.state().is_handshaking());
}

/// One tells its end, the other hears of it.
fn end(tells: &mut Tls, hears: &mut Tls) {
    let mut told = sealed(|sealed| tells.close(&mut [], sealed).is_ok()).unwrap();
    let took = scratch::with(|s| hears.take(&mut told, &mut vec![], &mut s.sealed).unwrap().closed);
    assert!(took);
}

#[test]
fn plain_bytes_that_tls_cannot_send_are_an_error() {
    let (mut client, mut server) = both();
    assert_eq!(
        sealed(|sealed| server.seal(&mut [], b"early", sealed).is_ok()),
        None
    );
    shake(&mut client, &mut server);
    let mut record = sealed(|sealed| server.seal(&mut [], b"in time", sealed).is_ok()).unwrap();
    let mut plain = vec![];
    sealed(|sealed| client.take(&mut record, &mut plain, sealed).is_ok()).unwrap();
    assert_eq!(plain, b"in time");
    // The first has told its end, the other may still send.
    end(&mut client, &mut server);
    end(&mut server, &mut client);
    for tls in [&mut client, &mut server] {
        assert_eq!(sealed(|sealed| tls.seal(&mut [], b"late", sealed).is_ok()), None);
        let end = sealed(|sealed| tls.close(&mut [], sealed).is_ok());
        assert_eq!(end.as_deref(), Some(&[][..]), "it was told before");
    }
}
