//! Routes in one process, on real sockets, with peers that are not made of this room's code.
mod again;
mod callers;
mod change;
mod copying;
mod headers;
mod http;
mod limits;
mod moving;
mod passed;
mod refusals;
mod sealing;
mod strangers;
mod streams;
mod targets;
mod transport;

use super::*;
use crate::caller::Rules as CallerRules;
use crate::config;
use crate::health::status::RouteStatus;
use mtls_identity::candidate::{Candidate, CandidateBundles};
use mtls_identity::{IdentitySnapshot, Prover, TrustBundle, TrustBundles, TrustDomain, UnixTime, Writer};
use pki_types::CertificateDer;
use prometheus_client::registry::Registry;
use rustls::crypto::aws_lc_rs;
use rustls::time_provider::TimeProvider;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use testkit::pki::{Leaf, World};
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

/// The trust domain of most tests.
const HERE: &str = "here.test";

/// Longer than anything here takes; only a broken test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Real time, moved by as many seconds as a test wants.
#[derive(Debug, Default)]
struct MovedClock(AtomicI64);

impl TimeProvider for MovedClock {
    fn current_time(&self) -> Option<UnixTime> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the test certificates are valid around the real now"
        )]
        let now = UnixTime::now().as_secs();
        let moved = now.saturating_add_signed(self.0.load(Ordering::SeqCst));
        Some(UnixTime::since_unix_epoch(Duration::from_secs(moved)))
    }
}

/// The proxy of one machine, with the identity `/vm` of a trust domain.
struct Site {
    proxy: Proxy,
    writer: Writer,
    reader: Reader,
    clock: Arc<MovedClock>,
    access: Access,
    registry: Registry,
    shutdown: Shutdown,
    /// Says that the clock was set.
    jump: Box<dyn Fn()>,
}

fn bundles(worlds: &[&World]) -> TrustBundles {
    let mut bundles = TrustBundles::default();
    for world in worlds {
        let root = CertificateDer::from(world.root_der().to_vec());
        let domain = TrustDomain::parse(&world.root.trust_domain).unwrap();
        bundles
            .insert(TrustBundle::from_roots(domain, vec![root]).unwrap())
            .unwrap();
    }
    bundles
}

fn proven(leaf: &Leaf, worlds: &[&World], clock: &MovedClock) -> IdentitySnapshot {
    let candidate = Candidate {
        certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
        private_key_pem: Zeroizing::new(leaf.key_pem.clone().into_bytes()),
        bundles: CandidateBundles::Parsed(bundles(worlds)),
    };
    let now = clock.current_time().unwrap();
    Prover::new(provider()).prove(&candidate, now).unwrap()
}

impl Site {
    /// With an identity of `world`, trusting `worlds`.
    fn new(world: &World, worlds: &[&World]) -> Self {
        Self::with(world, worlds, &Passed::default())
    }

    /// And sockets from systemd.
    fn with(world: &World, worlds: &[&World], passed: &Passed) -> Self {
        let (writer, reader) = mtls_identity::store();
        let clock = Arc::new(MovedClock::default());
        let access = Access::default();
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let shutdown = Shutdown::default();
        let (jumps, jump) = ClockJumps::at_hand();
        let proxy = Proxy::new(Context {
            reader: reader.clone(),
            clock: clock.clone(),
            jumps,
            provider: provider(),
            access: access.clone(),
            metrics,
            passed: passed.clone(),
            shutdown: shutdown.clone(),
        });
        let mut site = Self {
            proxy,
            writer,
            reader,
            clock,
            access,
            registry,
            shutdown,
            jump: Box::new(jump),
        };
        site.adopt(&world.leaf("/vm"), worlds);
        site
    }

    fn adopt(&mut self, leaf: &Leaf, worlds: &[&World]) {
        self.writer.publish(proven(leaf, worlds, &self.clock));
    }

