//! Several targets: which one a connection goes to, what a bad one costs, and how it comes back.
use super::strangers::{self, TLS13};
use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A remote that says its letter to whoever comes, until the test ends.
fn remote(listener: TcpListener, leaf: &Leaf, letter: u8) {
    let acceptor = strangers::server(leaf, TLS13);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(tcp).await {
                    tls.write_all(&[letter]).await.ok();
                    tls.read_exact(&mut [0]).await.ok();
                }
            });
        }
    });
}

fn outbound(listen: SocketAddr, connect: &[SocketAddr], more: &str) -> String {
    let connect: Vec<String> = connect.iter().map(|one| format!("\"{one}\"")).collect();
    let connect = connect.join(", ");
    format!(
        "  outbound:\n  - {{ name: out, listen: \"{listen}\", connect: [{connect}], expect: \"spiffe://here.test/ok\", {more} }}"
    )
}

/// A caller, and the letter that it got; none: it got no connection.
async fn call(listen: SocketAddr) -> Option<(char, TcpStream)> {
    let mut caller = TcpStream::connect(listen).await.unwrap();
    let mut letter = [0];
    let read = tokio::time::timeout(PATIENCE, caller.read(&mut letter));
    match read.await.expect("no answer") {
        Ok(1) => Some((letter[0].into(), caller)),
        _ => None,
    }
}

async fn letters(listen: SocketAddr, callers: usize) -> (String, Vec<TcpStream>) {
    let (mut all, mut held) = (vec![], vec![]);
    for _ in 0..callers {
        let (letter, caller) = call(listen).await.expect("refused");
        all.push(letter);
        held.push(caller);
    }
    all.sort_unstable();
    (all.into_iter().collect(), held)
}

fn up(target: SocketAddr) -> String {
    format!("proxy_target_up{{route=\"out\",target=\"{target}\"}}")
}

async fn becomes(site: &Site, target: SocketAddr, value: &str) {
    let line = up(target);
    let looked = tokio::time::timeout(PATIENCE, async {
        while site.metric(&line).as_deref() != Some(value) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(
        looked.await.is_ok(),
        "{line} never is {value}: {:?}",
        site.status("out")
    );
}

#[tokio::test]
async fn connections_go_where_the_fewest_are_and_a_dead_target_costs_nobody_a_connection() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (a, b, dead, listen) = (App::start().await, App::start().await, free(), free());
    let ok = here.leaf("/ok");
    site.routes(&outbound(listen, &[dead, a.address, b.address], ""));
    becomes(&site, dead, "1").await;
    remote(a.listener, &ok, b'a');
    remote(b.listener, &ok, b'b');
    let (all, mut held) = letters(listen, 6).await;
    assert_eq!(all, "aaabbb");
    becomes(&site, dead, "0").await;
    let down = site.status("out").targets.swap_remove(0);
    let error = down.last_error.unwrap().text;
    assert!(!down.up && error.contains("refused"), "{error}");
    assert_eq!(site.status("out").refused, 0);
    // It comes back by itself, and is the emptiest then.
    remote(TcpListener::bind(dead).await.unwrap(), &ok, b'c');
    becomes(&site, dead, "1").await;
    let (all, more) = letters(listen, 3).await;
    assert_eq!(all, "ccc");
    held.extend(more);
    let open = |site: &Site| site.status("out").targets.iter().map(|one| one.open).sum::<u64>();
    assert_eq!(open(&site), 9);
    drop(held);
    site.wait("out", "end", |status| status.open == 0).await;
    assert_eq!(open(&site), 0);
}

#[tokio::test]
async fn when_all_are_down_all_are_tried_and_the_refusal_names_each() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (one, other, listen) = (free(), free(), free());
    site.routes(&outbound(listen, &[one, other], ""));
    assert!(call(listen).await.is_none());
    site.wait("out", "refusal", |status| status.refused == 1).await;
    let why = site.status("out").last_refusal.unwrap().text;
    assert!(
        why.starts_with("no_target: no target can be connected to: "),
        "{why}"
    );
    for target in [one, other] {
        assert!(why.contains(&format!("{target}: ")), "{why}");
        becomes(&site, target, "0").await;
    }
    // At once, whatever looks have found so far.
    remote(TcpListener::bind(other).await.unwrap(), &here.leaf("/ok"), b'o');
    assert_eq!(call(listen).await.expect("refused").0, 'o');
}

