//! Listeners that move: from one address to another that overlaps with it, from one Unix socket to its successor. Nobody who is connected is lost, and a move
//! that cannot be leaves everything as it was.
use super::strangers::{self, TLS13};
use super::*;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

fn inbound(listen: SocketAddr, app: &App) -> String {
    format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test\"], max_connections: 1 }}\n",
        app.address
    )
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// Pairs of which either takes the other's place at one port.
const OVERLAP: [[&str; 2]; 3] = [["127.0.0.1", "0.0.0.0"], ["0.0.0.0", "::"], ["127.0.0.1", "::"]];

/// What a client holds of a connection that went through.
async fn through(
    tcp: TcpStream,
    config: &Arc<rustls::ClientConfig>,
    app: &App,
) -> (tokio_rustls::client::TlsStream<TcpStream>, TcpStream) {
    let name = pki_types::ServerName::try_from("any.test").unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    let both = async {
        let mut client = connector.connect(name, tcp).await.expect("it was lost");
        client.write_all(b"ping").await.unwrap();
        let mut server = app.accept().await;
        server.read_exact(&mut [0; 4]).await.unwrap();
        (client, server)
    };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("it is not served")
}

#[tokio::test]
async fn a_listener_moves_to_an_overlapping_address_and_back_and_nobody_is_lost() {
    let here = World::new(HERE);
    let app = App::start().await;
    let config = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
    for [one, other] in OVERLAP {
        let mut site = Site::new(&here, &[&here]);
        let port = free().port();
        site.routes(&inbound(at(one, port), &app));
        let to = at("127.0.0.1", port);
        for next in [other, one, other] {
            let held = through(TcpStream::connect(to).await.unwrap(), &config, &app).await;
            // There is one place, so that it waits in the kernel's queue.
            let waiting = TcpStream::connect(to).await.unwrap();
            site.routes(&inbound(at(next, port), &app));
            assert!(site.status("in").listen.contains(next), "{one} {other}");
            drop(held);
            drop(through(waiting, &config, &app).await);
            drop(through(TcpStream::connect(to).await.unwrap(), &config, &app).await);
        }
        site.shutdown.stop(PATIENCE).await;
    }
}

/// Sends and reads back, until it is told to end; tells how often.
async fn comes_again(
    to: SocketAddr,
    config: Arc<rustls::ClientConfig>,
    end: tokio_util::sync::CancellationToken,
) -> usize {
    let mut times = 0;
    while !end.is_cancelled() {
        let mut client = strangers::connect(to, Arc::clone(&config))
            .await
            .expect("it was lost");
        client.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        client.read_exact(&mut got).await.expect("it was lost");
        times += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_fails_who_connects_while_a_listener_moves() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let port = free().port();
    let route = |address: &str| inbound(at(address, port), &app).replace("max_connections: 1", "");
    site.routes(&route("127.0.0.1"));
    let routes: Vec<String> = ["0.0.0.0", "127.0.0.1", "::", "127.0.0.1"].map(route).to_vec();
    let echoes = tokio::spawn(async move {
        loop {
            let mut stream = app.accept().await;
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                tokio::io::copy(&mut reads, &mut writes).await.ok();
            });
        }
    });
    let config = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
    let end = tokio_util::sync::CancellationToken::new();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        clients.spawn(comes_again(
            at("127.0.0.1", port),
            Arc::clone(&config),
            end.clone(),
        ));
    }
    for next in &routes {
        tokio::time::sleep(Duration::from_millis(300)).await;
        site.routes(next);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    end.cancel();
    let times: usize = clients.join_all().await.into_iter().sum();
    assert!(times > 20, "{times}");
    echoes.abort();
}

