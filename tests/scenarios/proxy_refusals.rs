//! Who is refused at a route of the proxy: each by a line of the log and by a metric, with the reason that is its own, and never a byte goes on.
use crate::daemon::{DOMAIN, Daemon, PATH, Place};
use crate::mtls::{self, Offer};
use crate::tokens::free_address;
use crate::user::{as_user, can_be_others};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConnection, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::pki::{Leaf, LeafSpec, Validity, World};

const PATIENCE: Duration = Duration::from_secs(20);
/// A user whom no rule names.
const BOB: u32 = 4_000_001;
/// A user who may use the route `out`.
const ALICE: u32 = 4_000_000;

/// The daemon with a route in each direction.
struct Site {
    place: Place,
    daemon: Daemon,
    inbound: SocketAddr,
    outbound: SocketAddr,
    /// Behind `inbound`.
    app: TcpListener,
    /// Behind `outbound`.
    remote: TcpListener,
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

impl Site {
    fn new() -> Self {
        Self::with("max_handshakes: 256")
    }

    /// With this said of the outbound route.
    fn with(more: &str) -> Self {
        let (mut place, app, remote) = (Place::new(), listener(), listener());
        let (inbound, outbound) = (free_address(), free_address());
        place.config(&format!(
            "proxy:\n  inbound:\n  - {{ name: in, listen: \"{inbound}\", forward: \"{}\", allow: [\"spiffe://{DOMAIN}/ns/shop/sa/*\"] }}\n\
             \x20 outbound:\n  - {{ name: out, listen: \"{outbound}\", connect: \"{}\", expect: \"spiffe://{DOMAIN}/ns/bank/sa/ledger\", {more} }}\n\
             access: [{{ who: {{ uid: {ALICE} }}, may: {{ routes: [out] }} }}]\n",
            app.local_addr().unwrap(),
            remote.local_addr().unwrap()
        ));
        place.deliver_good();
        let mut daemon = place.start();
        daemon.wait_ready();
        Self {
            place,
            daemon,
            inbound,
            outbound,
            app,
            remote,
        }
    }

    fn metrics(&self) -> String {
        self.daemon.get("/metrics").unwrap().body
    }

    fn count(&self, route: &str, reason: &str) -> u64 {
        let metrics = self.metrics();
        let line = format!("mwid_proxy_handshakes_total{{route=\"{route}\",reason=\"{reason}\"}} ");
        let found = metrics.lines().find_map(|one| one.strip_prefix(&line));
        found.map_or(0, |count| count.parse().unwrap())
    }

