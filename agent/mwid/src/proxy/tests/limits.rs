//! Bounds: of time, of places, and what happens at each.
use super::strangers::{self, TLS13};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) fn inbound(listen: impl fmt::Display, app: SocketAddr, more: &str) -> String {
    format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{app}\", allow: [\"spiffe://here.test\"], {more} }}"
    )
}

pub(super) async fn connect(listen: SocketAddr, here: &World) -> tokio_rustls::client::TlsStream<TcpStream> {
    strangers::connect(listen, strangers::client(Some(&here.leaf("/a")), TLS13))
        .await
        .unwrap()
}

#[tokio::test]
async fn each_limit_of_time_ends_a_connection_by_its_own_name() {
    let here = World::new(HERE);
    let app = App::start().await;
    for (key, reason) in [
        ("idle: 50ms", "idle"),
        ("lifetime: 50ms, idle: 10s", "lifetime"),
        ("half_close: 50ms", "half_closed"),
    ] {
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&inbound(listen, app.address, &format!("timeouts: {{ {key} }}")));
        let mut client = connect(listen, &here).await;
        let mut server = app.accept().await;
        if reason == "half_closed" {
            client.shutdown().await.unwrap();
            assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0, "the end is passed on");
        }
        site.counted(&format!(
            "proxy_connections_ended_total{{route=\"in\",reason=\"{reason}\"}}"
        ))
        .await;
    }
}

/// A client that never stops sending and an application that never stops reading: the copy between them never waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_connection_that_is_never_idle_ends_by_its_lifetime_and_by_new_rules() {
    let here = World::new(HERE);
    let app = App::start().await;
    for (more, reason) in [
        ("timeouts: { lifetime: 200ms }", "lifetime"),
        ("", "no_longer_allowed"),
    ] {
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&inbound(listen, app.address, more));
        let (mut client, mut server) = (connect(listen, &here).await, app.accept().await);
        let sends = tokio::spawn(async move { while client.write_all(&[7; 65536]).await.is_ok() {} });
        let reads = tokio::spawn(async move {
            let mut all = vec![0; 1 << 20];
            while server.read(&mut all).await.is_ok_and(|n| n > 0) {}
        });
        if reason != "lifetime" {
            site.wait("in", "bytes", |status| status.received > 0).await;
            site.routes(&inbound(listen, app.address, "deny: [\"spiffe://here.test/a\"]"));
        }
        site.counted(&format!(
            "proxy_connections_ended_total{{route=\"in\",reason=\"{reason}\"}}"
        ))
        .await;
        sends.await.unwrap();
        reads.await.unwrap();
    }
}

#[tokio::test]
async fn a_half_closed_connection_lives_while_bytes_come() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, app.address, "timeouts: { half_close: 300ms }"));
    let mut client = connect(listen, &here).await;
    let mut server = app.accept().await;
    client.shutdown().await.unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(900) {
        server.write_all(b"still here").await.unwrap();
        client.read_exact(&mut [0; 10]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(server);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_silent_client_has_its_time_and_a_dead_target_its_own() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, free(), "timeouts: { handshake: 50ms }"));
    let mut silent = TcpStream::connect(listen).await.unwrap();
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert_eq!(site.refusal("in").await, "timeout");
    let mut client = connect(listen, &here).await;
    assert!(client.read(&mut [0; 8]).await.is_err(), "no end of anybody's");
    site.counted("proxy_handshakes_total{route=\"in\",reason=\"connect\"}")
        .await;
}

/// The clock of the copiers is the machine's, and cannot be paused.
#[tokio::test]
async fn whoever_says_something_now_and_then_is_not_idle() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, app.address, "timeouts: { idle: 2s }"));
    let mut client = connect(listen, &here).await;
    let mut server = app.accept().await;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        client.write_all(b"ping").await.unwrap();
        server.read_exact(&mut [0; 4]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.counted("proxy_connections_ended_total{route=\"in\",reason=\"idle\"}")
        .await;
}

/// The first bytes of a client.
fn hello() -> Vec<u8> {
    let name = pki_types::ServerName::try_from("any.test").unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(strangers::client(None, TLS13)), name).unwrap();
    let mut bytes = vec![];
    tls.write_tls(&mut bytes).unwrap();
    bytes
}

/// Each of them has said hello, and so has a place.
#[tokio::test]
async fn handshakes_without_progress_keep_nobody_out() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(
        listen,
        app.address,
        "max_handshakes: 4, timeouts: { handshake: 60s }",
    ));
    let mut before = connect(listen, &here).await;
    let mut held = app.accept().await;
    let mut silent = vec![];
    for _ in 0..12 {
        let mut tcp = TcpStream::connect(listen).await.unwrap();
        tcp.write_all(&hello()).await.unwrap();
        silent.push(tcp);
    }
    // Those in front have a second each; nobody waits for their sixty.
    let new = tokio::time::timeout(PATIENCE, async {
        let client = connect(listen, &here).await;
        (client, app.accept().await)
    });
    drop(new.await.expect("kept out"));
    site.counted("proxy_handshakes_total{route=\"in\",reason=\"displaced\"}")
        .await;
    before.write_all(b"ping").await.unwrap();
    held.read_exact(&mut [0; 4]).await.unwrap();
}

