//! Changes while connections are open: rules, roots, routes. Exactly those connections end that no longer hold.
use super::again::Open;
use super::strangers::{self, TLS13};
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn inbound(listen: SocketAddr, app: &App, more: &str) -> String {
    format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", {more} }}",
        app.address
    )
}

#[tokio::test]
async fn a_change_of_rules_ends_exactly_those_who_may_no_longer() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, &app, "allow: [\"spiffe://here.test\"]"));
    let mut a = Open::new(listen, &here.leaf("/a"), &app).await;
    let mut b = Open::new(listen, &here.leaf("/b"), &app).await;
    let mut b_too = Open::new(listen, &here.leaf("/b"), &app).await;
    // So that they are more than begun.
    b.works().await;
    b_too.works().await;
    site.routes(&inbound(
        listen,
        &app,
        "allow: [\"spiffe://here.test\"], deny: [\"spiffe://here.test/b\"]",
    ));
    b.is_closed().await;
    b_too.is_closed().await;
    a.works().await;
    site.counted("proxy_connections_ended_total{route=\"in\",reason=\"no_longer_allowed\"}")
        .await;
    site.wait("in", "one left", |status| status.open == 1).await;
    // Rules that let them in again hold for new connections, also of a peer that was sent away.
    site.routes(&inbound(listen, &app, "allow: [\"spiffe://here.test\"]"));
    Open::new(listen, &here.leaf("/b"), &app).await.works().await;
    a.works().await;
}

#[tokio::test]
async fn roots_that_are_taken_away_end_exactly_their_peers() {
    let (here, there) = (World::new(HERE), World::new("there.test"));
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here, &there]);
    let listen = free();
    site.routes(&inbound(listen, &app, "unsafe_allow_all: true"));
    let mut ours = Open::new(listen, &here.leaf("/a"), &app).await;
    let mut theirs = Open::new(listen, &there.leaf("/a"), &app).await;
    ours.works().await;
    theirs.works().await;
    site.adopt(&here.leaf("/vm"), &[&here]);
    theirs.is_closed().await;
    ours.works().await;
    site.counted("proxy_connections_ended_total{route=\"in\",reason=\"no_longer_trusted\"}")
        .await;
}

#[tokio::test]
async fn a_rotation_of_our_own_certificate_ends_nothing() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, &app, "allow: [\"spiffe://here.test\"]"));
    let mut open = Open::new(listen, &here.leaf("/a"), &app).await;
    for _ in 0..3 {
        let leaf = here.leaf("/vm");
        site.adopt(&leaf, &[&here]);
        open.works().await;
        let new = strangers::connect(listen, strangers::client(Some(&here.leaf("/b")), TLS13))
            .await
            .unwrap();
        let shown = new.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        assert_eq!(shown, leaf.leaf_der, "the newest from the next handshake on");
        app.accept().await;
    }
}

#[tokio::test]
async fn dry_run_decides_and_tells_and_lets_in() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(
        listen,
        &app,
        "allow: [\"spiffe://here.test/a\"], dry_run: true",
    ));
    let mut open = Open::new(listen, &here.leaf("/b"), &app).await;
    open.works().await;
    site.counted("proxy_dry_run_refusals_total{route=\"in\",reason=\"no_rule\"}")
        .await;
    assert_eq!(site.status("in").refused, 0);
    site.routes(&inbound(listen, &app, "allow: [\"spiffe://here.test/a\"]"));
    open.is_closed().await;
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_changes_nothing() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let (listen, new) = (free(), free());
    site.routes(&inbound(listen, &app, "allow: [\"spiffe://here.test\"]"));
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wrong = format!(
        "proxy:\n{}\n  - {{ name: new, listen: \"{new}\", forward: \"127.0.0.1:1\", allow: [\"spiffe://here.test\"] }}\n\
         \x20 - {{ name: other, listen: \"{}\", forward: \"127.0.0.1:1\", allow: [\"spiffe://here.test\"] }}",
        inbound(listen, &app, "allow: [\"spiffe://here.test/nobody\"]"),
        taken.local_addr().unwrap()
    );
    let refused = site.proxy.prepare(&settings(&wrong).proxy).err().unwrap();
    assert!(
        crate::report::Causes(&refused)
            .to_string()
            .contains("the route other"),
        "{refused:?}"
    );
    Open::new(listen, &here.leaf("/a"), &app).await.works().await;
    assert!(TcpStream::connect(new).await.is_err(), "half of a change");
}