#[tokio::test]
async fn a_move_that_cannot_be_leaves_all_as_it_was() {
    let here = World::new(HERE);
    let app = App::start().await;
    let config = Arc::new(strangers::client(Some(&here.leaf("/a")), TLS13));
    let mut site = Site::new(&here, &[&here]);
    let port = free().port();
    let (old, new) = (at("127.0.0.1", port), at("0.0.0.0", port));
    site.routes(&inbound(old, &app));
    let refused = |site: &Site, text: &str| {
        let refused = site.proxy.prepare(&settings(&format!("proxy:\n{text}")).proxy);
        crate::report::Causes(&refused.err().unwrap()).to_string()
    };
    let others = std::net::TcpListener::bind(at("127.0.0.2", port)).unwrap();
    let why = refused(&site, &inbound(new, &app));
    assert!(
        why.contains("the route in: listen") && why.contains(&new.to_string()) && why.contains("in use"),
        "{why}"
    );
    drop(others);
    // It can move, and the change fails at last: whoever came meanwhile came to the one in force.
    let change = site
        .proxy
        .prepare(&settings(&format!("proxy:\n{}", inbound(new, &app))).proxy);
    let placed = Proxy::place(change.unwrap()).unwrap();
    let came = TcpStream::connect(old).await.unwrap();
    let elsewhere = tokio::spawn(TcpStream::connect(at("127.0.0.3", port)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!elsewhere.is_finished(), "it is to be asked again, not kept");
    drop(placed);
    drop(through(came, &config, &app).await);
    let elsewhere = tokio::time::timeout(PATIENCE, elsewhere).await.unwrap().unwrap();
    assert!(elsewhere.is_err(), "nobody listens there");
}

#[tokio::test]
async fn who_waits_at_a_unix_socket_is_served_when_another_one_takes_its_place() {
    let here = World::new(HERE);
    let remote = App::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut site = Site::new(&here, &[&here]);
    let outbound = |path: &PathBuf, mode: &str| {
        format!(
            "  outbound:\n  - {{ name: out, listen: \"unix:{}\", mode: \"{mode}\", connect: \"{}\", expect: \"spiffe://here.test/ok\", max_connections: 1 }}",
            path.display(),
            remote.address
        )
    };
    let leaf = here.leaf("/ok");
    let mut listen = path("one");
    site.routes(&outbound(&listen, "0600"));
    for (next, mode) in [
        (path("one"), "0660"),
        (path("other"), "0660"),
        (path("one"), "0600"),
    ] {
        let held = UnixStream::connect(&listen).await.unwrap();
        let tls = remote.accept_tls(&leaf).await;
        let mut waiting = UnixStream::connect(&listen).await.unwrap();
        site.routes(&outbound(&next, mode));
        drop((held, tls));
        let mut tls = remote.accept_tls(&leaf).await;
        tls.write_all(b"pong").await.unwrap();
        let mut got = [0; 4];
        waiting.read_exact(&mut got).await.expect("it was lost");
        assert_eq!(&got, b"pong");
        assert_eq!(listen.exists(), listen == next, "nobody new comes to the old one");
        listen = next;
    }
}

#[tokio::test]
async fn who_waits_where_a_route_was_is_served_as_it_is_now() {
    let here = World::new(HERE);
    let [before, after] = [App::start().await, App::start().await];
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut site = Site::new(&here, &[&here]);
    let outbound = |path: &PathBuf, remote: &App| {
        format!(
            "  outbound:\n  - {{ name: out, listen: \"unix:{}\", connect: \"{}\", expect: \"spiffe://here.test/ok\", max_connections: 1 }}",
            path.display(),
            remote.address
        )
    };
    let leaf = here.leaf("/ok");
    site.routes(&outbound(&path("one"), &before));
    let held = UnixStream::connect(path("one")).await.unwrap();
    let tls = before.accept_tls(&leaf).await;
    let mut waiting = UnixStream::connect(path("one")).await.unwrap();
    site.routes(&outbound(&path("other"), &after));
    drop((held, tls));
    let mut tls = after.accept_tls(&leaf).await;
    tls.write_all(b"pong").await.unwrap();
    let mut got = [0; 4];
    waiting.read_exact(&mut got).await.expect("it was refused");
    assert_eq!(&got, b"pong");
}
