//! Who is refused, by which name, on both sides: each has its reason in the status and in the metrics, and no byte goes on.
use super::strangers::{self, TLS12, TLS13};
use super::*;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa};
use testkit::pki::{LeafSpec, Validity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn leaf(world: &World, change: impl FnOnce(&mut LeafSpec)) -> Leaf {
    let mut spec = LeafSpec::new(&format!("spiffe://{}/ok", world.root.trust_domain));
    change(&mut spec);
    world.leaf_of(&spec)
}

/// The faults of a peer's certificate, and their names. `there` is trusted for its own names.
fn faults(here: &World, there: &World) -> Vec<(&'static str, Leaf, &'static str)> {
    let named = |uris: &[&str]| {
        let uris = uris.iter().map(|&uri| uri.to_owned()).collect();
        leaf(here, |spec| spec.uris = uris)
    };
    let valid = |from, to| leaf(here, |spec| spec.validity = Validity { from, to });
    let ca = leaf(here, |spec| {
        spec.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let usage = leaf(here, |spec| {
        spec.ekus = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    let two = named(&["spiffe://here.test/ok", "spiffe://here.test/other"]);
    vec![
        ("other root", leaf(&World::new(HERE), |_| {}), "bad_signature"),
        (
            "unknown trust domain",
            leaf(&World::new("nowhere.test"), |_| {}),
            "unknown_trust_domain",
        ),
        (
            "right root, other trust domain",
            named(&["spiffe://there.test/ok"]),
            "unknown_issuer",
        ),
        ("two URI SANs", two, "not_an_svid"),
        ("CA as leaf", ca, "not_an_svid"),
        ("wrong EKU", usage, "wrong_usage"),
        ("expired", valid(-7200, -3600), "expired"),
        ("not yet valid", valid(3600, 7200), "not_yet_valid"),
        ("not allowed", here.leaf("/other"), "no_rule"),
        ("denied", here.leaf("/ok/but/denied"), "denied"),
        ("allowed elsewhere", leaf(there, |_| {}), "no_rule"),
    ]
}

/// What a client gets to read, to its end.
async fn fate(to: SocketAddr, config: rustls::ClientConfig) -> std::io::Result<Vec<u8>> {
    let mut stream = strangers::connect(to, config).await?;
    stream.write_all(b"ping").await?;
    let mut got = vec![];
    stream.read_to_end(&mut got).await?;
    Ok(got)
}

#[tokio::test]
async fn each_fault_of_a_client_is_refused_by_its_name_and_nothing_is_passed_on() {
    let (here, there) = (World::new(HERE), World::new("there.test"));
    for (name, leaf, reason) in faults(&here, &there) {
        let app = App::start().await;
        let mut site = Site::new(&here, &[&here, &there]);
        let listen = free();
        site.routes(&format!(
            "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test/ok\", \"spiffe://here.test/ok/**\"], deny: [\"spiffe://here.test/ok/but/*\"] }}",
            app.address
        ));
        let got = fate(listen, strangers::client(Some(&leaf), TLS13)).await;
        assert!(got.as_ref().map_or(true, Vec::is_empty), "{name}: {got:?}");
        assert_eq!(site.refusal("in").await, reason, "{name}");
        let line = format!("proxy_handshakes_total{{route=\"in\",reason=\"{reason}\"}}");
        assert_eq!(site.metric(&line).as_deref(), Some("1"), "{name}");
        let nobody = tokio::time::timeout(Duration::from_millis(1), app.listener.accept()).await;
        assert!(nobody.is_err(), "{name}: the application was bothered");
        assert_eq!(site.status("in").made, 0);
    }
}

#[tokio::test]
async fn each_fault_of_a_server_is_refused_by_its_name_and_nothing_is_passed_on() {
    let (here, there) = (World::new(HERE), World::new("there.test"));
    for (name, leaf, reason) in faults(&here, &there) {
        // An outbound route names whom it expects, so that there is nothing to deny.
        let reason = if reason == "denied" { "no_rule" } else { reason };
        let remote = App::start().await;
        let mut site = Site::new(&here, &[&here, &there]);
        let listen = site.outbound(&remote);
        let mut caller = TcpStream::connect(listen).await.unwrap();
        caller.write_all(b"secret").await.unwrap();
        let mut got = vec![];
        let served = async {
            let tcp = remote.accept().await;
            if let Ok(mut tls) = strangers::server(&leaf, TLS13).accept(tcp).await {
                tls.read_to_end(&mut got).await.ok();
            }
        };
        served.await;
        assert_eq!(got, b"", "{name}: the stranger got to read");
        assert_eq!(site.refusal("out").await, reason, "{name}");
        let end = caller.read(&mut [0; 1]).await;
        assert!(end.is_err(), "{name}: a refusal is no end: {end:?}");
    }
}

#[tokio::test]
async fn what_is_no_mutual_tls_is_refused_by_its_name() {
    let here = World::new(HERE);
    let good = here.leaf("/ok");
    let app = App::start().await;
    for (name, reason) in [
        ("no certificate", "no_certificate"),
        ("TLS 1.2", "tls_version"),
        ("plaintext", "not_tls"),
        ("hangs up", "closed"),
        ("other protocol", "alpn"),
    ] {
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&format!(
            "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test\"], alpn: [h2] }}",
            app.address
        ));
        match name {
            "no certificate" => drop(fate(listen, strangers::client(None, TLS13)).await),
            "TLS 1.2" => drop(fate(listen, strangers::client(Some(&good), TLS12)).await),
            "other protocol" => {
                let mut config = strangers::client(Some(&good), TLS13);
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                drop(fate(listen, config).await);
            }
            "plaintext" => {
                let mut tcp = TcpStream::connect(listen).await.unwrap();
                tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
                tcp.read_to_end(&mut vec![]).await.ok();
            }
            _ => drop(TcpStream::connect(listen).await.unwrap()),
        }
        assert_eq!(site.refusal("in").await, reason, "{name}");
    }
}

#[tokio::test]
async fn tls_1_2_is_spoken_where_the_route_says_so_and_never_resumed() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test\"], tls12: true }}",
        app.address
    ));
    for versions in [TLS12, TLS13] {
        // One config keeps what sessions it is given; a second connection would use them.
        let config = Arc::new(strangers::client(Some(&here.leaf("/ok")), versions));
        for _ in 0..2 {
            let mut tls = strangers::connect(listen, Arc::clone(&config)).await.unwrap();
            tls.write_all(b"ping").await.unwrap();
            let mut got = [0; 4];
            app.accept().await.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"ping");
            assert_eq!(
                tls.get_ref().1.handshake_kind(),
                Some(rustls::HandshakeKind::Full)
            );
        }
    }
}

