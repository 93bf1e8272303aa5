//! A server that follows a directory whose link is switched again and again, while clients handshake without a pause and other connections
//! stay open. Shared by the test, which fails when anything is lost, and the benchmark, which is for the times.

use mtls_identity::dir::{FollowOptions, Follower, follow};
use mtls_identity::tls::{Acceptor, Connector, TlsOptions};
use mtls_identity::{PeerPolicy, Prover, Reader, TrustDomain};
use rustls::crypto::aws_lc_rs;
use rustls::time_provider::DefaultTimeProvider;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::guest_agent::{Agent, Secrets};
use testkit::pki::World;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const TRUST_DOMAIN: &str = "rotation.test";
/// Clients that handshake in a closed loop.
const CLIENTS: usize = 4;
/// Connections that stay open from the first certificate to the last.
const HELD: usize = 8;
/// How often a held connection carries bytes.
const HELD_PAUSE: Duration = Duration::from_millis(5);
/// Nothing here takes so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// What happened.
pub(crate) struct Report {
    pub(crate) rotations: usize,
    pub(crate) handshakes: usize,
    /// Exchanges on connections that were open all the time.
    pub(crate) held_exchanges: usize,
    /// Handshakes or exchanges that failed, in words.
    pub(crate) failures: Vec<String>,
    /// From the switch of the link to the switch of the store, shortest first.
    proven: Vec<Duration>,
    /// From the switch of the link to the first finished handshake with the new certificate, shortest first.
    pub(crate) shown: Vec<Duration>,
    took: Duration,
}

/// The time that `percent` of the sorted times stay within.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted[(sorted.len() * percent / 100).min(last)]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rotations in {:.1} s, {CLIENTS} clients in a closed loop, {HELD} connections held open",
            self.rotations,
            self.took.as_secs_f64()
        )?;
        writeln!(
            f,
            "{} handshakes, {} exchanges on held connections, {} failures",
            self.handshakes,
            self.held_exchanges,
            self.failures.len()
        )?;
        write!(f, "from the switch of the link, in ms:")?;
        let measured = [
            ("the store has it", &self.proven),
            ("first handshake with the new certificate", &self.shown),
        ];
        for (what, times) in measured {
            let [p50, p90, p99, max] =
                [50, 90, 99, 100].map(|percent| percentile(times, percent).as_secs_f64() * 1e3);
            write!(
                f,
                "\n  {what}: p50 {p50:.2}, p90 {p90:.2}, p99 {p99:.2}, max {max:.2}"
            )?;
        }
        Ok(())
    }
}

/// What all tasks share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    handshakes: AtomicUsize,
    held_exchanges: AtomicUsize,
    failures: Mutex<Vec<String>>,
    /// When each leaf came into the store.
    proven: Mutex<HashMap<Vec<u8>, Instant>>,
    /// When each leaf was first shown to a client.
    first_seen: Mutex<HashMap<Vec<u8>, Instant>>,
    seen: Notify,
}

impl Shared {
    fn failed(&self, what: &str, error: &dyn std::error::Error) {
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.failures.lock().unwrap().push(text);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn first_seen(&self, leaf: &[u8]) -> Instant {
        loop {
            let news = self.seen.notified();
            if let Some(at) = self.first_seen.lock().unwrap().remove(leaf) {
                return at;
            }
            news.await;
        }
    }
}

/// Switches the link `rotations` times and waits each time until a handshake shows the new certificate.
pub(crate) async fn run(rotations: usize) -> Report {
    let parent = tempfile::tempdir().unwrap();
    let mut platform = Platform {
        secrets: Secrets::new(parent.path()),
        world: World::new(TRUST_DOMAIN),
    };
    platform.rotate(Agent::Legacy);
    let (reader, follower) = follow_dir(&platform.secrets.link());
    let shared = Arc::new(Shared::default());
    let address = serve(&reader, &shared).await;
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        tasks.spawn(handshake_again_and_again(
            connector(&reader),
            address,
            Arc::clone(&shared),
        ));
    }
    for _ in 0..HELD {
        tasks.spawn(hold_open(connector(&reader), address, Arc::clone(&shared)));
    }
    let started = Instant::now();
    tokio::spawn(note_generations(reader.clone(), Arc::clone(&shared)));
    let (mut proven, mut shown) = rotate(&mut platform, &shared, &follower, rotations).await;
    let took = started.elapsed();
    shared.stop.store(true, Ordering::Relaxed);
    tokio::time::timeout(STUCK, async { while tasks.join_next().await.is_some() {} })
        .await
        .unwrap();
    proven.sort();
    shown.sort();
    let failures = std::mem::take(&mut *shared.failures.lock().unwrap());
    let handshakes = shared.handshakes.load(Ordering::Relaxed);
    let held_exchanges = shared.held_exchanges.load(Ordering::Relaxed);
    Report {
        rotations,
        handshakes,
        held_exchanges,
        failures,
        proven,
        shown,
        took,
    }
}