#[tokio::test]
async fn who_says_hello_at_once_waits_for_nobody_who_does_not() {
    let here = World::new(HERE);
    let app = App::start().await;
    let begun = &hello()[..];
    let begun = &begun[..begun.len() - 1];
    // With all places of connections they give way when they had a second.
    for (more, says, displaced) in [
        ("max_handshakes: 1", &[][..], false),
        ("max_handshakes: 1", begun, false),
        ("max_connections: 4", &[], true),
        ("max_connections: 4", begun, true),
    ] {
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&inbound(
            listen,
            app.address,
            &format!("{more}, timeouts: {{ handshake: 5m }}"),
        ));
        let mut silent = vec![];
        for _ in 0..12 {
            let mut tcp = TcpStream::connect(listen).await.unwrap();
            tcp.write_all(says).await.unwrap();
            silent.push(tcp);
        }
        site.wait("in", "silent ones", |status| status.open >= 4).await;
        let new = tokio::time::timeout(PATIENCE, async {
            let client = connect(listen, &here).await;
            (client, app.accept().await)
        });
        drop(new.await.expect("kept out"));
        let counted = site.metric("proxy_handshakes_total{route=\"in\",reason=\"displaced\"}");
        let says = says.len();
        assert_eq!(counted.is_some(), displaced, "{more}, {says} bytes: {counted:?}");
    }
}

/// Of the end it hears at once, though there are bytes before it that nobody took.
#[tokio::test]
async fn a_hello_that_is_cut_is_refused_at_once() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, free(), "timeouts: { handshake: 5m }"));
    let mut tcp = TcpStream::connect(listen).await.unwrap();
    tcp.write_all(&hello()[..100]).await.unwrap();
    site.wait("in", "it", |status| status.open == 1).await;
    tcp.shutdown().await.unwrap();
    let refusal = tokio::time::timeout(PATIENCE, site.refusal("in")).await;
    assert_eq!(refusal.unwrap(), "closed");
}

/// A load balancer tells of each of its clients at once, whether that one speaks or not.
#[tokio::test]
async fn a_load_balancers_silent_clients_hold_no_place_of_a_handshake() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    let more = "max_handshakes: 1, accept_proxy: true, timeouts: { handshake: 5m }";
    site.routes(&inbound(listen, app.address, more));
    let mut held = vec![];
    let told = async || {
        let mut tcp = TcpStream::connect(listen).await.unwrap();
        tcp.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
        tcp
    };
    for _ in 0..4 {
        held.push(told().await);
    }
    site.wait("in", "silent ones", |status| status.open == 4).await;
    let name = pki_types::ServerName::try_from("any.test").unwrap();
    let config = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
    let tls = tokio_rustls::TlsConnector::from(config).connect(name, told().await);
    let _tls = tokio::time::timeout(PATIENCE, tls)
        .await
        .expect("kept out")
        .unwrap();
    app.accept().await;
    let displaced = site.metric("proxy_handshakes_total{route=\"in\",reason=\"displaced\"}");
    assert_eq!(displaced, None);
}

#[tokio::test]
async fn there_are_never_more_connections_than_allowed_and_the_next_ones_wait() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, app.address, "max_connections: 2"));
    let first = (connect(listen, &here).await, app.accept().await);
    let _second = (connect(listen, &here).await, app.accept().await);
    let third = tokio::spawn({
        let config = strangers::client(Some(&here.leaf("/a")), TLS13);
        async move { strangers::connect(listen, config).await.unwrap() }
    });
    site.counted("proxy_full_total{route=\"in\",of=\"connections\"}")
        .await;
    assert_eq!(site.status("in").open, 2);
    assert!(!third.is_finished());
    drop(first);
    drop((third.await.unwrap(), app.accept().await));
}

#[tokio::test]
async fn refused_peers_who_stay_take_no_place_of_those_who_may() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, app.address, "max_connections: 2"));
    // Each would be waited for half a second: in two places, a minute in all.
    let mut stay = vec![];
    for _ in 0..240 {
        let config = strangers::client(None, TLS13);
        stay.push(strangers::connect(listen, config).await.unwrap());
    }
    let begun = std::time::Instant::now();
    drop((connect(listen, &here).await, app.accept().await));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let refused = "proxy_handshakes_total{route=\"in\",reason=\"no_certificate\"}";
    assert_eq!(site.metric(refused).as_deref(), Some("240"));
    site.wait("in", "an end of all", |status| status.open == 0).await;
}

