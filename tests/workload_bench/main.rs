//! What many subscribers cost: `cargo bench -p mwid --bench workload_bench`.
//!
//! The daemon, and beside it a bare tonic server that serves messages of the same size (tests/workload_bench/floor), with 10,000 FetchX509SVID streams
//! at 100 a connection and with 4,000 at one a connection, with the readers on the same machine. Prints how long after a rotation each subscriber has
//! its message (counted from the moment at which the new certificate is put into the source's directory: watching, proving and encoding are in it),
//! how long the last one waited, and the memory that each stream takes; then the same with two more clients: one has less room than a message
//! takes, and one never reads its socket. Fails when a message is missing, doubled or not asked for, when one of these two is sent what the others
//! are, when one subscriber in a hundred waits longer than 500 ms, and when a stream takes more than 1.3 times the memory of a bare one.
//!
//! `WORKLOAD_BENCH_ROUNDS` (20) makes it longer or shorter, `WORKLOAD_BENCH_PART` (1) takes only every so manieth connection. `MWID_BINARY` names a
//! release binary that was built already; with it `cargo test -p mwid --bench workload_bench` builds no other.
#![expect(dead_code, reason = "shares the scenarios' modules, and uses a part of them")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark: a panic is its report"
)]

#[path = "../scenarios/daemon.rs"]
mod daemon;
mod load;
mod server;
#[path = "../scenarios/user.rs"]
mod user;

use load::{Readers, Slow};
use server::Server;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::LocalSet;

/// Connections, and streams of each.
const SHAPES: [(usize, usize); 2] = [(100, 100), (4_000, 1)];

/// From a rotation until 99 of 100 subscribers have it.
const LONGEST_P99: Duration = Duration::from_millis(500);
/// Memory a stream, to that of a bare server.
const MOST_TO_FLOOR: f64 = 1.3;

struct Taken {
    /// Of each message.
    took: Vec<Duration>,
    /// Of the last message of each round.
    last: Vec<Duration>,
    bytes_a_stream: u64,
    cpu: Duration,
}

/// A number from the environment.
fn setting(name: &str, usual: usize) -> usize {
    let said = std::env::var(name).ok();
    said.map_or(usual, |number| number.parse().unwrap())
}

fn main() -> ExitCode {
    let rounds = setting("WORKLOAD_BENCH_ROUNDS", 20);
    let part = setting("WORKLOAD_BENCH_PART", 1);
    load::raise_files();
    let floor = server::build_floor();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "streams (connections), server: p50 ms, p99 ms, max ms to a subscriber; p50 ms, max ms to the last one; bytes a stream (to the floor); \
         CPU us a message"
    );
    let mut over = vec![];
    for (connections, each) in SHAPES {
        let shape = (connections / part, each);
        let tonic =
            runtime.block_on(LocalSet::new().run_until(run(Server::floor(&floor), shape, false, rounds)));
        print("tonic", shape, &tonic, &tonic);
        for (name, with_slow) in [("mwid", false), ("mwid, two who do not take", true)] {
            let taken =
                runtime.block_on(LocalSet::new().run_until(run(Server::mwid(), shape, with_slow, rounds)));
            print(name, shape, &taken, &tonic);
            over.extend(
                judge(&taken, &tonic)
                    .into_iter()
                    .map(|what| format!("{name}, {} connections: {what}", shape.0)),
            );
        }
    }
    for what in &over {
        println!("OVER THE LIMIT: {what}");
    }
    match over.is_empty() {
        true => {
            println!(
                "within the limits: p99 at most {LONGEST_P99:?}, memory at most {MOST_TO_FLOOR} times tonic's"
            );
            ExitCode::SUCCESS
        }
        false => ExitCode::FAILURE,
    }
}

/// What is over its limit.
fn judge(taken: &Taken, floor: &Taken) -> Vec<String> {
    let mut over = vec![];
    let p99 = ms(&mut taken.took.clone(), 99);
    if p99 > LONGEST_P99.as_secs_f64() * 1e3 {
        over.push(format!(
            "one subscriber in a hundred waited {p99:.0} ms, at most {LONGEST_P99:?} are allowed"
        ));
    }
    let to_floor = taken.to(floor);
    if to_floor > MOST_TO_FLOOR {
        over.push(format!(
            "a stream takes {to_floor:.2} times the memory of tonic's, at most {MOST_TO_FLOOR} are allowed"
        ));
    }
    over
}

impl Taken {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 of each")]
    fn to(&self, floor: &Self) -> f64 {
        self.bytes_a_stream as f64 / floor.bytes_a_stream as f64
    }
}

async fn run(
    mut server: Server,
    (connections, each): (usize, usize),
    with_slow: bool,
    rounds: usize,
) -> Taken {
    let socket = server.socket();
    // What a first caller brings about once is no stream's.
    Readers::open(&socket, 1, 1).await.close().await;
    let before = server.memory();
    let slow = match with_slow {
        true => Some(Slow::open(&socket).await),
        false => None,
    };
    let mut readers = Readers::open(&socket, connections, each).await;
    let mut taken = Taken {
        took: vec![],
        last: vec![],
        bytes_a_stream: 0,
        cpu: Duration::ZERO,
    };
    let cpu = server.cpu();
    for _ in 0..rounds {
        let mut took = server.rotate_and(&mut readers).await;
        taken.last.extend(took.last().copied());
        taken.took.append(&mut took);
    }
    taken.cpu = server.cpu() - cpu;
    let streams = u64::try_from(connections * each).unwrap();
    taken.bytes_a_stream = server.memory().saturating_sub(before) * 1024 / streams;
    if let Some(slow) = slow {
        slow.close(readers.bytes_each()).await;
    }
    readers.close().await;
    taken
}

fn ms(of: &mut [Duration], percent: usize) -> f64 {
    of.sort();
    of[(of.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 of each")]
fn print(name: &str, (connections, each): (usize, usize), taken: &Taken, floor: &Taken) {
    let (mut took, mut last) = (taken.took.clone(), taken.last.clone());
    println!(
        "{:6} ({connections:4}), {name:25}: {:7.1} {:7.1} {:7.1}; {:7.1} {:7.1}; {:6} ({:4.2}); {:6.1}",
        connections * each,
        ms(&mut took, 50),
        ms(&mut took, 99),
        ms(&mut took, 100),
        ms(&mut last, 50),
        ms(&mut last, 100),
        taken.bytes_a_stream,
        taken.to(floor),
        taken.cpu.as_secs_f64() * 1e6 / taken.took.len() as f64,
    );
}