#[tokio::test]
async fn a_peer_who_may_no_longer_is_not_dialled_for_any_further() {
    let here = World::new(HERE);
    let target = Full::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, &target.app, "allow: [\"spiffe://here.test\"]"));
    let config = strangers::client(Some(&here.leaf("/a")), TLS13);
    let _client = strangers::connect(listen, config).await.unwrap();
    target.is_dialled().await;
    site.routes(&inbound(
        listen,
        &target.app,
        "allow: [\"spiffe://here.test\"], deny: [\"spiffe://here.test/a\"]",
    ));
    assert_eq!(site.refusal("in").await, "no_longer_allowed");
}

#[tokio::test]
async fn a_listener_that_cannot_be_put_in_place_loses_none_of_those_in_force() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let (dir, listen) = (tempfile::tempdir().unwrap(), free());
    site.routes(&inbound(listen, &app, "allow: [\"spiffe://here.test\"]"));
    let path = dir.path().join("new.sock");
    let wanted = format!(
        "proxy:\n{}\n  - {{ name: new, listen: \"unix:{}\", forward: \"127.0.0.1:1\", allow: [\"spiffe://here.test\"] }}",
        inbound(listen, &app, "allow: [\"spiffe://here.test/nobody\"]"),
        path.display()
    );
    let change = site.proxy.prepare(&settings(&wanted).proxy).unwrap();
    // Now a rename cannot put a socket there.
    std::fs::create_dir(&path).unwrap();
    assert!(Proxy::place(change).is_err());
    Open::new(listen, &here.leaf("/a"), &app).await.works().await;
    assert_eq!(site.proxy.routes().status().len(), 1);
}

#[tokio::test]
async fn routes_swap_their_addresses_without_a_gap_and_a_removed_one_hears_no_more() {
    let here = World::new(HERE);
    let (one, other) = (App::start().await, App::start().await);
    let mut site = Site::new(&here, &[&here]);
    let (a, b) = (free(), free());
    let routes = |a: SocketAddr, b: SocketAddr| {
        format!(
            "  inbound:\n  - {{ name: one, listen: \"{a}\", forward: \"{}\", allow: [\"spiffe://here.test\"] }}\n\
             \x20 - {{ name: other, listen: \"{b}\", forward: \"{}\", allow: [\"spiffe://here.test\"] }}",
            one.address, other.address
        )
    };
    site.routes(&routes(a, b));
    let mut before = Open::new(a, &here.leaf("/x"), &one).await;
    site.routes(&routes(b, a));
    Open::new(a, &here.leaf("/x"), &other).await.works().await;
    Open::new(b, &here.leaf("/x"), &one).await.works().await;
    before.works().await;
    site.routes("  inbound: []");
    before.works().await;
    let deaf = tokio::time::timeout(PATIENCE, async { while TcpStream::connect(a).await.is_ok() {} });
    assert!(deaf.await.is_ok(), "still listened to");
    assert!(site.proxy.routes().status().is_empty());
}

#[tokio::test]
async fn a_peer_is_known_as_long_as_it_has_a_connection() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&inbound(listen, &app, "allow: [\"spiffe://here.test\"]"));
    let leaf = here.leaf("/a");
    let known = || site.proxy.routes.borrow()[0].named.peers.here().len();
    let one = Open::new(listen, &leaf, &app).await;
    let other = Open::new(listen, &leaf, &app).await;
    let third = Open::new(listen, &here.leaf("/b"), &app).await;
    site.wait("in", "three connections", |status| status.open == 3)
        .await;
    assert_eq!(known(), 2, "two connections of one chain are one peer");
    drop(one);
    site.wait("in", "two connections", |status| status.open == 2)
        .await;
    assert_eq!(known(), 2);
    drop((other, third));
    site.wait("in", "no connection", |status| status.open == 0).await;
    let gone = tokio::time::timeout(PATIENCE, async {
        while known() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(gone.await.is_ok(), "nobody is remembered");
}

#[tokio::test]
async fn a_socket_that_was_put_in_place_for_a_change_that_fails_gives_its_path_back() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("one.sock"), dir.path().join("other.sock"));
    let target = app.address;
    let routes = |mode: &str| {
        let route = |name: &str, path: &Path, mode: &str| {
            format!(
                "  - {{ name: {name}, listen: \"unix:{}\", mode: \"{mode}\", connect: \"{target}\", expect: \"spiffe://here.test/ok\" }}\n",
                path.display()
            )
        };
        format!(
            "  outbound:\n{}{}",
            route("one", &path, mode),
            route("other", &other, "0600")
        )
    };
    site.routes(&routes("0600").replace(&format!("{}", other.display()), &format!("{}2", other.display())));
    let change = site
        .proxy
        .prepare(&settings(&format!("proxy:\n{}", routes("0660"))).proxy)
        .unwrap();
    // Now the second of them cannot be put in place.
    std::fs::create_dir(&other).unwrap();
    assert!(Proxy::place(change).is_err());
    let leaf = here.leaf("/ok");
    let mut caller = tokio::net::UnixStream::connect(&path)
        .await
        .expect("the path is lost");
    let mut tls = app.accept_tls(&leaf).await;
    tls.write_all(b"still here").await.unwrap();
    caller.read_exact(&mut [0; 10]).await.unwrap();
    // And it can be changed again.
    std::fs::remove_dir(&other).unwrap();
    site.routes(&routes("0660"));
    let _caller = tokio::net::UnixStream::connect(&path).await.unwrap();
    app.accept_tls(&leaf).await;
}