#[tokio::test]
async fn a_hello_in_single_bytes_is_as_good_as_a_whole_one() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in");
    for unix in [false, true] {
        let at = if unix {
            format!("unix:{}", path.display())
        } else {
            listen.to_string()
        };
        site.routes(&inbound(at, app.address, ""));
        if unix {
            let to = tokio::net::UnixStream::connect(&path).await.unwrap();
            single_bytes(tokio::io::split(to), &here, &app).await;
        } else {
            let to = TcpStream::connect(listen).await.unwrap();
            to.set_nodelay(true).unwrap();
            single_bytes(tokio::io::split(to), &here, &app).await;
        }
    }
}

async fn single_bytes<S>(
    (mut answers, mut to): (tokio::io::ReadHalf<S>, tokio::io::WriteHalf<S>),
    here: &World,
    app: &App,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    // A bridge between the client and the route that passes on one byte at a time.
    let bridge = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = bridge.local_addr().unwrap();
    let bytes = tokio::spawn(async move {
        let (from, _) = bridge.accept().await.unwrap();
        let (mut from, mut back) = from.into_split();
        let there = async {
            let mut byte = [0];
            while from.read(&mut byte).await.unwrap_or(0) > 0 {
                to.write_all(&byte).await.unwrap();
            }
        };
        tokio::join!(there, async {
            tokio::io::copy(&mut answers, &mut back).await.ok()
        });
    });
    let mut client = connect(at, here).await;
    client.write_all(b"ping").await.unwrap();
    let mut server = app.accept().await;
    let mut got = [0; 4];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ping");
    drop((client, server));
    bytes.await.unwrap();
}

#[tokio::test]
async fn a_message_of_tls_in_endless_pieces_is_cut_off() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, free(), ""));
    let mut tcp = TcpStream::connect(listen).await.unwrap();
    // A hello of 64 KiB, in records of one byte each.
    let mut hello = vec![1, 0, 0xff, 0xff];
    hello.resize(0x10000, 0);
    let records: Vec<u8> = hello.iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect();
    tcp.write_all(&records).await.ok();
    tcp.read_to_end(&mut vec![]).await.ok();
    let reason = site.refusal("in").await;
    assert!(["tls", "io"].contains(&&*reason), "{reason}");
}

#[tokio::test]
async fn when_mwid_stops_open_connections_have_their_time_and_no_more() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, app.address, ""));
    let mut client = connect(listen, &here).await;
    let mut server = app.accept().await;
    let stopping = tokio::spawn({
        let shutdown = site.shutdown.clone();
        async move { shutdown.stop(PATIENCE).await }
    });
    let deaf = tokio::time::timeout(PATIENCE, async {
        while TcpStream::connect(listen).await.is_ok() {}
    });
    assert!(deaf.await.is_ok(), "still listened to");
    server.write_all(b"pong").await.unwrap();
    client.read_exact(&mut [0; 4]).await.unwrap();
    client.shutdown().await.unwrap();
    drop(server);
    assert!(stopping.await.unwrap(), "everything has ended");
}

/// Those who are here count when a reload changes how many there may be.
#[tokio::test]
async fn limits_that_change_count_those_who_are_here() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    let most = |most: usize| inbound(listen, app.address, &format!("max_connections: {most}"));
    let mut open = Vec::new();
    site.routes(&most(2));
    for _ in 0..2 {
        open.push((connect(listen, &here).await, app.accept().await));
    }
    // One waits in the kernel's queue; of the others none comes to the application before one of those has gone.
    let waits = async |site: &Site, more: usize| {
        let slots = Arc::clone(&site.proxy.routes.borrow()[0].slots);
        let looked = tokio::time::timeout(PATIENCE, async {
            while slots.free().is_some() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(looked.await.is_ok(), "there is place for more than {more}");
    };
    site.routes(&most(3));
    let third = tokio::time::timeout(PATIENCE, connect(listen, &here)).await;
    open.push((third.expect("no place for one more"), app.accept().await));
    waits(&site, 3).await;
    assert_eq!(site.status("in").open, 3);
    site.routes(&most(1));
    let next = tokio::spawn({
        let leaf = here.leaf("/a");
        async move { strangers::connect(listen, strangers::client(Some(&leaf), TLS13)).await }
    });
    for left in [2, 1] {
        open.pop();
        site.wait("in", "one less", |status| status.open == left).await;
        waits(&site, 1).await;
        assert!(!next.is_finished(), "{left} of one are here");
    }
    open.pop();
    let next = tokio::time::timeout(PATIENCE, next).await;
    let _next = next.expect("no place for one").unwrap().unwrap();
    app.accept().await;
}
