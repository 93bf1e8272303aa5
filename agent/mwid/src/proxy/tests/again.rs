//! When those who are here are decided again, and who of them stays.
use super::strangers::{self, TLS13};
use super::*;
use testkit::pki::{LeafSpec, Validity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::client::TlsStream;

/// A connection through a route, with both of its ends.
pub(super) struct Open {
    pub(super) client: TlsStream<TcpStream>,
    server: TcpStream,
}

impl Open {
    pub(super) async fn new(listen: SocketAddr, leaf: &Leaf, app: &App) -> Self {
        let client = strangers::connect(listen, strangers::client(Some(leaf), TLS13))
            .await
            .unwrap();
        Self {
            client,
            server: app.accept().await,
        }
    }

    pub(super) async fn works(&mut self) {
        let mut got = [0; 4];
        self.client.write_all(b"ping").await.unwrap();
        self.server.read_exact(&mut got).await.unwrap();
        self.server.write_all(b"pong").await.unwrap();
        self.client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"pong");
    }

    /// Within a second, and not as an end of the other side's.
    pub(super) async fn is_closed(&mut self) {
        let second = Duration::from_secs(1);
        let mut byte = [0];
        let client = tokio::time::timeout(second, self.client.read(&mut byte)).await;
        assert!(client.expect("the client is still connected").is_err());
        let server = tokio::time::timeout(second, self.server.read(&mut byte)).await;
        assert!(server.expect("the application is still connected").is_err());
    }
}

/// One route, `in`, that lets the trust domain in.
fn route(listen: SocketAddr, app: &App, more: &str) -> String {
    format!(
        "  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", unsafe_allow_all: true, {more} }}",
        app.address
    )
}

impl Site {
    /// Returns when those who are here were decided again, after whatever changed before this.
    async fn passed(&self) {
        let rests = || self.proxy.shared.again.rests.load(Ordering::SeqCst);
        // The next rest may be that of before the change.
        let wanted = rests() + 2;
        let decided = tokio::time::timeout(PATIENCE, async {
            while rests() < wanted {
                (self.jump)();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(decided.await.is_ok(), "nobody is decided again");
    }
}

fn leaf(here: &World, path: &str, seconds: i64) -> Leaf {
    let mut spec = LeafSpec::new(&format!("spiffe://{}{path}", here.root.trust_domain));
    spec.validity = Validity {
        from: -10,
        to: seconds,
    };
    here.leaf_of(&spec)
}

const ENDED: &str = "proxy_connections_ended_total{route=\"in\",reason=";

#[tokio::test]
async fn the_end_of_the_peers_certificate_ends_the_connection_where_the_route_says_so() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let (listen, lax) = (free(), free());
    site.routes(&format!(
        "{}\n  - {{ name: lax, listen: \"{lax}\", forward: \"{}\", allow: [\"spiffe://here.test\"] }}",
        route(listen, &app, "close_expired: true"),
        app.address
    ));
    let short = leaf(&here, "/short", 2);
    let mut stays = Open::new(lax, &short, &app).await;
    let mut goes = Open::new(listen, &short, &app).await;
    goes.works().await;
    site.counted(&format!("{ENDED}\"expired\"}}")).await;
    goes.is_closed().await;
    stays.works().await;
}

#[tokio::test]
async fn a_reload_says_for_those_who_are_here_what_the_end_of_a_certificate_means() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&route(listen, &app, "close_expired: true"));
    let mut hour = Open::new(listen, &leaf(&here, "/hour", 3600), &app).await;
    let mut week = Open::new(listen, &leaf(&here, "/week", 7 * 86_400), &app).await;
    hour.works().await;
    // Switched off, it keeps who is over.
    site.routes(&route(listen, &app, "close_expired: false"));
    site.clock.0.store(7200, Ordering::SeqCst);
    site.passed().await;
    site.adopt(&leaf(&here, "/vm", 7 * 86_400), &[&here]);
    let mut other = Open::new(listen, &leaf(&here, "/other", 7 * 86_400), &app).await;
    for open in [&mut hour, &mut week, &mut other] {
        open.works().await;
    }
    // Switched on, it ends them.
    site.routes(&route(listen, &app, "close_expired: true"));
    hour.is_closed().await;
    week.works().await;
    other.works().await;
    site.counted(&format!("{ENDED}\"expired\"}}")).await;
}

#[tokio::test]
async fn a_clock_that_was_set_is_heard_of() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&route(listen, &app, "close_expired: true"));
    let mut hour = Open::new(listen, &leaf(&here, "/hour", 3600), &app).await;
    let mut week = Open::new(listen, &leaf(&here, "/week", 7 * 86_400), &app).await;
    hour.works().await;
    week.works().await;
    site.clock.0.store(7200, Ordering::SeqCst);
    (site.jump)();
    hour.is_closed().await;
    week.works().await;
}

