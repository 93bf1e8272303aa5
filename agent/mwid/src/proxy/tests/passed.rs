//! Sockets that systemd passes to routes.
use super::strangers::{self, TLS13};
use super::*;
use std::net::TcpListener as StdListener;
use std::os::unix::net::UnixListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn inbound(app: &App) -> String {
    format!(
        "  inbound:\n  - {{ name: in, listen: \"systemd:in\", forward: \"{}\", allow: [\"spiffe://here.test\"] }}",
        app.address
    )
}

fn outbound(remote: &App, more: &str) -> String {
    format!(
        "  outbound:\n  - {{ name: out, listen: \"systemd:out\", connect: \"{}\", expect: \"spiffe://here.test/ok\"{more} }}",
        remote.address
    )
}

fn prepare(site: &Site, proxy: &str) -> Result<(), String> {
    let settings = settings(&format!("proxy:\n{proxy}"));
    let prepared = site.proxy.prepare(&settings.proxy);
    prepared
        .map(drop)
        .map_err(|e| crate::report::Causes(&e).to_string())
}

#[tokio::test]
async fn a_route_serves_all_sockets_of_its_name_and_a_reload_may_leave_it_out_and_take_it_up_again() {
    let here = World::new(HERE);
    let app = App::start().await;
    let sockets = [(), ()].map(|()| StdListener::bind("127.0.0.1:0").unwrap());
    let [one, other] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let passed = Passed::of(sockets.map(|socket| ("in", socket.into())));
    let mut site = Site::with(&here, &[&here], &passed);
    assert_eq!(passed.unused(), ["in"]);
    site.routes(&inbound(&app));
    assert!(passed.unused().is_empty());
    let works = async |listen| {
        let mut client = strangers::connect(listen, strangers::client(Some(&here.leaf("/a")), TLS13))
            .await
            .unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(app.accept().await.read_u8().await.unwrap(), b'x');
        client
    };
    let mut held = works(one).await;
    works(other).await;
    // As it was: nothing is touched.
    site.routes(&inbound(&app));
    held.write_all(b"y").await.unwrap();
    works(one).await;
    site.routes("  inbound: []");
    // It waits in the kernel's queue, and nobody is there to take it.
    let waits = strangers::connect(one, strangers::client(Some(&here.leaf("/a")), TLS13));
    let mut waits = std::pin::pin!(waits);
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut waits).await;
    assert!(waited.is_err(), "somebody has accepted it");
    site.routes(&inbound(&app));
    let mut client = waits.await.unwrap();
    client.write_all(b"z").await.unwrap();
    assert_eq!(app.accept().await.read_u8().await.unwrap(), b'z');
    works(other).await;
}

#[tokio::test]
async fn an_outbound_route_takes_a_unix_socket() {
    let here = World::new(HERE);
    let remote = App::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.sock");
    let passed = Passed::of([("out", UnixListener::bind(&path).unwrap().into())]);
    let mut site = Site::with(&here, &[&here], &passed);
    site.routes(&outbound(&remote, ""));
    let mut program = UnixStream::connect(&path).await.unwrap();
    let mut peer = remote.accept_tls(&here.leaf("/ok")).await;
    program.write_all(b"x").await.unwrap();
    assert_eq!(peer.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn plaintext_is_taken_from_near_whatever_the_name_says() {
    let here = World::new(HERE);
    let remote = App::start().await;
    let anywhere = StdListener::bind("0.0.0.0:0").unwrap();
    let address = anywhere.local_addr().unwrap();
    let passed = Passed::of([("out", anywhere.into())]);
    let site = Site::with(&here, &[&here], &passed);
    assert_eq!(
        prepare(&site, &outbound(&remote, "")).unwrap_err(),
        format!(
            "the route out: the socket out that systemd passed listens on {address}, which is not loopback, and this side is plaintext; \
             set ListenStream= in the socket unit to a loopback address or a path, or say unsafe_listen: true in the route"
        )
    );
    prepare(&site, &outbound(&remote, ", unsafe_listen: true")).unwrap();
}

#[tokio::test]
async fn what_systemd_did_not_pass_and_what_takes_no_connections_is_told() {
    let here = World::new(HERE);
    let app = App::start().await;
    let site = Site::new(&here, &[&here]);
    assert_eq!(
        prepare(&site, &inbound(&app)).unwrap_err(),
        "the route in: systemd passed no socket named in; set FileDescriptorName=in in the socket unit, and start mwid by it"
    );
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let connected = std::net::TcpStream::connect(app.address).unwrap();
    for unfit in [datagrams.into(), connected.into()] {
        let site = Site::with(&here, &[&here], &Passed::of([("in", unfit)]));
        assert_eq!(
            prepare(&site, &inbound(&app)).unwrap_err(),
            "the route in: the socket in that systemd passed cannot be listened on: \
             it takes no connections; use ListenStream= and Accept=no"
        );
    }
}
