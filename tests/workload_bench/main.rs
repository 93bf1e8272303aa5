//! What many subscribers cost: `cargo bench -p mwid --bench workload_bench`.
//!
//! The daemon, and beside it a bare tonic server that serves messages of the same size (tests/workload_bench/floor), with 10,000 FetchX509SVID streams
//! at 100 a connection and with 4,000 at one a connection, with the readers on the same machine. Prints how long after a rotation each subscriber has
//! its message (counted from the moment at which the new certificate is put into the source's directory: watching, proving and encoding are in it),
//! how long the last one waited, and the memory that each stream takes; then the same with one more reader, who never reads. Times judge nothing here:
//! only a message that is missing, doubled or not asked for fails. `WORKLOAD_BENCH_ROUNDS` (20) makes it longer or shorter.
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

use load::Readers;
use server::Server;
use std::time::Duration;
use tokio::task::LocalSet;

/// Connections, and streams of each.
const SHAPES: [(usize, usize); 2] = [(100, 100), (4_000, 1)];

struct Taken {
    /// Of each message.
    took: Vec<Duration>,
    /// Of the last message of each round.
    last: Vec<Duration>,
    bytes_a_stream: u64,
    cpu: Duration,
}

fn main() {
    let rounds = std::env::var("WORKLOAD_BENCH_ROUNDS");
    let rounds = rounds.ok().and_then(|n| n.parse().ok()).unwrap_or(20);
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
    for shape in SHAPES {
        let tonic =
            runtime.block_on(LocalSet::new().run_until(run(Server::floor(&floor), shape, false, rounds)));
        print("tonic", shape, &tonic, &tonic);
        for (name, with_sleeper) in [("mwid", false), ("mwid, one who never reads", true)] {
            let taken =
                runtime.block_on(LocalSet::new().run_until(run(Server::mwid(), shape, with_sleeper, rounds)));
            print(name, shape, &taken, &tonic);
        }
    }
}

async fn run(
    mut server: Server,
    (connections, each): (usize, usize),
    with_sleeper: bool,
    rounds: usize,
) -> Taken {
    let socket = server.socket();
    // What a first caller brings about once is no stream's.
    Readers::open(&socket, 1, 1).await.close().await;
    let before = server.memory();
    let sleeper = match with_sleeper {
        true => Some(load::never_reads(&socket).await),
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
    readers.close().await;
    drop(sleeper);
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
        taken.bytes_a_stream as f64 / floor.bytes_a_stream as f64,
        taken.cpu.as_secs_f64() * 1e6 / taken.took.len() as f64,
    );
}
