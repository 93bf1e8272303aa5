//! Real processes at the Workload API and the secret discovery service: each is served what the rules give it, and nothing that belongs to another.

use crate::daemon::{Daemon, Place};
use crate::process::{Process, User, program};
use crate::secret_discovery::{asks, subscribes};
use crate::spiffe::{Next, PERMISSION_DENIED, Program, UNAVAILABLE, X509_SVID};
use crate::user::{can_be_others, left_out};
use crate::xds::discovery::{DeltaDiscoveryResponse, DiscoveryResponse};
use crate::xds::{self, DELTA, Envoy, STREAM};
use nix::sys::signal::Signal;
use prost::Message;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long enough for a message that should not come.
const A_WHILE: Duration = Duration::from_millis(300);
/// A rule on the user alone, one on a group, one on user and program, one on user and hash; and one whom no rule means.
const BY_UID: u32 = 45_031;
const BY_EXE: u32 = 45_032;
const BY_HASH: u32 = 45_033;
const BY_NOTHING: u32 = 45_034;
const GROUP: u32 = 45_040;

fn socket(place: &Place) -> PathBuf {
    place.path("run/workload.sock")
}

/// The rules of these tests, on the program at `exe` and on one with the hash of `hashed`.
fn rules(exe: &Path, hashed: &Path) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &std::fs::read(hashed).unwrap());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let exe = exe.display();
    format!(
        "access:\n\
         - {{ who: {{ uid: {BY_UID} }}, may: {{ identity: true }} }}\n\
         - {{ who: {{ gid: {GROUP} }}, may: {{ identity: true }} }}\n\
         - {{ who: {{ uid: {BY_EXE}, exe: {exe} }}, may: {{ identity: true }} }}\n\
         - {{ who: {{ uid: {BY_HASH}, sha256: {hash} }}, may: {{ identity: true }} }}\n"
    )
}

fn started(place: &mut Place, rules: &str) -> Daemon {
    place.open_to_all();
    place.config(rules);
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    daemon
}

/// What a process has open: a stream of each kind, on connections of its own.
struct Subscriber {
    program: Program,
    stream: Envoy,
    delta: Envoy,
}

impl Subscriber {
    fn of(process: &Process) -> Self {
        Self::over(|| process.connection())
    }

    fn over(mut connection: impl FnMut() -> UnixStream) -> Self {
        Self {
            program: Program::over(connection()),
            stream: Envoy::over(connection()),
            delta: Envoy::over(connection()),
        }
    }

    fn open(&self) -> Streams<'_> {
        Streams {
            svid: self.program.call(X509_SVID),
            stream: self.stream.call(STREAM, &asks(&["default"])),
            delta: self.delta.call(DELTA, &subscribes(&["default"])),
        }
    }
}

struct Streams<'s> {
    svid: crate::spiffe::Call<'s>,
    stream: xds::Call<'s>,
    delta: xds::Call<'s>,
}

impl Streams<'_> {
    /// Each has a key next.
    fn are_served(&mut self) {
        assert!(!self.svid.svid().svids[0].x509_svid_key.is_empty());
        assert_eq!(
            self.stream.next::<DiscoveryResponse>().message().resources.len(),
            1
        );
        assert_eq!(
            self.delta
                .next::<DeltaDiscoveryResponse>()
                .message()
                .resources
                .len(),
            1
        );
    }

    /// Each ends without another message, in the words that libraries know.
    fn are_denied(&mut self) {
        let words = "no identity issued".to_owned();
        assert_eq!(self.svid.next(), Next::End(PERMISSION_DENIED, words));
        is_denied::<DiscoveryResponse>(&mut self.stream);
        is_denied::<DeltaDiscoveryResponse>(&mut self.delta);
    }

    /// Each ends in words that make a library connect anew, in its own name.
    fn have_lost_their_process(&mut self) {
        let ends = [
            match self.svid.next() {
                Next::End(code, words) => (code, words),
                other => panic!("{other:?}"),
            },
            lost::<DiscoveryResponse>(&mut self.stream),
            lost::<DeltaDiscoveryResponse>(&mut self.delta),
        ];
        for (code, words) in ends {
            assert_eq!(code, UNAVAILABLE, "{words}");
            assert!(words.contains("which made this connection, has ended"), "{words}");
        }
    }

    fn are_quiet(&mut self) {
        assert_eq!(self.svid.next_within(A_WHILE), Next::Nothing);
        let none = self.stream.next_within::<DiscoveryResponse>(A_WHILE);
        assert_eq!(none, xds::Next::Nothing);
        let none = self.delta.next_within::<DeltaDiscoveryResponse>(A_WHILE);
        assert_eq!(none, xds::Next::Nothing);
    }
}

