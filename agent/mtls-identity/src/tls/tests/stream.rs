//! Handshake and authorisation in one step over tokio streams.

use super::{HERE, Side};
use crate::peer::{NotAllowed, PeerPolicy};
use crate::spiffe_id::{SpiffeId, TrustDomain};
use crate::tls::{Acceptor, ConnectionError, Connector};
use rustls::AlertDescription;
use std::io;
use std::time::Duration;
use testkit::pki::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

fn everybody_here() -> PeerPolicy {
    PeerPolicy::nobody().allow(TrustDomain::parse(HERE).unwrap())
}

fn only(id: &str) -> PeerPolicy {
    PeerPolicy::nobody().allow(SpiffeId::parse(id).unwrap())
}

fn acceptor(side: &Side, policy: PeerPolicy) -> Acceptor {
    Acceptor::new(side.reader.clone(), &side.options, policy).unwrap()
}

fn connector(side: &Side, policy: PeerPolicy) -> Connector {
    Connector::new(side.reader.clone(), &side.options, policy).unwrap()
}

/// Nothing here takes so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(30);

fn pipe() -> (DuplexStream, DuplexStream) {
    duplex(64 * 1024)
}

/// What rustls says through tokio's error.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn both_sides_get_a_stream_together_with_its_peer() {
    let world = World::new(HERE);
    let [client, server] = ["/client", "/server"].map(|name| Side::new(&world, name, &[&world]));
    let (near, far) = pipe();
    let (acceptor, connector) = (
        acceptor(&server, only("spiffe://here.test/client")),
        connector(&client, only("spiffe://here.test/server")),
    );
    let (accepted, connected) = tokio::join!(acceptor.accept(far), connector.connect(near));
    let ((mut at_server, client_peer), (mut at_client, server_peer)) =
        (accepted.unwrap(), connected.unwrap());
    assert_eq!(client_peer.id().as_str(), "spiffe://here.test/client");
    assert_eq!(server_peer.id().as_str(), "spiffe://here.test/server");
    at_client.write_all(b"hello").await.unwrap();
    at_client.shutdown().await.unwrap();
    let mut got = String::new();
    at_server.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "hello");
}

#[tokio::test]
async fn a_verified_peer_that_the_policy_does_not_allow_is_refused_after_the_handshake() {
    let world = World::new(HERE);
    let [client, server] = ["/client", "/server"].map(|name| Side::new(&world, name, &[&world]));
    let (near, far) = pipe();
    let acceptor = acceptor(
        &server,
        everybody_here().deny(SpiffeId::parse("spiffe://here.test/client").unwrap()),
    );
    let connector = connector(&client, everybody_here());
    let (accepted, connected) = tokio::join!(acceptor.accept(far), async {
        let (mut stream, _) = connector.connect(near).await?;
        let mut rest = vec![];
        let read = timeout(STUCK, stream.read_to_end(&mut rest))
            .await
            .expect("the refused client is not closed");
        assert!(matches!(read, Ok(0)), "the refused client got {rest:?}, {read:?}");
        Ok::<(), ConnectionError>(())
    });
    connected.unwrap();
    let error = accepted.unwrap_err();
    assert_eq!((error.step(), error.reason()), ("policy", "denied"));
    let ConnectionError::NotAllowed {
        peer,
        source: NotAllowed::Denied { .. },
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(peer.id().as_str(), "spiffe://here.test/client");
}

#[tokio::test]
async fn a_client_talks_to_no_server_but_the_expected_one() {
    let world = World::new(HERE);
    let [client, server] = ["/client", "/server"].map(|name| Side::new(&world, name, &[&world]));
    let (near, far) = pipe();
    let (acceptor, connector) = (
        acceptor(&server, everybody_here()),
        connector(&client, only("spiffe://here.test/bank")),
    );
    let (_accepted, connected) = tokio::join!(acceptor.accept(far), connector.connect(near));
    let error = connected.unwrap_err();
    assert_eq!((error.step(), error.reason()), ("policy", "no_rule"));
}

#[tokio::test]
async fn a_caller_may_decide_instead_of_the_policy() {
    let world = World::new(HERE);
    let side = Side::new(&world, "/x", &[&world]);
    let (near, far) = pipe();
    let (acceptor, connector) = (
        acceptor(&side, PeerPolicy::nobody()),
        connector(&side, PeerPolicy::nobody()),
    );
    let (accepted, connected) = tokio::join!(
        acceptor.accept_by(far, |_| Ok(())),
        connector.connect_by(near, |_| Ok(()))
    );
    assert!(accepted.is_ok() && connected.is_ok());
}

#[tokio::test]
async fn the_error_names_our_own_missing_identity() {
    let world = World::new(HERE);
    let (good, empty) = (Side::new(&world, "/good", &[&world]), Side::empty());
    for good_is_client in [true, false] {
        let (client, server) = if good_is_client {
            (&good, &empty)
        } else {
            (&empty, &good)
        };
        let (near, far) = pipe();
        let (acceptor, connector) = (
            acceptor(server, everybody_here()),
            connector(client, everybody_here()),
        );
        let (accepted, connected) = tokio::join!(acceptor.accept(far), connector.connect(near));
        let (ours, theirs) = if good_is_client {
            (accepted.unwrap_err(), connected.unwrap_err())
        } else {
            (connected.unwrap_err(), accepted.unwrap_err())
        };
        assert_eq!(
            (ours.step(), ours.reason()),
            ("identity", "no_identity"),
            "{ours:?}"
        );
        assert_eq!(
            (theirs.step(), theirs.reason()),
            ("handshake", "refused_by_peer"),
            "{theirs:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_other_side_is_given_up_after_the_limit() {
    let world = World::new(HERE);
    let side = Side::new(&world, "/x", &[&world]);
    let limit = Duration::from_secs(3);
    let started = tokio::time::Instant::now();
    let (_silent, far) = pipe();
    let error = acceptor(&side, everybody_here())
        .with_timeout(limit)
        .accept(far)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectionError::Timeout { after } if after == limit),
        "{error:?}"
    );
    let (_silent, near) = pipe();
    let error = connector(&side, everybody_here())
        .with_timeout(limit)
        .connect(near)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "timeout");
    assert_eq!(started.elapsed(), 2 * limit);
}

