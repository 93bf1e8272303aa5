//! Bytes through an outbound and an inbound route: they arrive as they were sent, and so do the ends of both sides.
use super::strangers::{self, TLS13};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A pair of routes, one after the other: plain bytes go in at `listen`, over mutual TLS, and come out at the application.
struct Pair {
    site: Site,
    app: App,
    listen: SocketAddr,
}

async fn pair(here: &World) -> Pair {
    let app = App::start().await;
    let mut site = Site::new(here, &[here]);
    let (middle, listen) = (free(), free());
    site.routes(&format!(
        "  inbound:\n  - {{ name: in, listen: \"{middle}\", forward: \"{}\", allow: [\"spiffe://here.test/vm\"] }}\n\
         \x20 outbound:\n  - {{ name: out, listen: \"{listen}\", connect: \"{middle}\", expect: \"spiffe://here.test/vm\" }}",
        app.address
    ));
    Pair { site, app, listen }
}

#[tokio::test]
async fn each_side_may_end_first_and_the_other_goes_on() {
    let pair = pair(&World::new(HERE)).await;
    for client_first in [true, false] {
        let client = TcpStream::connect(pair.listen).await.unwrap();
        let server = pair.app.accept().await;
        let (mut first, mut second) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        first.write_all(b"question").await.unwrap();
        first.shutdown().await.unwrap();
        let mut got = vec![];
        second.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"question");
        second.write_all(b"answer").await.unwrap();
        drop(second);
        got.clear();
        first.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"answer", "after the end of its own side");
    }
}

#[tokio::test]
async fn a_connection_that_was_cut_is_an_error_to_the_application_and_not_an_end() {
    // Also to one that has sent all it had: what it waits for may lack its end.
    for app_has_ended in [false, true] {
        cut(app_has_ended).await;
    }
}

async fn cut(app_has_ended: bool) {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test\"] }}",
        app.address
    ));
    let mut tls = strangers::connect(listen, strangers::client(Some(&here.leaf("/a")), TLS13))
        .await
        .unwrap();
    tls.write_all(b"half of").await.unwrap();
    let mut server = app.accept().await;
    let mut got = [0; 7];
    server.read_exact(&mut got).await.unwrap();
    if app_has_ended {
        server.shutdown().await.unwrap();
        assert_eq!(
            tls.read(&mut [0; 1]).await.unwrap(),
            0,
            "the peer has seen the end"
        );
    }
    // As a router would do it: the stream ends, and TLS has not said so.
    tls.get_mut().0.shutdown().await.unwrap();
    let end = server.read(&mut got).await;
    assert!(end.is_err(), "{end:?}");
    site.counted("proxy_connections_ended_total{route=\"in\",reason=\"cut\"}")
        .await;
}

#[tokio::test]
async fn a_reset_of_the_application_is_no_end_to_the_peer() {
    let here = World::new(HERE);
    let pair = pair(&here).await;
    let mut client = TcpStream::connect(pair.listen).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let server = pair.app.accept().await;
    server.set_zero_linger().unwrap();
    drop(server);
    let end = client.read(&mut [0; 8]).await;
    assert!(end.is_err(), "{end:?}");
}

/// More than all sockets and buffers on the way hold.
const MUCH: usize = 64 << 20;
/// A program's answer; more than any one of them holds.
const SOME: usize = 8 << 20;

/// A side sends and its other end reads nothing of it; the bytes of the other direction arrive all the same, as they would over plain TCP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direction_that_is_full_holds_up_no_byte_of_the_other() {
    let pair = pair(&World::new(HERE)).await;
    for client_first in [true, false] {
        let client = TcpStream::connect(pair.listen).await.unwrap();
        let server = pair.app.accept().await;
        let (full, other) = if client_first {
            (client, server)
        } else {
            (server, client)
        };
        let (mut full_reads, mut full_writes) = full.into_split();
        let (mut other_reads, mut other_writes) = other.into_split();
        let sends = tokio::spawn(async move { full_writes.write_all(&vec![1; MUCH]).await.unwrap() });
        let moved = |status: RouteStatus| status.received + status.sent;
        let mut before = None;
        while before != Some(moved(pair.site.status("in"))) {
            before = Some(moved(pair.site.status("in")));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(!sends.is_finished(), "there is room for all of it");
        let answers = tokio::spawn(async move { other_writes.write_all(&vec![2; SOME]).await.unwrap() });
        let mut got = vec![0; SOME];
        let read = tokio::time::timeout(PATIENCE, full_reads.read_exact(&mut got));
        read.await.expect("it waits for the other direction").unwrap();
        assert!(got.iter().all(|byte| *byte == 2));
        answers.await.unwrap();
        let mut got = vec![0; MUCH];
        let read = tokio::time::timeout(PATIENCE, other_reads.read_exact(&mut got));
        read.await.expect("it stands still").unwrap();
        assert!(got.iter().all(|byte| *byte == 1));
        sends.await.unwrap();
    }
}

#[tokio::test]
async fn unix_sockets_are_as_good_as_tcp() {
    let here = World::new(HERE);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut site = Site::new(&here, &[&here]);
    let app = tokio::net::UnixListener::bind(path("app")).unwrap();
    site.routes(&format!(
        "  inbound:\n  - {{ name: in, listen: \"unix:{0}\", forward: \"unix:{1}\", allow: [\"spiffe://here.test/vm\"] }}\n\
         \x20 outbound:\n  - {{ name: out, listen: \"unix:{2}\", connect: \"unix:{0}\", expect: \"spiffe://here.test/vm\", mode: \"0600\" }}",
        path("middle").display(),
        path("app").display(),
        path("out").display()
    ));
    let mut client = tokio::net::UnixStream::connect(path("out")).await.unwrap();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut server, _) = app.accept().await.unwrap();
    let mut got = vec![];
    server.read_to_end(&mut got).await.unwrap();
    server.write_all(&got).await.unwrap();
    drop(server);
    let mut back = vec![];
    client.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"question");
}
