//! What the daemon costs while it does nothing: `cargo bench -p mwid --bench footprint`.
//!
//! Prints the time from start to ready (with `cargo bench` at most 50 ms in the median; figures only elsewhere), the resident memory (anonymous memory has a limit here), and every
//! system call of a minute of idleness (more than the poll's is a failure). `FOOTPRINT_IDLE=0` leaves the last one out.
#![expect(
    dead_code,
    reason = "shares the scenarios' daemon module, and uses a part of it"
)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark: a panic is its report"
)]

#[path = "../scenarios/daemon.rs"]
mod daemon;

use daemon::{Daemon, Place};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const STARTS: usize = 31;
const RSS_ANON_KIB: u64 = 12 * 1024;
const READY_WITHIN: Duration = Duration::from_millis(50);
/// The config's.
const POLL: Duration = Duration::from_secs(30);

fn main() {
    reads_what_strace_writes();
    start_to_ready();
    let place = ready_place();
    let mut daemon = place.start();
    daemon.wait_ready();
    settle(&mut daemon);
    memory(&daemon);
    let seconds = std::env::var("FOOTPRINT_IDLE")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(60);
    if seconds > 0 {
        idle(&daemon, Duration::from_secs(seconds));
    }
    daemon.stop();
}

/// A place with an identity already delivered, and the poll at its default of 30 s.
fn ready_place() -> Place {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    place
}

fn start_to_ready() {
    let mut times: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let place = ready_place();
            let began = Instant::now();
            let daemon = place.start();
            while !daemon.is_ready() {
                assert!(
                    began.elapsed() < Duration::from_secs(20),
                    "not ready:\n{}",
                    daemon.log()
                );
                std::thread::sleep(Duration::from_micros(200));
            }
            let took = began.elapsed();
            daemon.stop();
            took
        })
        .collect();
    times.sort();
    println!(
        "start to ready, directory source, {STARTS} starts: min {:.1} ms, median {:.1} ms, max {:.1} ms",
        times[0].as_secs_f64() * 1e3,
        times[STARTS / 2].as_secs_f64() * 1e3,
        times[STARTS - 1].as_secs_f64() * 1e3
    );
    if cfg!(debug_assertions) || std::env::var_os("MWID_BINARY").is_some() {
        return; // a debug build, or the gate: figures only
    }
    assert!(
        times[STARTS / 2] <= READY_WITHIN,
        "the median is over {READY_WITHIN:?}; run it on a quiet machine"
    );
}

/// A number of /proc/PID/status.
fn field(daemon: &Daemon, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits until the threads that only wrote files are gone: left are main, the workers (one a core, four at most) and the watcher.
fn settle(daemon: &mut Daemon) {
    let workers = std::thread::available_parallelism().unwrap().get().min(4) as u64;
    daemon.wait_for("the end of the writing threads", |d| {
        field(d, "Threads:") <= 1 + workers + 2
    });
}

fn memory(daemon: &Daemon) {
    let (anonymous, all) = (field(daemon, "RssAnon:"), field(daemon, "VmRSS:"));
    println!(
        "idle memory: RssAnon {anonymous} KiB, VmRSS {all} KiB, threads {}",
        field(daemon, "Threads:")
    );
    assert!(
        anonymous <= RSS_ANON_KIB,
        "RssAnon is {anonymous} KiB, the limit is {RSS_ANON_KIB} KiB"
    );
}

/// Attaches strace for a while and shows what ran: the watcher's poll, and what it wakes.
fn idle(daemon: &Daemon, how_long: Duration) {
    if Command::new("strace").arg("-V").output().is_err() || !nix::unistd::geteuid().is_root() {
        println!("idle system calls: left out, this needs strace and root");
        return;
    }
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace")
        .args(["-f", "-ttt", "-o"])
        .arg(out.path())
        .args(["-p", &daemon.pid().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(how_long); // the quantity that is measured is what happens in this time
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(strace.id()).unwrap()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    strace.wait().unwrap();
    let text = fs::read_to_string(out.path()).unwrap();
    judge(&text, how_long);
}

/// Shows every call that ran, and fails unless all of them ran in polls.
fn judge(text: &str, how_long: Duration) {
    let began: f64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|at| at.parse().ok())
        .unwrap_or(0.0);
    let calls = started_calls(text);
    let mut by_thread: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    let mut bursts: Vec<Vec<f64>> = vec![];
    for (thread, at, name) in calls {
        *by_thread.entry(thread).or_default().entry(name).or_default() += 1;
        match bursts.last_mut() {
            Some(burst) if burst.last().is_some_and(|last| at - last < 1.0) => burst.push(at),
            _ => bursts.push(vec![at]),
        }
    }
    println!(
        "idle for {} s under strace, poll every {} s:",
        how_long.as_secs(),
        POLL.as_secs()
    );
    for (thread, counts) in &by_thread {
        println!("  thread {thread}: {counts:?}");
    }
    for burst in &bursts {
        println!("  at {:.3} s: {} system calls", burst[0] - began, burst.len());
    }
    assert!(
        how_long < POLL * 2 || !bursts.is_empty(),
        "strace saw not even the poll: it did not look"
    );
    // Everything that ran, ran in a poll: as many bursts as polls fit in, and a poll apart.
    assert!(
        bursts.len() as u64 <= how_long.as_secs() / POLL.as_secs() + 1,
        "{} bursts:\n{text}",
        bursts.len()
    );
    for pair in bursts.windows(2) {
        let apart = pair[1][0] - pair[0][0];
        assert!(
            (apart - POLL.as_secs_f64()).abs() < 2.0,
            "two bursts {apart:.3} s apart are not two polls:\n{text}"
        );
    }
}

/// The reader is tried on both widths of a thread's number before it judges anything.
fn reads_what_strace_writes() {
    for thread in ["7", "2267", "67890", "1234567"] {
        let text = format!(
            "{thread:<5} 10.5 epoll_wait(3, <unfinished ...>\n{thread:<5} 11.5 <... epoll_wait resumed>) = 1\n{thread:<5} 12.5 read(4) = 0\n"
        );
        assert_eq!(started_calls(&text), [(thread, 12.5, "read")], "{text}");
    }
}

/// (thread, time, name) of each call that began while strace looked; what was already under way when it attached does not count.
fn started_calls(text: &str) -> Vec<(&str, f64, &str)> {
    let mut seen_threads: Vec<&str> = vec![];
    let mut calls = vec![];
    for line in text.lines() {
        // "2267  1763812345.6 read(3, ...": strace pads the number of the thread to five places.
        let Some((thread, timed)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let Some((at, rest)) = timed.trim_start().split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        let first = !seen_threads.contains(&thread);
        if first {
            seen_threads.push(thread);
        }
        // The first line of a thread is the call in which it slept when strace came ("restart_syscall" or "<unfinished ...>").
        let asleep = first && (rest.starts_with("restart_syscall") || rest.contains("<unfinished"));
        if asleep || rest.starts_with("<...") || rest.starts_with("---") || rest.starts_with("+++") {
            continue;
        }
        let name = rest.split('(').next().unwrap_or(rest);
        calls.push((thread, at.parse().unwrap_or(0.0), name));
    }
    calls
}
