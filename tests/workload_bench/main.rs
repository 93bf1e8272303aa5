//! What many subscribers cost: `cargo bench -p mwid --bench workload_bench`.
//!
//! The daemon, and beside it a bare tonic server that serves messages of the same size (tests/workload_bench/floor), with 10,000 FetchX509SVID streams
//! at 100 a connection and with 4,000 at one a connection, with the readers on the same machine. Prints how long after a rotation each subscriber has
//! its message (counted from the moment at which the new certificate is put into the source's directory: watching, proving and encoding are in it),
//! how long the last one waited, and the memory that each stream takes; then the same with two more clients: one has less room than a message
//! takes, and one never reads its socket. Fails when a message is missing, doubled or not asked for, when one of these two is sent what the others
//! are, when one subscriber in a hundred, or the last one of one rotation in a hundred, waits longer than 500 ms, when a stream takes more than 1.3 times
//! the memory of a bare one, and when the two who do not take change something for the others: in the median rotation the last one waits more than
//! 1.25 times as long as without them and 20 ms, or memory of more than 1.25 times that and 4 MiB for the two themselves, each beside mwid without
//! them in the same run.
//!
//! `WORKLOAD_BENCH_ROUNDS` (20) makes it longer or shorter, `WORKLOAD_BENCH_PART` (1) takes only every so manieth connection. `MWID_BINARY` names a
//! release binary that was built already; with it `cargo test -p mwid --bench workload_bench` builds no other. `WORKLOAD_BENCH_COUNTS_ONLY` fails by
//! messages alone, and not by times and memory: for a busy machine, and without tonic beside it.
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
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::LocalSet;

/// Connections, and streams of each.
const SHAPES: [(usize, usize); 2] = [(100, 100), (4_000, 1)];

/// From a rotation until 99 of 100 subscribers have it, and in 99 of 100 rotations until the last one has.
const LONGEST_P99: Duration = Duration::from_millis(500);
/// Memory a stream, to that of a bare server.
const MOST_TO_FLOOR: f64 = 1.3;
/// What two who do not take may make of the others' memory, and of how long the last one waits in the median of all rotations (one alone may have met another
/// program's work): so many times as much,
const MOST_BY_SLOW: f64 = 1.25;
/// and this: what one run differs from the next on a machine that does other things too,
const SLACK: Duration = Duration::from_millis(20);
/// and what is held for the two themselves.
const HELD_FOR_SLOW: f64 = 4.0 * 1024.0 * 1024.0;

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
    let counts_only = std::env::var_os("WORKLOAD_BENCH_COUNTS_ONLY").is_some();
    load::raise_files();
    finds_what_is_over();
    let floor = (!counts_only).then(server::build_floor);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let take = |server, shape, with_slow| {
        runtime.block_on(LocalSet::new().run_until(run(server, shape, with_slow, rounds)))
    };
    println!(
        "streams (connections), server: p50 ms, p99 ms, max ms to a subscriber; p50 ms, max ms to the last one; bytes a stream (to the floor); \
         CPU us a message"
    );
    let mut over = vec![];
    for (connections, each) in SHAPES {
        let shape = (connections / part, each);
        over.extend(measure(shape, floor.as_deref(), take));
    }
    for what in &over {
        println!("OVER THE LIMIT: {what}");
    }
    match (over.is_empty(), counts_only) {
        (true, true) => {
            println!("each message came once; times and memory were not judged");
            ExitCode::SUCCESS
        }
        (true, false) => {
            println!(
                "within the limits: p99 of all and of the last ones at most {LONGEST_P99:?}, memory at most {MOST_TO_FLOOR} times tonic's, both at most {MOST_BY_SLOW} \
                 times as much beside two who do not take"
            );
            ExitCode::SUCCESS
        }
        (false, _) => ExitCode::FAILURE,
    }
}

/// One shape at each server, printed. What is over its limit.
fn measure(
    shape: (usize, usize),
    floor: Option<&Path>,
    take: impl Fn(Server, (usize, usize), bool) -> Taken,
) -> Vec<String> {
    let tonic = floor.map(|floor| take(Server::floor(floor), shape, false));
    if let Some(tonic) = &tonic {
        print("tonic", shape, tonic, Some(tonic));
    }
    let alone = take(Server::mwid(), shape, false);
    print("mwid", shape, &alone, tonic.as_ref());
    let beside_slow = take(Server::mwid(), shape, true);
    print("mwid, two who do not take", shape, &beside_slow, tonic.as_ref());
    let Some(tonic) = tonic else {
        return vec![];
    };
    let found = [
        ("mwid", judge(&alone, &tonic)),
        ("mwid, two who do not take", judge(&beside_slow, &tonic)),
        (
            "what those two make of it",
            judge_slow(&beside_slow, &alone, shape.0 * shape.1),
        ),
    ];
    let named = |(name, found): (&str, Vec<String>)| -> Vec<String> {
        let connections = shape.0;
        let line = |what| format!("{name}, {connections} connections: {what}");
        found.into_iter().map(line).collect()
    };
    found.into_iter().flat_map(named).collect()
}