/// Rotates, each time after the one before was shown. Returns how soon the store had each, and how soon it was shown.
async fn rotate(
    platform: &mut Platform,
    shared: &Shared,
    follower: &Follower,
    rotations: usize,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut proven, mut shown) = (vec![], vec![]);
    for rotation in 0..rotations {
        let agent = if rotation % 2 == 0 {
            Agent::Current
        } else {
            Agent::Legacy
        };
        let (leaf, switched) = platform.rotate(agent);
        let seen = tokio::time::timeout(STUCK, shared.first_seen(&leaf)).await;
        let trouble = || format!("{:?}", follower.status().borrow().trouble());
        assert!(seen.is_ok(), "rotation {rotation} was not seen: {}", trouble());
        shown.push(seen.unwrap() - switched);
        // Whoever notes the generations may be woken after the first handshake; what it misses is no figure.
        proven.extend(
            shared
                .proven
                .lock()
                .unwrap()
                .remove(&leaf)
                .map(|at| at - switched),
        );
    }
    (proven, shown)
}

/// The platform's side: certificates, and the agent that replaces them.
struct Platform {
    secrets: Secrets,
    world: World,
}

impl Platform {
    /// Puts a new key and certificate in place. Returns the leaf, and when the link was switched.
    fn rotate(&mut self, agent: Agent) -> (Vec<u8>, Instant) {
        let leaf = self.world.leaf("/both");
        let files = [
            ("certificates.pem", leaf.chain_pem.as_bytes()),
            ("private_key.pem", leaf.key_pem.as_bytes()),
            ("ca_certificates.pem", self.world.root.cert_pem.as_bytes()),
        ];
        self.secrets.replace(agent, &files);
        (leaf.leaf_der, self.secrets.switched.unwrap())
    }
}

fn follow_dir(link: &Path) -> (Reader, Follower) {
    let prover = Prover::new(Arc::new(aws_lc_rs::default_provider()));
    let (reader, follower) = follow(link, FollowOptions::new(prover, Arc::new(DefaultTimeProvider))).unwrap();
    assert_eq!(
        reader.generation(),
        1,
        "{:?}",
        follower.status().borrow().trouble()
    );
    (reader, follower)
}

fn options() -> TlsOptions {
    TlsOptions::new(
        Arc::new(aws_lc_rs::default_provider()),
        Arc::new(DefaultTimeProvider),
    )
}

fn policy() -> PeerPolicy {
    PeerPolicy::nobody().allow(TrustDomain::parse(TRUST_DOMAIN).unwrap())
}

fn connector(reader: &Reader) -> Connector {
    Connector::new(reader.clone(), &options(), policy()).unwrap()
}

/// A server that sends back what it gets.
async fn serve(reader: &Reader, shared: &Arc<Shared>) -> SocketAddr {
    let acceptor = Acceptor::new(reader.clone(), &options(), policy()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                match acceptor.accept(tcp).await {
                    Ok((stream, _peer)) => {
                        let (mut from, mut to) = tokio::io::split(stream);
                        if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
                            shared.failed("server, connection", &error);
                        }
                    }
                    Err(error) => shared.failed("server, handshake", &error),
                }
            });
        }
    });
    address
}

async fn note_generations(mut reader: Reader, shared: Arc<Shared>) {
    while let Some(identity) = reader.changed().await {
        let now = Instant::now();
        shared
            .proven
            .lock()
            .unwrap()
            .insert(identity.chain()[0].to_vec(), now);
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, number: usize) -> std::io::Result<()> {
    let sent = number.to_be_bytes();
    stream.write_all(&sent).await?;
    stream.flush().await?;
    let mut got = [0; size_of::<usize>()];
    stream.read_exact(&mut got).await?;
    if got == sent {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("{got:?} came back for {sent:?}")))
    }
}

/// Without Nagle's algorithm: what follows the handshake would wait for the acknowledgement of its last flight, up to 40 ms.
async fn connect(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

async fn handshake_again_and_again(connector: Connector, address: SocketAddr, shared: Arc<Shared>) {
    let mut number = 0;
    while !shared.stopped() {
        number += 1;
        let tcp = connect(address).await;
        match connector.connect(tcp).await {
            Ok((mut stream, peer)) => {
                let now = Instant::now();
                shared.handshakes.fetch_add(1, Ordering::Relaxed);
                let leaf = peer.chain()[0].to_vec();
                shared.first_seen.lock().unwrap().entry(leaf).or_insert(now);
                shared.seen.notify_waiters();
                // The server's verdict on the client's certificate shows only now.
                if let Err(error) = exchange(&mut stream, number).await {
                    shared.failed("client, first exchange", &error);
                }
                drop(stream.shutdown().await);
            }
            Err(error) => shared.failed("client, handshake", &error),
        }
    }
}

async fn hold_open(connector: Connector, address: SocketAddr, shared: Arc<Shared>) {
    let tcp = connect(address).await;
    let (mut stream, _peer) = connector.connect(tcp).await.unwrap();
    let mut pause = tokio::time::interval(HELD_PAUSE);
    let mut number = 0;
    // One more after the stop: the connection lives on beyond the last rotation.
    loop {
        let last = shared.stopped();
        number += 1;
        if let Err(error) = exchange(&mut stream, number).await {
            return shared.failed("held connection", &error);
        }
        shared.held_exchanges.fetch_add(1, Ordering::Relaxed);
        if last {
            drop(stream.shutdown().await);
            return;
        }
        pause.tick().await;
    }
}
