//! What a cached access token costs: `cargo bench -p mwid --bench token_bench`.
//!
//! The daemon with its embedded platform against the least that hyper can do (one fixed body of the same length, no check of anything, one thread), each in its own
//! process and in turn, on a Unix socket and on TCP. Prints CPU time for each request, its ratio to the floor of the same run, and how long
//! callers waited; once for clients that ask for the same again, and once for those that ask two questions in turn. Times judge nothing here: only a wrong answer fails. `TOKEN_BENCH_ROUNDS` (5) and
//! `TOKEN_BENCH_MILLISECONDS` (1000, of each) make it longer or shorter. `MWID_BINARY` names a release binary that was built already.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark: a panic is its report"
)]

mod floor;
mod load;
mod server;

use load::{Taken, Target};
use server::Server;
use std::collections::BTreeMap;
use std::time::Duration;

const CONNECTIONS: [usize; 2] = [1, 32];

/// The floor, and mwid with two kinds of clients; on two transports.
const ROWS: usize = CONNECTIONS.len() * 3 * 2;

/// Who is asked, and for what.
struct Case<'a> {
    name: &'static str,
    server: &'a Server,
    target: Target,
    requests: &'static [&'static [u8]],
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(otherwise)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(floor::ARGUMENT) {
        let (address, length) = (arguments.next().unwrap(), arguments.next().unwrap());
        return floor::run(&address, length.parse().unwrap());
    }
    let place = tempfile::tempdir().unwrap();
    let mwid = Server::mwid(place.path());
    let length = mwid.body_length();
    let servers = [
        Server::floor(place.path(), "unix", length),
        Server::floor(place.path(), "tcp", length),
        mwid,
    ];
    let mut cases: Vec<Case<'_>> = vec![];
    for server in &servers {
        for target in server.targets() {
            let mut case = |name, requests| {
                cases.push(Case {
                    name,
                    server,
                    target: target.clone(),
                    requests,
                });
            };
            case(server.name(), load::SAME);
            if server.name() != floor::NAME {
                case("mwid, two in turn", load::IN_TURN);
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let time = Duration::from_millis(number("TOKEN_BENCH_MILLISECONDS", 1000));
    let mut results: BTreeMap<(&str, usize, &str), Vec<Taken>> = BTreeMap::new();
    for round in 0..number("TOKEN_BENCH_ROUNDS", 5) {
        for connections in CONNECTIONS {
            let first = usize::try_from(round).unwrap() % cases.len();
            let (before, after) = cases.split_at(first);
            for case in after.iter().chain(before) {
                let cpu = || case.server.cpu();
                let taken = runtime.block_on(load::run(&case.target, case.requests, connections, time, cpu));
                let key = (case.target.transport(), connections, case.name);
                results.entry(key).or_default().push(taken);
            }
        }
    }
    print(&results);
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn print(results: &BTreeMap<(&str, usize, &str), Vec<Taken>>) {
    println!("transport, connections, server: requests/s, CPU us/request, to the floor, p50 us, p99 us");
    let of = |taken: &[Taken], what: fn(&Taken) -> f64| median(taken.iter().map(what).collect());
    for (&(transport, connections, name), taken) in results {
        let cpu = of(taken, |t| t.cpu_us);
        let floor = of(&results[&(transport, connections, floor::NAME)], |t| t.cpu_us);
        println!(
            "{transport:5} {connections:3} {name:17}: {:8.0} {cpu:7.2} {:5.2} {:7.0} {:7.0}",
            of(taken, |t| t.rate),
            cpu / floor,
            of(taken, |t| t.p50_us),
            of(taken, |t| t.p99_us),
        );
    }
    if cfg!(debug_assertions) {
        println!("the floor was built without optimisation: these ratios say nothing");
    }
    println!("measured: {} of {ROWS}", results.len());
}