#[tokio::test]
async fn a_limit_beyond_all_clocks_is_no_limit() {
    let world = World::new(HERE);
    let side = Side::new(&world, "/x", &[&world]);
    let (near, far) = pipe();
    let acceptor = acceptor(&side, everybody_here()).with_timeout(Duration::MAX);
    let connector = connector(&side, everybody_here()).with_timeout(Duration::MAX);
    let (accepted, connected) = tokio::join!(acceptor.accept(far), connector.connect(near));
    assert!(accepted.is_ok() && connected.is_ok());
}

#[tokio::test]
async fn what_is_no_tls_is_named() {
    let world = World::new(HERE);
    let side = Side::new(&world, "/x", &[&world]);
    let (mut near, far) = pipe();
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let acceptor = acceptor(&side, everybody_here());
    let (accepted, ()) = tokio::join!(acceptor.accept(far), async {
        let mut rest = vec![];
        near.read_to_end(&mut rest).await.unwrap();
    });
    assert_eq!(accepted.unwrap_err().reason(), "tls");
    let (near, far) = pipe();
    drop(near);
    assert_eq!(acceptor.accept(far).await.unwrap_err().reason(), "io");
}

/// On a real socket: the client has sent its request before it can know that it is refused, and still reads why.
#[tokio::test]
async fn a_refused_client_that_already_sent_its_request_reads_the_alert() {
    let (here, stranger) = (World::new(HERE), World::new("stranger.test"));
    let server = Side::new(&here, "/server", &[&here]);
    let client = Side::new(&stranger, "/client", &[&stranger, &here]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = acceptor(&server, everybody_here());
    let serve = tokio::spawn(async move {
        for _ in 0..20 {
            let (tcp, _) = listener.accept().await.unwrap();
            assert_eq!(
                acceptor.accept(tcp).await.unwrap_err().reason(),
                "unknown_trust_domain"
            );
        }
    });
    let connector = connector(&client, everybody_here());
    for round in 0..20 {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (mut stream, _) = connector.connect(tcp).await.unwrap();
        // The write may already fail by the alert; the read says it in any case.
        drop(stream.write_all(&[b'x'; 8192]).await);
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(
            alert(&error),
            Some(AlertDescription::CertificateUnknown),
            "round {round}: {error:?}"
        );
    }
    serve.await.unwrap();
}