    /// Does something that is refused: one line and one count more, with this reason.
    fn refuses(&mut self, what: &str, route: &str, reason: &str, act: impl FnOnce(&Self)) {
        let (counted, written) = (self.count(route, reason), self.daemon.log().len());
        act(self);
        let begun = Instant::now();
        let lines = loop {
            let log = self.daemon.log();
            let refusals = log[written..].lines().filter(|one| {
                one.contains("connection refused: ") && one.contains(&format!(" route={route} "))
            });
            let refusals: Vec<_> = refusals.map(str::to_owned).collect();
            if !refusals.is_empty() {
                break refusals;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: no line in\n{log}");
            std::thread::sleep(Duration::from_millis(2));
        };
        assert_eq!(lines.len(), 1, "{what}: {lines:?}");
        let has = lines[0].split(' ').any(|word| word == format!("reason={reason}"));
        assert!(has, "{what}: {reason} is not in {}", lines[0]);
        assert_eq!(self.count(route, reason), counted + 1, "{what}");
        let last = self.last_refusal(route);
        assert!(last.starts_with(&format!("{reason}: ")), "{what}: {last}");
    }

    /// As the status tells it.
    fn last_refusal(&self, route: &str) -> String {
        let status = self.daemon.status().unwrap();
        let routes = status["routes"].as_array().unwrap();
        let route = routes.iter().find(|one| one["name"] == route).unwrap();
        route["last_refusal"]["text"].as_str().unwrap().to_owned()
    }

    /// The same of a client of the inbound route, who also gets to read nothing; nor does the application.
    fn refuses_client(&mut self, what: &str, reason: &str, config: &Arc<ClientConfig>) {
        self.refuses(what, "in", reason, |site| {
            let mut client = client(site.inbound, config);
            client.write_all(b"ping").ok();
            let mut got = vec![];
            client.read_to_end(&mut got).ok();
            assert_eq!(got, b"", "{what}");
        });
        self.app.set_nonblocking(true).unwrap();
        let nobody = self.app.accept().err().map(|e| e.kind());
        assert_eq!(nobody, Some(ErrorKind::WouldBlock), "{what}");
    }
}

fn client(to: SocketAddr, config: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let tcp = TcpStream::connect(to).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let tls = ClientConnection::new(Arc::clone(config), mtls::nobody()).unwrap();
    StreamOwned::new(tls, tcp)
}

fn odd(world: &World, change: impl FnOnce(&mut LeafSpec)) -> Leaf {
    let mut spec = LeafSpec::new(&format!("spiffe://{DOMAIN}{PATH}"));
    change(&mut spec);
    world.leaf_of(&spec)
}

#[test]
fn each_client_who_may_not_in_is_refused_by_its_own_reason() {
    let mut site = Site::new();
    let world = &site.place.world;
    let valid = |from, to| odd(world, |spec| spec.validity = Validity { from, to });
    let leaves = [
        ("other root", odd(&World::new(DOMAIN), |_| {}), "bad_signature"),
        (
            "right root, other trust domain",
            odd(world, |spec| {
                spec.uris = vec!["spiffe://other.test/ns/shop/sa/payments".to_owned()];
            }),
            "unknown_trust_domain",
        ),
        (
            "two URI SANs",
            odd(world, |spec| spec.uris.push(format!("spiffe://{DOMAIN}/other"))),
            "not_an_svid",
        ),
        ("ID not allowed", world.leaf("/ns/other/sa/payments"), "no_rule"),
        ("expired", valid(-7200, -3600), "expired"),
        ("not yet valid", valid(3600, 7200), "not_yet_valid"),
        (
            "CA as leaf",
            odd(world, |spec| {
                spec.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            "not_an_svid",
        ),
        (
            "wrong EKU",
            odd(world, |spec| {
                spec.ekus = vec![ExtendedKeyUsagePurpose::CodeSigning];
            }),
            "wrong_usage",
        ),
    ];
    let good = world.leaf(PATH);
    for (what, leaf, reason) in &leaves {
        let config = mtls::client(Some(leaf), Offer::default());
        site.refuses_client(what, reason, &config);
    }
    let nothing = mtls::client(None, Offer::default());
    site.refuses_client("no certificate", "no_certificate", &nothing);
    let offer = Offer {
        tls12: true,
        ..Offer::default()
    };
    site.refuses_client("TLS 1.2", "tls_version", &mtls::client(Some(&good), offer));
    site.refuses("plaintext", "in", "not_tls", |site| {
        let mut tcp = TcpStream::connect(site.inbound).unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        tcp.read_to_end(&mut vec![]).ok();
    });
    // Each that was refused is one that the metrics tell of.
    assert_eq!(site.count("in", "ok"), 0);
    site.daemon.stop();
}

/// A TLS server that gives tickets and takes them.
struct Resumes(SocketAddr);

impl Resumes {
    fn start(leaf: &Leaf) -> Self {
        let (listener, config) = (listener(), mtls::server(leaf));
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let mut tls =
                    StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp.unwrap());
                tls.write_all(b"pong").unwrap();
                // Until the other side has read it.
                tls.read_to_end(&mut vec![]).ok();
            }
        });
        Self(address)
    }

    fn handshake(&self, config: &Arc<ClientConfig>) -> HandshakeKind {
        let mut client = client(self.0, config);
        // The tickets come before it.
        client.read_exact(&mut [0; 4]).unwrap();
        client.conn.handshake_kind().unwrap()
    }
}