/// With a session of another server: it is refused, counted, and a full handshake done, in which the client's certificate counts as ever.
#[tokio::test]
async fn a_session_is_never_resumed_and_who_asks_is_counted() {
    let (here, other) = (World::new(HERE), App::start().await);
    let app = App::start().await;
    for (versions, way) in [(TLS13, "1.3"), (TLS12, "1.2, ticket"), (TLS12, "1.2, ID")] {
        let mut site = Site::new(&here, &[&here]);
        let listen = free();
        site.routes(&format!(
            "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"spiffe://here.test/ok\"], tls12: true }}",
            app.address
        ));
        let config = Arc::new(strangers::client(Some(&here.leaf("/ok")), versions));
        let server = strangers::resuming_server(&here.leaf("/other"), versions, way.ends_with("ticket"));
        let mut kinds = vec![];
        for _ in 0..2 {
            let served = async {
                let mut tls = server.accept(other.accept().await).await.unwrap();
                tls.write_all(b"x").await.unwrap();
                tls
            };
            let (client, _served) =
                tokio::join!(strangers::connect(other.address, Arc::clone(&config)), served);
            let mut client = client.unwrap();
            // The ticket comes before it.
            client.read_exact(&mut [0]).await.unwrap();
            kinds.push(client.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(
            kinds,
            [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed],
            "{way}: the other server's session is of no use"
        );
        let refused = "proxy_resumptions_refused_total{route=\"in\"}";
        assert_eq!(site.metric(refused).as_deref(), Some("0"), "{way}");
        let mut client = strangers::connect(listen, Arc::clone(&config)).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        app.accept().await.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!(
            client.get_ref().1.handshake_kind(),
            Some(rustls::HandshakeKind::Full),
            "{way}"
        );
        assert_eq!(site.metric(refused).as_deref(), Some("1"), "{way}");
        // One who comes with nothing asks for nothing.
        let fresh = strangers::client(Some(&here.leaf("/ok")), versions);
        drop((
            strangers::connect(listen, fresh).await.unwrap(),
            app.accept().await,
        ));
        assert_eq!(site.metric(refused).as_deref(), Some("1"), "{way}");
        site.wait("in", "two connections", |status| status.made == 2)
            .await;
    }
}

#[tokio::test]
async fn without_an_identity_every_handshake_fails_and_says_so() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"127.0.0.1:1\", allow: [\"spiffe://here.test\"] }}"
    ));
    site.writer.clear();
    drop(fate(listen, strangers::client(Some(&here.leaf("/ok")), TLS13)).await);
    assert_eq!(site.refusal("in").await, "no_identity");
}