/// A moment of a change: the doors of one file, and under the route's name the rules of another.
#[tokio::test]
async fn a_route_is_open_under_no_older_rules_and_an_older_route_under_no_newer_ones() {
    let here = World::new(HERE);
    let app = App::start().await;
    for (own, in_force) in [("/nobody", ""), ("", "/nobody")] {
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        let allow = |who: &str| inbound(listen, &app, &format!("allow: [\"spiffe://here.test{who}\"]"));
        let other = inbound(
            free(),
            &app,
            &format!("allow: [\"spiffe://here.test{in_force}\"]"),
        );
        site.routes(&allow(own));
        let other = settings(&format!("proxy:\n{other}"));
        let change = site.proxy.prepare(&other.proxy).unwrap();
        let named = Arc::clone(&site.proxy.routes.borrow()[0].named);
        named.put_in_force(Arc::clone(&change.routes[0].rules));
        let config = strangers::client(Some(&here.leaf("/a")), TLS13);
        let mut client = strangers::connect(listen, config).await.unwrap();
        let read = tokio::time::timeout(PATIENCE, async { client.read(&mut [0]).await.unwrap_or(0) });
        assert_eq!(read.await, Ok(0), "{own:?} {in_force:?}");
        assert_eq!(site.refusal("in").await, "no_rule", "{own:?} {in_force:?}");
    }
}

#[tokio::test]
async fn a_caller_whom_new_rules_let_in_does_not_get_where_the_old_route_led() {
    let here = World::new(HERE);
    let (old, new) = (App::start().await, App::start().await);
    let mut site = Site::new(&here, &[&here]);
    let listen = site.outbound(&old);
    let to = new.address;
    let wanted = format!(
        "proxy:\n  outbound:\n  - {{ name: out, listen: \"{listen}\", connect: \"{to}\", expect: \"spiffe://here.test/ok\" }}"
    );
    let change = site.proxy.prepare(&settings(&wanted).proxy).unwrap();
    let change = Proxy::place(change).unwrap();
    site.proxy.retire(&change);
    let _refused = TcpStream::connect(listen).await.unwrap();
    assert_eq!(site.refusal("out").await, "over");
    site.proxy.apply(change);
    let _caller = TcpStream::connect(listen).await.unwrap();
    new.accept_tls(&here.leaf("/ok")).await;
}

/// The rules change while the application is dialled, and those who are here were not decided again yet.
#[tokio::test]
async fn a_peer_revoked_between_the_dial_and_its_first_byte_gets_nothing() {
    let here = World::new(HERE);
    let target = Full::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    let route = |more: &str| {
        let more = format!("allow: [\"spiffe://here.test\"]{more}, send_proxy: v2");
        inbound(listen, &target.app, &more)
    };
    site.routes(&route(""));
    let config = strangers::client(Some(&here.leaf("/a")), TLS13);
    let mut client = strangers::connect(listen, config).await.unwrap();
    client.write_all(b"secret").await.unwrap();
    target.is_dialled().await;
    let wanted = format!("proxy:\n{}", route(", deny: [\"spiffe://here.test/a\"]"));
    let change = site.proxy.prepare(&settings(&wanted).proxy).unwrap();
    let named = Arc::clone(&site.proxy.routes.borrow()[0].named);
    named.put_in_force(Arc::clone(&change.routes[0].rules));
    // Those two that were in the way.
    drop((target.app.accept().await, target.app.accept().await));
    let mut got = vec![];
    let mut app = target.app.accept().await;
    let read = tokio::time::timeout(PATIENCE, app.read_to_end(&mut got));
    read.await.expect("it was let in").ok();
    assert_eq!(got, b"", "not even the header");
    assert_eq!(site.refusal("in").await, "denied");
}
