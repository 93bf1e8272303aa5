//! What a connection through an inbound route costs: `cargo bench -p mwid --bench proxy_bench`.
//!
//! The daemon as it is by default (policy, limits, log and metrics on) beside the floor: one thread that does with rustls what has to be done and
//! nothing else (floor.rs). Each is a process of its own on the first processor, in turn, with an application behind and callers in front on the
//! second. Prints medians and their ratios to the floor of the same run:
//!
//! - `handshakes`: CPU time of a whole connection with a full mutual handshake of TLS 1.3, for X25519 and X25519MLKEM768; of one peer that connects
//!   again and again, and of as many that none is remembered
//! - `bulk`: CPU time of a gigabyte, from the peer and to it, for AES-128 and AES-256
//! - `round_trips`: how long a question and an answer of 1 KiB take, p50
//! - `idle`: memory of a connection on which nothing happens, and what is given back after their end
//! - `replacements`: new certificates under load: connections that failed, held ones that were dropped, and the time from the switch of the link
//!   to the first new certificate
//!
//! Names of measurements as arguments take only these. Times and sizes judge nothing here: only a failed or a dropped connection fails.
//! `PROXY_BENCH_ROUNDS` (5), `PROXY_BENCH_SECONDS` (1), `PROXY_BENCH_CONNECTIONS` (as many as there are descriptors for, 9,900 at most) and
//! `PROXY_BENCH_REPLACEMENTS` (100) make it longer or shorter. `MWID_BINARY` names a release binary that was built already; with it
//! `cargo test --release -p mwid --bench proxy_bench` needs no other.
#![expect(dead_code, reason = "shares the scenarios' modules, and uses a part of them")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark: a panic is its report"
)]

mod application;
#[path = "../scenarios/daemon.rs"]
mod daemon;
mod floor;
mod load;
mod measure;
#[path = "../support/mtls.rs"]
mod mtls;
mod server;
mod table;
mod wire;

use measure::Bench;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// How long, and how many.
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    pub(crate) replacements: usize,
}

/// Its name, and what it does.
type Measurement = (&'static str, fn(&mut Bench));

const ALL: [Measurement; 5] = [
    ("handshakes", Bench::handshakes),
    ("bulk", Bench::bulk),
    ("round_trips", Bench::round_trips),
    ("idle", Bench::idle),
    ("replacements", Bench::replacements),
];

/// From the environment.
fn setting<T: FromStr>(name: &str, usual: T) -> T {
    let said = std::env::var(name).ok();
    said.map_or(usual, |text| {
        let parsed = text.parse();
        parsed.unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

/// As many connections as a proxy has descriptors for: two each, and some for itself.
fn connections() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let most = usize::try_from(hard.saturating_sub(200) / 2).unwrap_or(usize::MAX);
    setting("PROXY_BENCH_CONNECTIONS", most.min(9_900)).min(most)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = |at: usize| arguments[at].parse().unwrap();
    match arguments.first().map(String::as_str) {
        Some(floor::ARGUMENT) => {
            floor::run(address(1), address(2), Path::new(&arguments[3]));
            return ExitCode::SUCCESS;
        }
        Some(application::ARGUMENT) => {
            application::run(address(1));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let settings = Settings {
        connections: connections(),
        rounds: setting("PROXY_BENCH_ROUNDS", 5),
        time: Duration::from_secs_f64(setting("PROXY_BENCH_SECONDS", 1.0)),
        replacements: setting("PROXY_BENCH_REPLACEMENTS", 100),
    };
    // cargo says --bench.
    let named: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    for name in &named {
        assert!(
            ALL.iter().any(|(one, _)| one == name),
            "there is no measurement {name}"
        );
    }
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| *one == name);
    let mut bench = Bench::new(settings);
    let mut measured = 0;
    for (name, measure) in ALL.iter().filter(|(name, _)| wanted(name)) {
        println!("{name}");
        measure(&mut bench);
        bench.table.print();
        measured += 1;
    }
    for what in bench.lost.iter().take(20) {
        println!("LOST: {what}");
    }
    if bench.lost.len() > 20 {
        println!("LOST: {} in all", bench.lost.len());
    }
    println!("measured: {measured} of {}", ALL.len());
    match bench.lost.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
