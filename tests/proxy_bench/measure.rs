//! The measurements.
use crate::Settings;
use crate::daemon::Place;
use crate::load::{self, Caller, Held, Seen};
use crate::mtls::Offer;
use crate::server::{self, Process, Server};
use crate::table::{Table, median};
use crate::wire::Wire;
use rustls::CipherSuite;
use rustls::crypto::aws_lc_rs::kx_group;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use testkit::pki::Leaf;
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, LocalSet};

const CALLER: &str = "/ns/shop/sa/caller";
/// More peers than the daemon remembers: whoever's turn it is was forgotten.
const STRANGERS: usize = 1024;
/// Callers in a closed loop.
const CALLERS: usize = 16;
/// Fewer while certificates are replaced: each is to be seen soon.
const CALLERS_OF_REPLACEMENTS: usize = 4;
/// Connections that stay open meanwhile.
const HELD: usize = 100;
/// Between two replacements.
const PAUSE: Duration = Duration::from_millis(150);
/// So many round trips before the other server has its turn.
const BLOCK: usize = 200;

pub(crate) struct Bench {
    settings: Settings,
    place: Place,
    client: Leaf,
    /// The daemon, the floor.
    servers: [Server; 2],
    runtime: Runtime,
    pub(crate) table: Table,
    /// Connections that failed or were dropped.
    pub(crate) lost: Vec<String>,
    /// Where the application is.
    to: SocketAddr,
    /// Whether servers have a processor of their own.
    pin: bool,
    _application: Process,
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 of each")]
fn per(used: Duration, count: u64) -> f64 {
    used.as_secs_f64() / count as f64
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 of each")]
fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

impl Bench {
    pub(crate) fn new(settings: Settings) -> Self {
        let pin = server::pin_load();
        let (application, to) = Process::application();
        let mut place = Place::new();
        let client = place.world.leaf(CALLER);
        let servers = [Server::mwid(&mut place, to, pin), Server::floor(&place, to, pin)];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        println!(
            "{} rounds of {:?}{}; medians",
            settings.rounds,
            settings.time,
            if pin {
                ", proxies on the first processor, load on the second"
            } else {
                ", NOT on processors of their own"
            }
        );
        Self {
            settings,
            place,
            client,
            servers,
            runtime,
            table: Table::default(),
            lost: vec![],
            to,
            pin,
            _application: application,
        }
    }

    fn caller(&self, server: &Server, offer: Offer) -> Caller {
        Caller::new(std::slice::from_ref(&self.client), offer, server.address)
    }

    /// Both servers, each first in every other round.
    fn in_turn(&self, round: usize) -> [&Server; 2] {
        let [daemon, floor] = &self.servers;
        match round % 2 {
            0 => [daemon, floor],
            _ => [floor, daemon],
        }
    }

    pub(crate) fn handshakes(&mut self) {
        let (mut table, mut lost) = (Table::default(), vec![]);
        let groups = [
            ("X25519", kx_group::X25519),
            ("X25519MLKEM768", kx_group::X25519MLKEM768),
        ];
        let known = vec![self.client.clone()];
        let strangers = (0..STRANGERS).map(|_| self.place.world.leaf(CALLER)).collect();
        let peers: [(&str, Vec<Leaf>); 2] = [("one peer", known), ("a peer each", strangers)];
        let each = groups
            .iter()
            .flat_map(|group| peers.iter().map(move |peers| (group, peers)));
        for round in 0..self.settings.rounds {
            for ((name, group), (whose, leaves)) in each.clone() {
                let offer = Offer {
                    group: Some(*group),
                    ..Offer::default()
                };
                for server in self.in_turn(round) {
                    let caller = Caller::new(leaves, offer, server.address);
                    let taken = load::handshakes(&caller, CALLERS, self.settings.time, || server.cpu());
                    let local = LocalSet::new();
                    let (made, failed, used) = self.runtime.block_on(local.run_until(taken));
                    let what = format!("connection with {name}, {whose}, CPU us");
                    table.add(&what, server.name, per(used, made) * 1e6);
                    lost.extend(failed.iter().map(|why| format!("{}, {name}: {why}", server.name)));
                }
            }
        }
        self.table = table;
        self.lost.extend(lost);
    }

    pub(crate) fn bulk(&mut self) {
        let mut table = Table::default();
        let suites = [
            ("AES-128", CipherSuite::TLS13_AES_128_GCM_SHA256),
            ("AES-256", CipherSuite::TLS13_AES_256_GCM_SHA384),
        ];
        for round in 0..self.settings.rounds {
            for (name, suite) in suites {
                for (direction, up) in [("from the peer", true), ("to the peer", false)] {
                    for server in self.in_turn(round) {
                        let offer = Offer {
                            suite: Some(suite),
                            ..Offer::default()
                        };
                        let mut wire = Wire::open(&self.caller(server, offer));
                        wire.bulk(up, Duration::ZERO);
                        let before = server.cpu();
                        let bytes = wire.bulk(up, self.settings.time);
                        let used = server.cpu() - before;
                        let what = format!("GB {direction}, {name}, CPU ms");
                        table.add(&what, server.name, per(used, bytes) * 1e9 * 1e3);
                    }
                }
            }
        }
        self.table = table;
    }

    pub(crate) fn round_trips(&mut self) {
        let mut table = Table::default();
        for round in 0..self.settings.rounds {
            let servers = self.in_turn(round);
            let open = |server: &Server| Wire::open(&self.caller(server, Offer::default()));
            let mut wires = servers.map(open);
            let mut took: [Vec<f64>; 2] = Default::default();
            let began = Instant::now();
            while began.elapsed() < self.settings.time * 2 {
                for (wire, took) in wires.iter_mut().zip(&mut took) {
                    let block = wire.round_trips(1024, BLOCK);
                    took.extend(block.iter().map(|one| one.as_secs_f64() * 1e6));
                }
            }
            for (server, took) in servers.iter().zip(&mut took) {
                table.add("round trip of 1 KiB, p50 us", server.name, median(took));
            }
        }
        self.table = table;
    }

    pub(crate) fn idle(&mut self) {
        let count = self.settings.connections;
        println!("  {count} connections");
        let (mut table, mut lost) = (Table::default(), vec![]);
        for round in 0..self.settings.rounds {
            // New ones each time: memory that was used once is not asked for again.
            let mut place = Place::new();
            let daemon = Server::mwid(&mut place, self.to, self.pin);
            let floor = Server::floor(&place, self.to, self.pin);
            let mut servers = [daemon, floor];
            if round % 2 == 1 {
                servers.reverse();
            }
            for server in &servers {
                let client = [place.world.leaf(CALLER)];
                let caller = Caller::new(&client, Offer::default(), server.address);
                let local = LocalSet::new();
                let taken = idle(server, &caller, count, &mut lost);
                let [before, during, after] = self.runtime.block_on(local.run_until(taken));
                let each = mb(during.saturating_sub(before)) * 1e6 / f64::from(u32::try_from(count).unwrap());
                table.add("idle connection, bytes (RssAnon)", server.name, each);
                table.add("RssAnon before, MB", server.name, mb(before));
                table.add("RssAnon with all of them, MB", server.name, mb(during));
                table.add("RssAnon after their end, MB", server.name, mb(after));
            }
        }
        self.table = table;
        self.lost.extend(lost);
    }

    pub(crate) fn replacements(&mut self) {
        let caller = self.caller(&self.servers[0], Offer::default());
        let leaves: Vec<_> = (0..self.settings.replacements)
            .map(|_| self.place.world.leaf(crate::daemon::PATH))
            .collect();
        let taken = replaced(&self.servers[0], &mut self.place, &caller, &leaves);
        let lost = self.runtime.block_on(LocalSet::new().run_until(taken));
        self.lost.extend(lost);
    }
}

/// RssAnon before so many connections, with them, and after their end.
async fn idle(server: &Server, caller: &Caller, count: usize, lost: &mut Vec<String>) -> [u64; 3] {
    // What the first connections bring about once is no connection's.
    Held::open(caller, 64).await.close().await;
    let before = settled(server).await;
    let mut held = Held::open(caller, count).await;
    let during = settled(server).await;
    lost.extend(
        held.failed
            .drain(..)
            .map(|why| format!("{}, idle: {why}", server.name)),
    );
    held.close().await;
    let after = settled(server).await;
    [before, during, after]
}

/// Memory once it does not fall any more.
async fn settled(server: &Server) -> u64 {
    let mut least = server.memory();
    let mut still = 0;
    while still < 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = server.memory();
        still = if now < least { 0 } else { still + 1 };
        least = least.min(now);
    }
    least
}

/// Certificates replaced under load. Prints what came of it, and tells what was lost.
async fn replaced(server: &Server, place: &mut Place, caller: &Caller, leaves: &[Leaf]) -> Vec<String> {
    let seen = Rc::new(Seen::default());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS_OF_REPLACEMENTS {
        callers.spawn_local(caller.clone().in_a_loop(Rc::clone(&seen)));
    }
    let mut held = Held::open(caller, HELD).await;
    tokio::time::sleep(PAUSE * 4).await; // a load that has not just begun
    let before = server.memory();
    let mut switched = vec![];
    for leaf in leaves {
        switched.push((leaf, server::replace(place, leaf)));
        tokio::time::sleep(PAUSE).await;
    }
    let after = server.memory();
    let dropped = held.dropped().await;
    seen.stop.set(true);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let first = seen.first.borrow();
    let shown = switched.iter().filter_map(|(leaf, at)| {
        let shown = first.get(&leaf.leaf_der)?;
        Some((*shown - *at).as_secs_f64() * 1e3)
    });
    let mut shown: Vec<f64> = shown.collect();
    let unseen = leaves.len() - shown.len();
    let failed = seen.failed.borrow();
    println!(
        "  {} replacements: {} connections, {} failed; {HELD} held, {dropped} dropped; link switched to first new certificate p50 {:.2} ms, \
         {:.2} ms at most; RssAnon {:.2} MB before, {:.2} after",
        leaves.len(),
        seen.made.get(),
        failed.len() + held.failed.len(),
        median(&mut shown),
        shown.last().unwrap(),
        mb(before),
        mb(after)
    );
    let mut lost: Vec<String> = failed.iter().chain(&held.failed).cloned().collect();
    if dropped > 0 {
        lost.push(format!("{dropped} held connections"));
    }
    if unseen > 0 {
        lost.push(format!("{unseen} certificates that nobody was shown"));
    }
    lost
}