#[tokio::test]
async fn a_certificate_that_ends_first_is_waited_for_whoever_came_before_it() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&route(listen, &app, "close_expired: true"));
    let mut week = Open::new(listen, &leaf(&here, "/week", 7 * 86_400), &app).await;
    week.works().await;
    let mut short = Open::new(listen, &leaf(&here, "/short", 2), &app).await;
    short.works().await;
    site.counted(&format!("{ENDED}\"expired\"}}")).await;
    short.is_closed().await;
    week.works().await;
}

#[tokio::test]
async fn a_peer_without_a_root_goes_while_its_route_drains() {
    let (here, there) = (World::new(HERE), World::new("there.test"));
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here, &there]);
    let listen = free();
    site.routes(&route(listen, &app, ""));
    let mut ours = Open::new(listen, &here.leaf("/a"), &app).await;
    let mut theirs = Open::new(listen, &there.leaf("/a"), &app).await;
    theirs.works().await;
    site.routes("  inbound: []");
    ours.works().await;
    theirs.works().await;
    site.adopt(&here.leaf("/vm"), &[&here]);
    theirs.is_closed().await;
    ours.works().await;
}

#[tokio::test]
async fn the_rules_of_a_route_that_is_back_hold_for_those_of_before() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&route(listen, &app, ""));
    let mut a = Open::new(listen, &here.leaf("/a"), &app).await;
    let mut b = Open::new(listen, &here.leaf("/b"), &app).await;
    b.works().await;
    site.routes("  inbound: []");
    site.routes(&route(free(), &app, "deny: [\"spiffe://here.test/b\"]"));
    b.is_closed().await;
    a.works().await;
}

#[tokio::test]
async fn a_peer_without_a_root_goes_while_mwid_stops() {
    let (here, there) = (World::new(HERE), World::new("there.test"));
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here, &there]);
    let listen = free();
    site.routes(&route(listen, &app, ""));
    let mut ours = Open::new(listen, &here.leaf("/a"), &app).await;
    let mut theirs = Open::new(listen, &there.leaf("/a"), &app).await;
    theirs.works().await;
    site.shutdown.ask();
    // As the daemon does: the proxy goes first, its connections last.
    let Site {
        proxy, mut writer, ..
    } = site;
    drop(proxy);
    theirs.works().await;
    writer.publish(proven(&here.leaf("/vm"), &[&here], &MovedClock::default()));
    theirs.is_closed().await;
    ours.works().await;
}

#[tokio::test]
async fn dry_run_tells_of_a_live_peer_once_for_each_verdict() {
    let here = World::new(HERE);
    let app = App::start().await;
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    let would = |site: &Site, reason: &str| {
        site.metric(&format!(
            "proxy_dry_run_refusals_total{{route=\"in\",reason=\"{reason}\"}}"
        ))
    };
    site.routes(&route(listen, &app, ""));
    let a = here.leaf("/a");
    let mut open = Open::new(listen, &a, &app).await;
    let mut too = Open::new(listen, &a, &app).await;
    open.works().await;
    too.works().await;
    let deny = "deny: [\"spiffe://here.test/a\"], dry_run: true";
    site.routes(&route(listen, &app, deny));
    site.passed().await;
    for _ in 0..3 {
        site.adopt(&here.leaf("/vm"), &[&here]);
        site.passed().await;
    }
    assert_eq!(would(&site, "denied").as_deref(), Some("1"));
    // A new connection is told of as each is, and not again afterwards.
    let mut new = Open::new(listen, &a, &app).await;
    new.works().await;
    site.adopt(&here.leaf("/vm"), &[&here]);
    site.passed().await;
    assert_eq!(would(&site, "denied").as_deref(), Some("2"));
    // Another verdict is news, and so is the same one when it was right to be here meanwhile.
    site.routes(&route(listen, &app, "").replace(
        "unsafe_allow_all: true",
        "allow: [\"spiffe://here.test/b\"], dry_run: true",
    ));
    site.passed().await;
    assert_eq!(would(&site, "no_rule").as_deref(), Some("1"));
    site.routes(&route(listen, &app, ""));
    site.passed().await;
    site.routes(&route(listen, &app, deny));
    site.passed().await;
    assert_eq!(would(&site, "denied").as_deref(), Some("3"));
    for open in [&mut open, &mut too, &mut new] {
        open.works().await;
    }
}