fn lost<M: Message + Default + PartialEq + std::fmt::Debug>(call: &mut xds::Call<'_>) -> (u16, String) {
    match call.next::<M>() {
        xds::Next::End(code, words) => (code, words),
        other => panic!("{other:?}"),
    }
}

fn is_denied<M: Message + Default + PartialEq + std::fmt::Debug>(call: &mut xds::Call<'_>) {
    let words = "no identity issued".to_owned();
    assert_eq!(call.next::<M>(), xds::Next::End(PERMISSION_DENIED, words));
}

#[test]
fn users_groups_and_programs_are_told_apart_process_by_process() {
    if !can_be_others("users_groups_and_programs") {
        return;
    }
    let mut place = Place::new();
    let [named, hashed] = ["named", "hashed"].map(|name| place.path(name));
    let (named, hashed) = (program(named, b""), program(hashed, b"another"));
    let daemon = started(&mut place, &rules(&named, &hashed));
    let with = |gid, groups| User {
        gid,
        groups,
        ..User::alone(BY_NOTHING)
    };
    let all = [
        (&named, User::alone(BY_UID), true, "the user that a rule names"),
        (&named, User::alone(BY_NOTHING), false, "a user whom none names"),
        (&named, with(GROUP, &[]), true, "his group is the rule's"),
        (
            &named,
            with(45_041, &[45_042, GROUP]),
            true,
            "one of his groups is",
        ),
        (&named, with(45_041, &[45_042]), false, "none of his groups is"),
        (&named, User::alone(BY_EXE), true, "the program that a rule names"),
        (
            &hashed,
            User::alone(BY_EXE),
            false,
            "another program of that user",
        ),
        (&hashed, User::alone(BY_HASH), true, "the program with the hash"),
        (&named, User::alone(BY_HASH), false, "one with another hash"),
        (&named, User::alone(0), true, "root"),
    ];
    let all = all.map(|(exe, user, served, who)| {
        let process = Process::start(exe, &socket(&place), user);
        let subscriber = Subscriber::of(&process);
        (process, subscriber, served, who)
    });
    let mut open = vec![];
    for (_, subscriber, served, who) in &all {
        println!("{who}");
        let mut streams = subscriber.open();
        match served {
            true => {
                streams.are_served();
                open.push(streams);
            }
            false => streams.are_denied(),
        }
    }
    place.deliver_good();
    for streams in &mut open {
        streams.are_served();
    }
    names_the_denied(&daemon.stop());
}

fn names_the_denied(log: &str) {
    let denied = format!("uid={BY_NOTHING}");
    let is_it = |line: &str| line.contains("denied") && line.contains(&denied);
    assert!(log.lines().any(is_it), "{log}");
}

/// The daemon stands still while the process connects and ends, so that it meets a caller that is gone.
#[test]
fn a_process_that_ends_while_it_is_attested_gets_nothing_by_its_program() {
    if !can_be_others("a_process_that_ends_while_it_is_attested") {
        return;
    }
    let mut place = Place::new();
    let named = program(place.path("named"), b"");
    let daemon = started(&mut place, &rules(&named, &named));
    for user in [BY_EXE, BY_HASH, BY_UID] {
        daemon.signal(Signal::SIGSTOP);
        let process = Process::start(&named, &socket(&place), User::alone(user));
        let mut left: Vec<_> = (0..3).map(|_| process.connection()).collect();
        process.end();
        daemon.signal(Signal::SIGCONT);
        let heir = Subscriber::over(|| left.pop().unwrap());
        heir.open().have_lost_their_process();
    }
    // The same once more by one who lives: it was the end that counted.
    let process = Process::start(&named, &socket(&place), User::alone(BY_EXE));
    Subscriber::of(&process).open().are_served();
    daemon.stop();
}

/// Which number was given last (proc_sys_kernel(5)); who may write it chooses the next one.
const LAST_NUMBER: &str = "/proc/sys/kernel/ns_last_pid";

/// The same, and its number is given to a process that may have the identity before the daemon looks.
#[test]
fn the_number_of_a_process_that_ended_proves_nothing_of_who_has_it_now() {
    let name = "the_number_of_a_process_that_ended";
    if !can_be_others(name) {
        return;
    }
    let mut place = Place::new();
    let named = program(place.path("named"), b"");
    let other = program(place.path("other"), b"another");
    let numbers = match std::fs::File::options().write(true).open(LAST_NUMBER) {
        Ok(numbers) => numbers,
        Err(error) => {
            left_out(name, &format!("no number can be chosen: {LAST_NUMBER}: {error}"));
            return;
        }
    };
    let daemon = started(&mut place, &rules(&named, &named));
    daemon.signal(Signal::SIGSTOP);
    // Not so many that the connections of those who left fill the daemon's queue.
    let Some((left, heir)) = (0..200).find_map(|_| {
        let process = Process::start(&other, &socket(&place), User::alone(BY_EXE));
        let left: Vec<_> = (0..3).map(|_| process.connection()).collect();
        let pid = process.pid();
        process.end();
        // Whoever starts a process next has this number, and others may be starting some.
        numbers.write_all_at((pid - 1).to_string().as_bytes(), 0).ok()?;
        let heir = Process::start(&named, &socket(&place), User::alone(BY_EXE));
        (heir.pid() == pid).then_some((left, heir))
    }) else {
        daemon.signal(Signal::SIGCONT);
        left_out(name, "no process got the number of the one before, 200 times");
        return;
    };
    // It runs what the rule names by now.
    let own = heir.connection();
    daemon.signal(Signal::SIGCONT);
    let mut left = left;
    Subscriber::over(|| left.pop().unwrap())
        .open()
        .have_lost_their_process();
    assert!(matches!(Program::over(own).first(X509_SVID), Next::Message(_)));
    daemon.stop();
}

