//! What a copier does beyond passing bytes on: it counts all of them, leaves others their turn, and hears of an end behind bytes that nobody takes.
use super::super::link::{Link, Wire};
use super::super::splice::{Early, Moved, Splice};
use super::limits::{connect, inbound};
use super::sealing;
use super::strangers::{self, TLS13};
use super::*;
use std::io;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What comes with the end of the handshake, in one segment, is read by the handshake.
#[tokio::test]
async fn bytes_that_come_with_the_end_of_the_handshake_count() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, app.address, ""));
    let mut tcp = TcpStream::connect(listen).await.unwrap();
    let config = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
    let name = pki_types::ServerName::try_from("any.test").unwrap();
    let mut tls = rustls::ClientConnection::new(config, name).unwrap();
    while tls.is_handshaking() {
        let mut bytes = vec![];
        while tls.wants_write() {
            tls.write_tls(&mut bytes).unwrap();
        }
        tcp.write_all(&bytes).await.unwrap();
        let mut got = vec![0; 16 * 1024];
        let new = tcp.read(&mut got).await.unwrap();
        tls.read_tls(&mut &got[..new]).unwrap();
        tls.process_new_packets().unwrap();
    }
    io::Write::write_all(&mut tls.writer(), b"ping").unwrap();
    let mut bytes = vec![];
    while tls.wants_write() {
        tls.write_tls(&mut bytes).unwrap();
    }
    tcp.write_all(&bytes).await.unwrap();
    let mut server = app.accept().await;
    let mut got = [0; 4];
    server.read_exact(&mut got).await.unwrap();
    site.wait("in", "four bytes", |status| status.received == 4).await;
}

/// Its end comes behind bytes that wait for the application, and nobody reads so far.
#[tokio::test]
async fn a_peer_that_is_gone_is_noticed_while_its_application_reads_nothing() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, app.address, "timeouts: { half_close: 1s }"));
    for reset in [true, false] {
        let mut client = connect(listen, &here).await;
        let deaf = app.accept().await;
        // As long as it is taken: the kernel has room for the end behind what is not.
        let mut wanted = site.status("in").received;
        let all_is_taken = async |wanted: u64| {
            while site.status("in").received < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        while tokio::time::timeout(Duration::from_millis(300), all_is_taken(wanted))
            .await
            .is_ok()
        {
            client.write_all(&[7; 16 * 1024]).await.unwrap();
            wanted += 16 * 1024;
            assert!(wanted < 256 << 20, "somebody keeps all of it");
        }
        if reset {
            client.get_ref().0.set_zero_linger().unwrap();
        }
        drop(client);
        site.wait("in", "an end", |status| status.open == 0).await;
        drop(deaf);
    }
    // On a slow machine the application's kernel may have had room for all, and then the end was read.
    let ended = ["half_closed", "peer_io", "cut"].map(|reason| {
        let metric = format!("proxy_connections_ended_total{{route=\"in\",reason=\"{reason}\"}}");
        site.metric(&metric).map_or(0, |count| count.parse().unwrap())
    });
    assert_eq!(ended.iter().sum::<u64>(), 2, "{ended:?}");
}

/// A stream that takes so much, and has always more to say, or nothing.
struct Endless {
    speaks: bool,
    takes: usize,
}

impl Wire for Endless {
    fn poll_read(&mut self, into: &mut [u8], _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.speaks {
            Poll::Ready(Ok(into.len()))
        } else {
            Poll::Pending
        }
    }

    fn poll_write(&mut self, bytes: &[u8], _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(self.takes);
        self.takes -= taken;
        if taken == 0 {
            return Poll::Pending;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// One turn of a connection whose handshake is done: so much is taken by the plain side, which `speaks`, of what is owed to it.
fn turn(speaks: bool, takes: usize, owed: &[u8]) -> (Moved, bool) {
    let (mut client, mut server) = sealing::both();
    sealing::shake(&mut client, &mut server);
    let peer = Endless {
        speaks: false,
        takes: usize::MAX,
    };
    let plain = Endless { speaks, takes };
    let mut splice = Splice::new(Link::new(peer, server), plain, owed.to_vec(), Early::default());
    let mut moved = Moved::default();
    let polled = splice.poll(&mut Context::from_waker(Waker::noop()), &mut moved);
    (moved, polled.is_pending())
}

#[test]
fn a_connection_that_never_waits_leaves_others_their_turn() {
    let (moved, is_pending) = turn(true, 0, b"");
    assert!(is_pending && moved.more && moved.sent > 0, "{moved:?}");
}

/// Limits ask whether something moved: who takes little of what waits is no less there.
#[test]
fn what_waits_and_is_taken_in_part_has_moved() {
    for (takes, has_moved) in [(0, false), (1, true), (2, true)] {
        let (moved, is_pending) = turn(false, takes, b"12");
        assert!(is_pending && !moved.more);
        assert_eq!(moved.steps > 0, has_moved, "{takes}: {moved:?}");
    }
}

/// They hold descriptors, and a thread each.
#[test]
fn copiers_end_with_the_proxy() {
    let copiers = copiers::Copiers::default();
    copiers.start().unwrap();
    let desks = copiers.watch();
    assert!(desks.iter().all(|desk| desk.upgrade().is_some()) && !desks.is_empty());
    copiers.start().unwrap();
    assert_eq!(copiers.watch().len(), desks.len(), "once is enough");
    drop(copiers);
    let begun = std::time::Instant::now();
    while desks.iter().any(|desk| desk.upgrade().is_some()) {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}