    /// Puts routes in force, as the file would say them.
    fn routes(&mut self, proxy: &str) {
        let settings = settings(&format!("proxy:\n{proxy}"));
        let change = self.proxy.prepare(&settings.proxy).unwrap();
        self.proxy.apply(Proxy::place(change).unwrap());
    }

    /// Puts one outbound route in force, `out` to this remote, which is to show `/ok`. Tells where it listens.
    fn outbound(&mut self, remote: &App) -> SocketAddr {
        let listen = free();
        let connect = remote.address;
        self.routes(&format!(
            "  outbound:\n  - {{ name: out, listen: \"{listen}\", connect: \"{connect}\", expect: \"spiffe://here.test/ok\" }}"
        ));
        listen
    }

    /// Puts one access rule in force: this user may use the route `out`.
    fn lets_out(&self, uid: u32) {
        let text = format!(
            "proxy: {{ outbound: [{{ name: out, listen: \"127.0.0.1:1\", connect: \"127.0.0.1:2\", expect: \"spiffe://here.test/ok\" }}] }}\n\
             access: [{{ who: {{ uid: {uid} }}, may: {{ routes: [out] }} }}]"
        );
        let rules: CallerRules = Access::prepare(&settings(&text).access, true).unwrap();
        self.access.replace(rules);
    }

    fn status(&self, route: &str) -> RouteStatus {
        let all = self.proxy.routes().status();
        all.into_iter().find(|one| one.name == route).unwrap()
    }

    /// Waits until the status of a route is as wanted.
    async fn wait(&self, route: &str, what: &str, is_it: impl Fn(&RouteStatus) -> bool) {
        let looked = tokio::time::timeout(PATIENCE, async {
            while !is_it(&self.status(route)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let waited = looked.await;
        assert!(waited.is_ok(), "no {what}: {:?}", self.status(route));
    }

    /// Waits for the first refusal, and returns its reason.
    async fn refusal(&self, route: &str) -> String {
        self.wait(route, "refusal", |status| status.last_refusal.is_some())
            .await;
        let text = self.status(route).last_refusal.unwrap().text;
        text.split_once(':').unwrap().0.to_owned()
    }

    /// The value of one line of the metrics.
    fn metric(&self, line: &str) -> Option<String> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let found = text
            .lines()
            .find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
        found.map(str::to_owned)
    }

    /// Waits for a line of the metrics.
    async fn counted(&self, line: &str) {
        let looked = tokio::time::timeout(PATIENCE, async {
            while self.metric(line).is_none() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(looked.await.is_ok(), "{line} was never counted");
    }
}

fn settings(text: &str) -> config::Settings {
    config::parse(text, Path::new("test.yaml")).unwrap()
}

/// A port that nobody has.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// An application that nobody has connected to yet.
struct App {
    listener: TcpListener,
    address: SocketAddr,
}

impl App {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Takes the next connection as a TLS server that shows `leaf`.
    async fn accept_tls(&self, leaf: &Leaf) -> tokio_rustls::server::TlsStream<TcpStream> {
        let tcp = self.accept().await;
        let served = strangers::server(leaf, strangers::TLS13).accept(tcp);
        served.await.unwrap()
    }

    async fn accept(&self) -> TcpStream {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept());
        accepted.await.expect("nobody came").unwrap().0
    }
}

/// A target whose queue is full: a dial to it does not end.
struct Full {
    app: App,
    _queue: [TcpStream; 2],
}

impl Full {
    async fn start() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // The kernel takes one more than it is told.
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = async || TcpStream::connect(address).await.unwrap();
        Self {
            app: App { listener, address },
            _queue: [connect().await, connect().await],
        }
    }

    /// Waits until somebody dials it: a socket of ours is in SYN_SENT.
    async fn is_dialled(&self) {
        let dialling = format!(":{:04X} 02 ", self.app.address.port());
        let looked = tokio::time::timeout(PATIENCE, async {
            while !std::fs::read_to_string("/proc/self/net/tcp")
                .unwrap()
                .contains(&dialling)
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(looked.await.is_ok(), "nobody dials");
    }
}