#[test]
fn a_program_that_was_replaced_on_disk_is_not_the_one_of_the_rule() {
    if !can_be_others("a_program_that_was_replaced") {
        return;
    }
    let mut place = Place::new();
    let named = program(place.path("named"), b"");
    let before = rules(&named, &named);
    let daemon = started(&mut place, &before);
    let old = [BY_EXE, BY_HASH].map(|uid| Process::start(&named, &socket(&place), User::alone(uid)));
    let subscribers = [&old[0], &old[1]].map(Subscriber::of);
    let mut streams = [&subscribers[0], &subscribers[1]].map(Subscriber::open);
    for streams in &mut streams {
        streams.are_served();
    }
    program(named.clone(), b"another");
    // By its path the old process runs another file now; by its hash still the same.
    Subscriber::of(&old[0]).open().are_denied();
    Subscriber::of(&old[1]).open().are_served();
    // The new one is what the path names, and has another hash.
    let new = [BY_EXE, BY_HASH].map(|uid| Process::start(&named, &socket(&place), User::alone(uid)));
    Subscriber::of(&new[0]).open().are_served();
    Subscriber::of(&new[1]).open().are_denied();
    // When the rules are read again, open streams are decided by what is there.
    place.config(&format!("{before}  # the same, read again\n"));
    assert!(place.mwid(&["reload"]).status.success());
    streams[0].are_denied();
    streams[1].are_quiet();
    place.deliver_good();
    streams[1].are_served();
    daemon.stop();
}

#[test]
fn a_socket_that_is_handed_on_is_worth_nothing_when_its_process_has_ended() {
    if !can_be_others("a_socket_that_is_handed_on") {
        return;
    }
    let mut place = Place::new();
    let named = program(place.path("named"), b"");
    let daemon = started(&mut place, &rules(&named, &named));
    for uid in [BY_EXE, BY_HASH, BY_UID] {
        let process = Process::start(&named, &socket(&place), User::alone(uid));
        // What this test holds from here on are the sockets of the process.
        let heir = Subscriber::of(&process);
        let mut streams = heir.open();
        streams.are_served();
        place.deliver_good();
        streams.are_served();
        process.end();
        streams.have_lost_their_process();
    }
    daemon.stop();
}

#[test]
fn the_heir_of_a_socket_gets_no_more_of_a_key_that_its_process_took_a_part_of() {
    if !can_be_others("the_heir_of_a_socket") {
        return;
    }
    let mut place = Place::new();
    let named = program(place.path("named"), b"");
    let mut daemon = started(&mut place, &rules(&named, &named));
    for uid in [BY_EXE, BY_HASH, BY_UID] {
        let process = Process::start(&named, &socket(&place), User::alone(uid));
        // Room for a part of each message; the rest lies ready for whoever opens the window.
        let program = Program::over_with_window(process.connection(), 100);
        let [stream, delta] = [(); 2].map(|()| Envoy::over_with_window(process.connection(), 100));
        let mut svid = program.call(X509_SVID);
        let mut stream = stream.call(STREAM, &asks(&["default"]));
        let mut delta = delta.call(DELTA, &subscribes(&["default"]));
        daemon.wait_for("all streams", |daemon| streams(daemon) == 3);
        process.end();
        daemon.wait_for("their end", |daemon| streams(daemon) == 0);
        assert_eq!(svid.next(), Next::Gone);
        assert_eq!(stream.next::<DiscoveryResponse>(), xds::Next::BrokenOff);
        assert_eq!(delta.next::<DeltaDiscoveryResponse>(), xds::Next::BrokenOff);
    }
    daemon.stop();
}

/// Of the Workload API and of secret discovery.
fn streams(daemon: &Daemon) -> u64 {
    let workload = &daemon.status().unwrap()["workload"];
    workload["streams"].as_u64().unwrap() + workload["sds"]["streams"].as_u64().unwrap()
}