#[tokio::test]
async fn a_target_who_is_somebody_else_is_set_aside_until_a_look_meets_the_right_one() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (wrong, right, listen) = (App::start().await, App::start().await, free());
    site.routes(&outbound(listen, &[wrong.address, right.address], ""));
    remote(wrong.listener, &here.leaf("/other"), b'w');
    remote(right.listener, &here.leaf("/ok"), b'r');
    // The first turn is the wrong one's; the connection goes on.
    assert_eq!(call(listen).await.expect("refused").0, 'r');
    becomes(&site, wrong.address, "0").await;
    assert_eq!(passed_over(&site, "no_rule").as_deref(), Some("1"));
    assert_eq!(site.status("out").refused, 0);
    let (all, _held) = letters(listen, 4).await;
    assert_eq!(all, "rrrr");
    // It answers, and so a look that only connects would take it for well.
    let before = site.status("out").targets[0].last_error.clone();
    site.wait("out", "look", |status| status.targets[0].last_error != before)
        .await;
    assert!(!site.status("out").targets[0].up);
}

fn passed_over(site: &Site, reason: &str) -> Option<String> {
    site.metric(&format!(
        "proxy_targets_passed_over_total{{route=\"out\",reason=\"{reason}\"}}"
    ))
}

/// Three that fail, each in a way of its own, before the one that is well; the caller's bytes were on their way before all that.
#[tokio::test]
async fn a_handshake_that_fails_is_tried_at_the_next_target_and_no_byte_is_lost() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (no_tls, silent, wrong, right) = (
        App::start().await,
        App::start().await,
        App::start().await,
        App::start().await,
    );
    let (listen, dead) = (free(), free());
    let all = [dead, no_tls.address, silent.address, wrong.address, right.address];
    site.routes(&outbound(listen, &all, "timeouts: { handshake: 5s }"));
    remote(wrong.listener, &here.leaf("/other"), b'w');
    let ok = here.leaf("/ok");
    let sent = vec![7; 1 << 20];
    let mut caller = TcpStream::connect(listen).await.unwrap();
    let (mut reads, mut writes) = caller.split();
    let targets = async {
        let mut plain = no_tls.accept().await;
        plain.write_all(b"220 ready\r\n").await.unwrap();
        let held = silent.accept().await;
        let mut tls = right.accept_tls(&ok).await;
        let mut got = vec![0; 1 << 20];
        tls.read_exact(&mut got).await.unwrap();
        tls.write_all(b"done").await.unwrap();
        drop((plain, held));
        got
    };
    let mut done = [0; 4];
    let all = async { tokio::join!(targets, writes.write_all(&sent), reads.read_exact(&mut done)) };
    let (got, wrote, read) = tokio::time::timeout(PATIENCE, all)
        .await
        .expect("it stands still");
    wrote.unwrap();
    read.unwrap();
    assert!(got == sent, "each byte, once");
    let status = site.status("out");
    assert_eq!((status.made, status.refused), (1, 0));
    let up: Vec<bool> = status.targets.iter().map(|target| target.up).collect();
    assert_eq!(up, [false, false, false, false, true]);
    for reason in ["timeout", "no_rule"] {
        assert_eq!(passed_over(&site, reason).as_deref(), Some("1"), "{reason}");
    }
    let no_tls = ["not_tls", "spoke_first"].map(|reason| passed_over(&site, reason));
    assert_eq!(no_tls.iter().flatten().count(), 1, "{no_tls:?}");
}

#[tokio::test]
async fn when_no_target_is_who_it_should_be_the_refusal_names_each() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (one, other, listen) = (App::start().await, App::start().await, free());
    site.routes(&outbound(listen, &[one.address, other.address], ""));
    remote(one.listener, &here.leaf("/other"), b'w');
    remote(other.listener, &here.leaf("/other"), b'w');
    assert!(call(listen).await.is_none());
    assert_eq!(site.refusal("out").await, "no_target");
    let why = site.status("out").last_refusal.unwrap().text;
    for target in [one.address, other.address] {
        assert!(
            why.contains(&format!("{target}: the peer is not allowed")),
            "{why}"
        );
    }
    assert_eq!(
        passed_over(&site, "no_rule").as_deref(),
        Some("1"),
        "after the last there is no next one"
    );
}

#[tokio::test]
async fn targets_that_stay_keep_their_health_and_those_that_go_are_not_counted() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (dead, app, listen) = (free(), App::start().await, free());
    let at = app.address;
    site.routes(&outbound(listen, &[dead, at], ""));
    remote(app.listener, &here.leaf("/ok"), b'a');
    drop(call(listen).await.expect("refused"));
    becomes(&site, dead, "0").await;
    let since = site.status("out").targets[0].since;
    site.routes(&outbound(listen, &[at, dead], "max_connections: 7"));
    let kept = site.status("out").targets.swap_remove(1);
    assert_eq!((kept.up, kept.since), (false, since));
    assert_eq!(site.metric(&up(dead)).as_deref(), Some("0"));
    site.routes(&outbound(listen, &[at], ""));
    assert_eq!(site.metric(&up(dead)), None);
    assert_eq!(site.metric(&up(at)).as_deref(), Some("1"));
}