#[tokio::test]
async fn a_target_that_speaks_before_the_handshake_is_refused_and_its_words_go_nowhere() {
    let here = World::new(HERE);
    let remote = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = site.outbound(&remote);
    let mut caller = TcpStream::connect(listen).await.unwrap();
    let mut tcp = remote.accept().await;
    tcp.write_all(b"220 injected\r\n").await.unwrap();
    let mut got = vec![];
    let end = caller.read_to_end(&mut got).await;
    assert!(end.is_err() && got.is_empty(), "{end:?} {got:?}");
    let reason = site.refusal("out").await;
    // By when the bytes came: before our hello, or after it.
    assert!(["spoke_first", "not_tls"].contains(&&*reason), "{reason}");
}

/// Its words are there before it is our turn to speak: also such that a TLS server could have answered.
#[tokio::test]
async fn a_target_that_spoke_before_our_hello_gets_none() {
    let here = World::new(HERE);
    let remote = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&format!(
        "  outbound:\n  - {{ name: out, listen: \"{listen}\", connect: \"{}\", expect: \"spiffe://here.test/ok\", max_handshakes: 1 }}",
        remote.address
    ));
    // Has the only place, until it goes.
    let _first = TcpStream::connect(listen).await.unwrap();
    let mut silent = remote.accept().await;
    silent.read_exact(&mut [0; 5]).await.unwrap();
    let mut caller = TcpStream::connect(listen).await.unwrap();
    let mut tcp = remote.accept().await;
    site.counted("proxy_full_total{route=\"out\",of=\"handshakes\"}")
        .await;
    // An alert: close_notify.
    tcp.write_all(&[21, 3, 3, 0, 2, 1, 0]).await.unwrap();
    drop(silent);
    site.counted("proxy_handshakes_total{route=\"out\",reason=\"spoke_first\"}")
        .await;
    let mut got = vec![];
    assert!(
        caller.read_to_end(&mut got).await.is_err() && got.is_empty(),
        "{got:?}"
    );
    assert!(
        !tcp.read_to_end(&mut got).await.is_ok_and(|n| n > 0),
        "it was said hello to: {got:?}"
    );
}

#[tokio::test]
async fn callers_are_let_in_by_grants_once_rules_name_routes() {
    let here = World::new(HERE);
    let remote = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = site.outbound(&remote);
    let leaf = here.leaf("/ok");
    let caller = TcpStream::connect(listen).await.unwrap();
    drop((remote.accept_tls(&leaf).await, caller));
    assert!(!site.access.decides_routes());
    site.lets_out(4_000_000);
    assert!(site.access.decides_routes());
    // mwid's own user has everything, so that this process is let in.
    let caller = TcpStream::connect(listen).await.unwrap();
    drop((remote.accept_tls(&leaf).await, caller));
    site.wait("out", "two connections", |status| status.made == 2)
        .await;
}

#[tokio::test]
async fn a_probe_tells_what_a_caller_would_meet() {
    let (here, there) = (World::new(HERE), World::new("there.test"));
    let site = Site::new(&here, &[&here]);
    let remote = App::start().await;
    let route = |port: u16, expect: &str| {
        let text = format!(
            "proxy: {{ outbound: [{{ name: out, listen: \"127.0.0.1:1\", connect: \"127.0.0.1:{port}\", expect: \"{expect}\" }}] }}"
        );
        settings(&text).proxy.routes.remove(0)
    };
    let probe = |route: RouteSettings| {
        let (reader, clock) = (site.reader.clone(), site.clock.clone());
        async move { probe(&route, &route.targets[0], reader, provider(), clock).await }
    };
    let port = remote.address.port();
    let serve = |leaf: Leaf| async {
        let leaf = leaf;
        let tcp = remote.accept().await;
        if let Ok(mut tls) = strangers::server(&leaf, TLS13).accept(tcp).await {
            tls.shutdown().await.ok();
        }
    };
    let ok = "spiffe://here.test/ok";
    let (peer, ()) = tokio::join!(probe(route(port, ok)), serve(here.leaf("/ok")));
    assert_eq!(peer.unwrap().id().as_str(), ok);
    for (leaf, reason) in [
        (here.leaf("/other"), "no_rule"),
        (there.leaf("/ok"), "unknown_trust_domain"),
    ] {
        let (peer, ()) = tokio::join!(probe(route(port, ok)), serve(leaf));
        assert_eq!(peer.unwrap_err().reason, reason);
    }
    let nobody = free().port();
    assert_eq!(probe(route(nobody, ok)).await.unwrap_err().reason, "connect");
    let refuses = async {
        let tcp = remote.accept().await;
        strangers::refusing_server(&here.leaf("/ok"))
            .accept(tcp)
            .await
            .err()
    };
    let (peer, _) = tokio::join!(probe(route(port, ok)), refuses);
    assert_eq!(peer.unwrap_err().reason, "refused_by_peer");
}