/// What is over its limit.
fn judge(taken: &Taken, floor: &Taken) -> Vec<String> {
    let mut over = vec![];
    for (who, took) in [
        ("one subscriber in a hundred", &taken.took),
        ("the last subscriber of one rotation in a hundred", &taken.last),
    ] {
        let p99 = ms(&mut took.clone(), 99);
        if p99 > LONGEST_P99.as_secs_f64() * 1e3 {
            over.push(format!(
                "{who} waited {p99:.0} ms, at most {LONGEST_P99:?} are allowed"
            ));
        }
    }
    let to_floor = taken.to(floor);
    if to_floor > MOST_TO_FLOOR {
        over.push(format!(
            "a stream takes {to_floor:.2} times the memory of tonic's, at most {MOST_TO_FLOOR} are allowed"
        ));
    }
    over
}

/// What is over its limit when two do not take.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 of each")]
fn judge_slow(beside: &Taken, alone: &Taken, streams: usize) -> Vec<String> {
    let mut over = vec![];
    let [with, without] = [beside, alone].map(|taken| ms(&mut taken.last.clone(), 50));
    if with > without * MOST_BY_SLOW + SLACK.as_secs_f64() * 1e3 {
        over.push(format!(
            "the last subscriber waited {with:.0} ms beside them in the median rotation, {without:.0} ms without; {MOST_BY_SLOW} times and {SLACK:?} are allowed"
        ));
    }
    let [with, without] = [beside, alone].map(|taken| taken.bytes_a_stream as f64 * streams as f64);
    if with > without * MOST_BY_SLOW + HELD_FOR_SLOW {
        over.push(format!(
            "all streams took {with} bytes beside them, {without} without; {MOST_BY_SLOW} times and {HELD_FOR_SLOW} are allowed"
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

/// The nearest rank: of fewer than a hundred the p99 is the longest.
fn ms(of: &mut [Duration], percent: usize) -> f64 {
    of.sort();
    of[(of.len() * percent).div_ceil(100).max(1) - 1].as_secs_f64() * 1e3
}

/// Before anything is measured: limits that nothing breaks would say nothing.
fn finds_what_is_over() {
    let soon = Duration::from_millis(50);
    let taken = |took: Duration, last: Duration, bytes_a_stream| {
        let mut all = vec![soon; 2_000];
        all[..40].fill(took);
        let mut lasts = vec![soon; 20];
        lasts[3] = last;
        Taken {
            took: all,
            last: lasts,
            bytes_a_stream,
            cpu: Duration::ZERO,
        }
    };
    let late = LONGEST_P99 + Duration::from_millis(1);
    let good = taken(soon, soon, 10_000);
    let [late_all, late_last] = [taken(late, soon, 10_000), taken(soon, late, 10_000)];
    let large = taken(soon, soon, 13_100);
    let found = [&good, &late_all, &late_last, &large].map(|taken| judge(taken, &good).len());
    assert_eq!(found, [0, 1, 1, 1], "what is over its limit");
    let mut slower = taken(soon, soon, 10_000);
    slower.last.fill(soon * 5 / 4 + SLACK + Duration::from_millis(1));
    let found = [&good, &slower, &large].map(|taken| judge_slow(taken, &good, 10_000).len());
    assert_eq!(found, [0, 1, 1], "what two make of the others");
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 of each")]
fn print(name: &str, (connections, each): (usize, usize), taken: &Taken, floor: Option<&Taken>) {
    let to_floor = floor.map_or_else(|| "   -".to_owned(), |floor| format!("{:4.2}", taken.to(floor)));
    let (mut took, mut last) = (taken.took.clone(), taken.last.clone());
    println!(
        "{:6} ({connections:4}), {name:25}: {:7.1} {:7.1} {:7.1}; {:7.1} {:7.1}; {:6} ({to_floor}); {:6.1}",
        connections * each,
        ms(&mut took, 50),
        ms(&mut took, 99),
        ms(&mut took, 100),
        ms(&mut last, 50),
        ms(&mut last, 100),
        taken.bytes_a_stream,
        taken.cpu.as_secs_f64() * 1e6 / taken.took.len() as f64,
    );
}
