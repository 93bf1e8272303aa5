//! Floods at a route that speaks HTTP: memory stays bounded, others are served, and the daemon recovers alone.
use crate::proxy_floods::{PATIENCE, Peer, Site};
use crate::tokens::free_address;
use rustls::ClientConfig;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// As many as the daemon takes on one connection.
const STREAMS: u32 = 100;
/// What a connection may cost with all of them open and nothing read, in KiB: half of it is what a hundred connections to an application cost in any case.
const MOST_A_CONNECTION: u64 = 6 * 1024;

/// An application that answers `/small` with two bytes, and everything else with more than anybody takes. Counts what it was asked.
fn application() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let counts = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, counts) = (stream.unwrap(), Arc::clone(&counts));
            let mut serve = move || -> std::io::Result<()> {
                let mut head = BufReader::new(stream.try_clone()?).lines();
                let first = head.next().transpose()?.unwrap_or_default();
                while head.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
                counts.fetch_add(1, Ordering::Relaxed);
                if first.starts_with("GET /small ") {
                    return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")?;
                loop {
                    stream.write_all(&[7; 64 * 1024])?;
                }
            };
            // Ends when the other side breaks off.
            std::thread::spawn(move || serve().ok());
        }
    });
    (address, asked)
}

fn speaking(site: &Site, protocol: &[u8]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&site.config);
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// Of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A peer that asks as much as it may, has room for all answers, and reads none.
fn greedy(site: &Site, to: SocketAddr) -> Peer {
    let mut peer = Peer::connect(to, &speaking(site, b"h2")).unwrap();
    let largest = 0x7fff_ffff_u32.to_be_bytes();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[&[0, 4][..], &largest].concat()));
    bytes.extend(frame(8, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes()));
    // GET, https, `/`, and an authority in plain letters (RFC 7541, 6.2.2).
    let head = b"\x82\x87\x84\x01\x06a.test";
    for number in 0..STREAMS {
        bytes.extend(frame(1, 5, 2 * number + 1, head));
    }
    peer.0.write_all(&bytes).unwrap();
    peer.0.flush().unwrap();
    peer
}

fn is_served(site: &Site, to: SocketAddr) {
    let mut peer = Peer::connect(to, &speaking(site, b"http/1.1")).unwrap();
    peer.0
        .write_all(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    peer.0.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"),
        "{answer}"
    );
}

#[test]
fn peers_that_read_no_answer_of_a_hundred_cost_little_and_disturb_nobody() {
    let (listen, (app, asked)) = (free_address(), application());
    let site = Site::new(&format!(
        "  - {{ name: web, listen: \"{listen}\", forward: \"{app}\", unsafe_allow_all: true, http: true }}"
    ));
    let mut steady = site.peer();
    is_served(&site, listen);
    let before = site.memory();
    let connections = 4;
    let greedy: Vec<Peer> = (0..connections).map(|_| greedy(&site, listen)).collect();
    let begun = Instant::now();
    let wanted = connections * STREAMS as usize + 1;
    while asked.load(Ordering::Relaxed) < wanted {
        assert!(begun.elapsed() < PATIENCE, "{asked:?} of {wanted} requests came");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Until nothing grows any more.
    let (mut during, mut same) = (site.memory(), 0);
    while same < 20 {
        std::thread::sleep(Duration::from_millis(50));
        let now = site.memory();
        same = if now <= during + 64 { same + 1 } else { 0 };
        during = during.max(now);
    }
    eprintln!("{connections} peers with {STREAMS} unread answers each: {during} KiB, {before} before");
    assert!(
        during < before + MOST_A_CONNECTION * connections as u64,
        "{during} KiB, {before} before"
    );
    steady.echo();
    is_served(&site, listen);
    drop(greedy);
    site.recovers(steady, before);
}
