//! Routes of the proxy that listen at systemd's sockets.

use crate::daemon::{PATH, Place};
use crate::workload::started_with_socket;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn route(target: &str, more: &str) -> String {
    let domain = crate::daemon::DOMAIN;
    format!(
        "proxy: {{ outbound: [{{ name: out, listen: \"systemd:out\", connect: \"{target}\", expect: \"spiffe://{domain}{PATH}\"{more} }}] }}"
    )
}

#[test]
fn systemds_socket_serves_a_route_through_reloads() {
    let mut place = Place::new();
    let remote = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = remote.local_addr().unwrap().to_string();
    place.config(&route(&target, ""));
    place.deliver_good();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let daemon = started_with_socket(&place, "out", listener.into());
    let begins_tls = || {
        let program = TcpStream::connect(address).unwrap();
        let (mut peer, _) = remote.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut first = [0];
        peer.read_exact(&mut first).unwrap();
        // A handshake (RFC 8446, 5.1): the program's bytes are not there yet.
        assert_eq!(first, [22]);
        drop(program);
    };
    begins_tls();
    place.config(&route(&target, ", max_connections: 7"));
    assert!(place.mwid(&["reload"]).status.success());
    begins_tls();
    place.config("");
    assert!(place.mwid(&["reload"]).status.success());
    // From here on the remote ends each connection, as also those that look whether it is back.
    std::thread::spawn(move || remote.incoming().for_each(drop));
    let mut waiting = TcpStream::connect(address).unwrap();
    waiting.write_all(b"x").unwrap();
    let mut ends_within = |patience| {
        waiting.set_read_timeout(Some(patience)).unwrap();
        let read = waiting.read(&mut [0]);
        !read.is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    };
    assert!(
        !ends_within(Duration::from_millis(300)),
        "a route that is gone still listens"
    );
    place.config(&route(&target, ""));
    assert!(place.mwid(&["reload"]).status.success());
    assert!(
        ends_within(PATIENCE),
        "who waited in the kernel's queue is served"
    );
    place.config(&route(&target, "").replace("systemd:out", "systemd:other"));
    let refused = place.mwid(&["reload"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(
        told.contains("the route out: systemd passed no socket named other; set FileDescriptorName=other"),
        "{told}"
    );
    daemon.stop();
}