/// Who stays of so many peers with a leaf each, two trust domains and two routes, after each change, and how long those took to go whom it concerned.
async fn exactly(peers: usize) -> [Duration; 3] {
    let worlds = [World::new(HERE), World::new("there.test")];
    let app = App::start().await;
    let mut site = Site::new(&worlds[0], &[&worlds[0], &worlds[1]]);
    let listen = [free(), free()];
    // HTTP: nothing is dialled before there is a request.
    let routes = |more: &str| {
        let one = |name: &str, at: SocketAddr| {
            format!(
                "  - {{ name: {name}, listen: \"{at}\", forward: \"{}\", http: true, unsafe_allow_all: true, {more} }}\n",
                app.address
            )
        };
        format!("  inbound:\n{}{}", one("in", listen[0]), one("too", listen[1]))
    };
    site.routes(&routes(""));
    let mut here = Vec::new();
    for peer in 0..peers {
        let (world, route) = (peer % 2, peer / 2 % 2);
        let leaf = worlds[world].leaf(&format!("/{}/{peer}", peer % 3));
        let config = strangers::client(Some(&leaf), TLS13);
        let client = strangers::connect(listen[route], config).await.unwrap();
        here.push((world, peer, client));
    }
    for (name, at) in [("in", 0), ("too", 1)] {
        let wanted = u64::try_from((0..peers).filter(|peer| peer / 2 % 2 == at).count()).unwrap();
        site.wait(name, "all", |status| status.made == wanted).await;
    }
    let begun = tokio::time::Instant::now();
    site.routes(&routes(
        "deny: [\"spiffe://here.test/1/*\", \"spiffe://there.test/1/*\"]",
    ));
    let mut here = those_who_stay(here, |_, peer| peer % 3 != 1, &site).await;
    let by_rules = begun.elapsed();
    let begun = tokio::time::Instant::now();
    site.adopt(&worlds[0].leaf("/vm"), &[&worlds[0]]);
    here = those_who_stay(here, |world, _| world == 0, &site).await;
    let by_roots = begun.elapsed();
    assert!(!here.is_empty());
    let begun = tokio::time::Instant::now();
    let other = World::new(HERE);
    site.adopt(&other.leaf("/vm"), &[&other]);
    those_who_stay(here, |_, _| false, &site).await;
    [by_rules, by_roots, begun.elapsed()]
}

type Peers = Vec<(usize, usize, TlsStream<TcpStream>)>;

/// Waits until so many are left as may stay, and sees that it is they.
async fn those_who_stay(here: Peers, may: impl Fn(usize, usize) -> bool, site: &Site) -> Peers {
    let (stay, go): (Peers, Peers) = here.into_iter().partition(|(world, peer, _)| may(*world, *peer));
    let left = u64::try_from(stay.len()).unwrap();
    let open = || site.status("in").open + site.status("too").open;
    site.wait("in", "others gone", |_| open() == left).await;
    for (_, peer, mut client) in go {
        let read = tokio::time::timeout(PATIENCE, client.read(&mut [0])).await;
        assert!(read.unwrap().is_err(), "{peer} is still here");
    }
    for (_, peer, client) in &stay {
        // Whoever was sent away has an end or a reset to read.
        let (tcp, _) = client.get_ref();
        let read = tcp.try_read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(read, Err(std::io::ErrorKind::WouldBlock), "{peer}");
    }
    stay
}

#[tokio::test]
async fn a_change_ends_exactly_those_of_many_peers_whom_it_concerns() {
    exactly(60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints a measurement and judges nothing: .ci/run shows it"]
async fn how_long_a_change_takes_with_thousands_of_peers() {
    let [by_rules, by_roots, by_all] = exactly(5000).await;
    eprintln!(
        "5,000 peers: a third is gone after {by_rules:?} by rules, half of the others after {by_roots:?} by a trust domain that is gone, \
         the rest after {by_all:?} by another root"
    );
}

#[tokio::test]
async fn a_name_that_goes_to_the_other_side_is_another_route() {
    let (here, app) = (World::new(HERE), App::start().await);
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&route(listen, &app, ""));
    let mut open = Open::new(listen, &here.leaf("/a"), &app).await;
    site.routes(&format!(
        "  outbound:\n  - {{ name: in, listen: \"{}\", connect: \"{}\", expect: \"spiffe://here.test/else\" }}",
        free(),
        app.address
    ));
    site.passed().await;
    // Its time to leave has begun, and the rules on whom we connect to are not about it.
    open.works().await;
}

#[tokio::test]
async fn a_change_that_takes_no_root_saves_a_look_only_where_none_is_owed() {
    use super::super::decide::{Roots, concerned};
    use super::super::peers::NONE;
    let (here, app) = (World::new(HERE), App::start().await);
    let mut site = Site::new(&here, &[&here]);
    let listen = free();
    site.routes(&route(listen, &app, ""));
    let mut open = Open::new(listen, &here.leaf("/a"), &app).await;
    open.works().await;
    let generation = site.reader.generation();
    let roots = |later: u64| Roots {
        generation: generation + later,
        bundles: bundles(&[&here]),
    };
    let looks = async |site: &Site, vouched_by: u64| {
        let named = Arc::clone(&site.proxy.routes.borrow()[0].named);
        let known = named.peers.here().pop().unwrap();
        known.is_vouched_by(vouched_by);
        let owed = concerned(vec![(named, Arc::clone(&known))], &roots(0), &roots(1)).await;
        (owed.len(), known.was_vouched_by(generation + 1))
    };
    assert_eq!(looks(&site, generation).await, (0, true));
    // The change before this one, or a clock that was set, is not looked at yet.
    assert_eq!(looks(&site, NONE).await, (1, false));
    assert_eq!(looks(&site, generation + 7).await, (1, false));
    // Where the end of a root counts too.
    site.routes(&route(listen, &app, "close_expired: true"));
    assert_eq!(looks(&site, generation).await, (1, false));
    open.works().await;
}
