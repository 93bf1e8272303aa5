//! The connections of an outbound route are not one user's alone: who has its share is refused, and the others, root before all, get in.
use crate::daemon::{DOMAIN, Place};
use crate::tokens::free_address;
use crate::user::{as_user, can_be_others};
use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);
const ALICE: u32 = 4_000_000;
const BOB: u32 = 4_000_001;

/// Connections of a user, of which some may be refused by now.
fn connections(uid: u32, to: SocketAddr, count: usize) -> Vec<TcpStream> {
    as_user(uid, uid, &[], || {
        (0..count).map(|_| TcpStream::connect(to).unwrap()).collect()
    })
}

/// Waits until so many of them are open, and no more.
fn are_open(all: &mut [TcpStream], wanted: usize) {
    let is_open = |tcp: &mut TcpStream| {
        tcp.set_nonblocking(true).unwrap();
        tcp.read(&mut [0])
            .is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    };
    let begun = Instant::now();
    loop {
        let open = all.iter_mut().map(is_open).filter(|open| *open).count();
        if open == wanted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{open} are open, and not {wanted}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn one_user_does_not_take_all_connections_of_a_route() {
    if !can_be_others("one_user_does_not_take_all") {
        return;
    }
    let (mut place, listen) = (Place::new(), free_address());
    // It takes connections and says nothing: all stay where they are.
    let remote = TcpListener::bind("127.0.0.1:0").unwrap();
    place.config(&format!(
        "proxy:\n  outbound:\n  - {{ name: out, listen: \"{listen}\", connect: \"{}\", expect: \"spiffe://{DOMAIN}/x\", max_connections: 8, timeouts: {{ handshake: 5m }} }}\n",
        remote.local_addr().unwrap()
    ));
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let refused = |count: u64| {
        let line = "mwid_proxy_handshakes_total{route=\"out\",reason=\"share\"} ";
        let begun = Instant::now();
        loop {
            let metrics = daemon.get("/metrics").unwrap().body;
            let found = metrics.lines().find_map(|one| one.strip_prefix(line));
            let now = found.map_or(0, |count| count.parse().unwrap());
            if now >= count {
                return assert_eq!(now, count);
            }
            assert!(begun.elapsed() < PATIENCE, "{now} of {count}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut alice = connections(ALICE, listen, 20);
    refused(14);
    are_open(&mut alice, 6);
    let mut bob = connections(BOB, listen, 3);
    refused(16);
    // All but an eighth are taken.
    are_open(&mut bob, 1);
    let root = TcpStream::connect(listen).unwrap();
    for dialled in 0..8 {
        remote.set_nonblocking(dialled < 7).unwrap();
        remote.accept().unwrap_or_else(|e| panic!("{dialled}: {e}"));
    }
    refused(16);
    for why in [
        format!("user {ALICE} has 6 connections here"),
        "all users together have 7 connections here".to_owned(),
    ] {
        assert!(daemon.log().contains(&why), "{why}: {}", daemon.log());
    }
    drop((root, alice, bob));
    daemon.stop();
}