#[test]
fn nobody_resumes_and_who_asks_is_told_of() {
    let mut site = Site::new();
    let offer = Offer {
        resumes: true,
        ..Offer::default()
    };
    let config = mtls::client(Some(&site.place.world.leaf(PATH)), offer);
    // Of another server, whose tickets it will offer to mwid: that it does, the other sees.
    let other = Resumes::start(&site.place.world.leaf(PATH));
    assert_eq!(other.handshake(&config), HandshakeKind::Full);
    assert_eq!(other.handshake(&config), HandshakeKind::Resumed);
    for made in 1..=3 {
        let mut client = client(site.inbound, &config);
        client.write_all(b"ping").unwrap();
        let (mut app, _) = site.app.accept().unwrap();
        let mut got = [0; 4];
        app.read_exact(&mut got).unwrap();
        app.write_all(&got).unwrap();
        // What the server has to give comes before this.
        client.read_exact(&mut got).unwrap();
        assert_eq!(client.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.conn.tls13_tickets_received(), 0);
        assert_eq!(site.count("in", "ok"), made);
    }
    let metrics = site.daemon.get("/metrics").unwrap().body;
    let told = "mwid_proxy_resumptions_refused_total{route=\"in\"} ";
    let told = metrics.lines().find_map(|line| line.strip_prefix(told));
    let offered: usize = told.expect(&metrics).parse().unwrap();
    assert!(
        (1..=3).contains(&offered),
        "{offered}: it has no more tickets than it was given"
    );
    let line = |log: &str| {
        log.lines()
            .filter(|line| line.contains("resumption refused"))
            .count()
    };
    site.daemon
        .wait_for("its lines", |daemon| line(&daemon.log()) == offered);
    let log = site.daemon.log();
    assert!(log.contains("reason=resumption"), "{log}");
    site.daemon.stop();
}

#[test]
fn a_target_that_is_another_is_refused_by_its_reason() {
    let mut site = Site::new();
    let other = mtls::server(&site.place.world.leaf("/ns/bank/sa/other"));
    site.refuses("another ID", "out", "no_rule", |site| {
        let mut caller = TcpStream::connect(site.outbound).unwrap();
        caller.write_all(b"secret").unwrap();
        let (tcp, _) = site.remote.accept().unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&other)).unwrap(), tcp);
        let mut got = vec![];
        tls.read_to_end(&mut got).ok();
        assert_eq!(got, b"", "the other got to read");
        assert!(caller.read(&mut [0]).is_err(), "a refusal is no end");
    });
    site.daemon.stop();
}

#[test]
fn a_target_that_speaks_before_our_hello_is_refused_by_its_reason() {
    let mut site = Site::with("max_handshakes: 1");
    let ledger = mtls::server(&site.place.world.leaf("/ns/bank/sa/ledger"));
    site.refuses("spoke first", "out", "spoke_first", |site| {
        // Has the only place, until it answers: nobody else is said hello to before.
        let first = TcpStream::connect(site.outbound).unwrap();
        let (silent, _) = site.remote.accept().unwrap();
        silent.peek(&mut [0]).unwrap();
        let mut caller = TcpStream::connect(site.outbound).unwrap();
        caller.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut tcp, _) = site.remote.accept().unwrap();
        tcp.write_all(b"220 injected\r\n").unwrap();
        let full = "mwid_proxy_full_total{route=\"out\",of=\"handshakes\"} 1";
        let begun = Instant::now();
        while !site.metrics().lines().any(|line| line == full) {
            assert!(begun.elapsed() < PATIENCE, "nobody waits for a place");
            std::thread::sleep(Duration::from_millis(2));
        }
        let mut right = StreamOwned::new(ServerConnection::new(ledger).unwrap(), silent);
        right.write_all(b"pong").unwrap();
        let mut got = vec![];
        let end = caller.read_to_end(&mut got).err().map(|e| e.kind());
        assert_eq!(end, Some(ErrorKind::ConnectionReset), "a refusal is no end");
        assert_eq!(got, b"", "its words went on");
        tcp.read_to_end(&mut got).ok();
        assert_eq!(got, b"", "it was said hello to");
        drop(first);
    });
    assert_eq!(site.count("out", "ok"), 1, "the first");
    site.daemon.stop();
}

#[test]
fn a_caller_without_a_grant_is_refused_by_its_reason() {
    if !can_be_others("a_caller_without_a_grant") {
        return;
    }
    let mut site = Site::new();
    site.refuses("no grant", "out", "caller", |site| {
        let to = site.outbound;
        as_user(BOB, BOB, &[], || {
            let mut caller = TcpStream::connect(to).unwrap();
            caller.write_all(b"secret").ok();
            // Reset or closed: the bytes may have come after the refusal.
            assert!(!matches!(caller.read(&mut [0]), Ok(1..)));
        });
        site.remote.set_nonblocking(true).unwrap();
        assert!(site.remote.accept().is_err(), "the target was dialled");
    });
    site.daemon.stop();
}