#[tokio::test]
async fn a_dial_that_does_not_end_holds_no_place_of_a_handshake() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (dead, app, listen) = (Full::start().await, App::start().await, free());
    let targets = [dead.app.address, app.address];
    let more = "max_handshakes: 1, timeouts: { connect: 300s, handshake: 300s }";
    site.routes(&outbound(listen, &targets, more));
    remote(app.listener, &here.leaf("/ok"), b'a');
    let _waits = TcpStream::connect(listen).await.unwrap();
    dead.is_dialled().await;
    let (all, _held) = letters(listen, 1).await;
    assert_eq!(all, "a");
}

#[tokio::test]
async fn the_applications_of_an_inbound_route_share_its_connections() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (one, other, dead, listen) = (App::start().await, App::start().await, free(), free());
    site.routes(&format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: [\"{dead}\", \"{}\", \"{}\"], allow: [\"spiffe://here.test\"] }}",
        one.address, other.address
    ));
    let mut held = vec![];
    for _ in 0..2 {
        let client = strangers::client(Some(&here.leaf("/a")), TLS13);
        held.push(strangers::connect(listen, client).await.unwrap());
    }
    let _both = (one.accept().await, other.accept().await);
    site.wait("in", "dead target", |status| !status.targets[0].up)
        .await;
    // A look at an application is a connection without a byte.
    let back = TcpListener::bind(dead).await.unwrap();
    let (mut look, _) = tokio::time::timeout(PATIENCE, back.accept())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(look.read(&mut [0]).await.unwrap_or(0), 0);
    site.wait("in", "target that is back", |status| status.targets[0].up)
        .await;
}

/// The resolver answers once, and hangs from then on.
#[tokio::test]
async fn a_resolver_that_hangs_loses_no_connection_and_is_told() {
    let here = World::new(HERE);
    let site = Site::new(&here, &[&here]);
    let app = App::start().await;
    let asked = Arc::new(AtomicI64::new(0));
    let shared = Shared {
        reader: site.reader.clone(),
        clock: site.clock.clone(),
        provider: provider(),
        access: site.access.clone(),
        metrics: site.proxy.shared.metrics.clone(),
        names: target::Resolver::new(Arc::new(move |host| {
            assert_eq!(host, "app.test");
            let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            Box::pin(async move {
                if !is_first {
                    std::future::pending::<()>().await;
                }
                Ok(vec![std::net::IpAddr::from([127, 0, 0, 1])])
            })
        })),
        down: Arc::default(),
        memory: give_back::Memory::default(),
        again: decide::Again::new(&provider()),
        copiers: copiers::Copiers::default(),
    };
    let port = app.address.port();
    let text = format!(
        "proxy: {{ outbound: [{{ name: out, listen: \"127.0.0.1:1\", connect: \"app.test:{port}\", expect: \"spiffe://here.test/ok\" }}] }}"
    );
    let settings = settings(&text).proxy.routes.swap_remove(0);
    let targets = target::Targets::new(&settings, &shared, None);
    let dial = async || {
        let mut attempts = targets.attempts(&settings.timeouts);
        attempts.connect().await.map_err(drop)
    };
    let stale = format!("proxy_stale_addresses_total{{route=\"out\",target=\"app.test:{port}\"}}");
    drop(dial().await.expect("the first look-up"));
    assert_eq!(
        (site.metric(&stale), targets.status()[0].old_addresses.clone()),
        (None, None)
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    for _ in 0..3 {
        drop(dial().await.expect("the last answer"));
    }
    assert_eq!(site.metric(&stale).as_deref(), Some("3"));
    let told = targets.status()[0].old_addresses.clone().expect("it is told");
    assert!(told.starts_with("the resolver does not answer"), "{told}");
}

#[tokio::test]
async fn a_name_is_looked_up_by_the_system_and_reached_at_whichever_address_answers() {
    let here = World::new(HERE);
    let mut site = Site::new(&here, &[&here]);
    let (app, listen) = (App::start().await, free());
    let port = app.address.port();
    site.routes(&format!(
        "  outbound:\n  - {{ name: out, listen: \"{listen}\", connect: \"localhost:{port}\", expect: \"spiffe://here.test/ok\" }}"
    ));
    remote(app.listener, &here.leaf("/ok"), b'n');
    assert_eq!(call(listen).await.expect("refused").0, 'n');
    let target = site.status("out").targets.swap_remove(0);
    assert!(target.addresses.iter().all(std::net::IpAddr::is_loopback) && !target.addresses.is_empty());
    assert_eq!(target.old_addresses, None);
}
