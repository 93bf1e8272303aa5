//! Floods at a route of the proxy: a connection that was there goes on, good new ones get in, memory stays bounded and is given back, and the daemon
//! recovers alone.
use crate::daemon::{Daemon, PATH, Place, mwid};
use crate::mtls::{self, Offer};
use crate::tokens::free_address;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Longer than anything here takes; only a broken test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Who is let in is answered within this, flood or no flood. Less than a handshake may take (10 s), so that nobody has waited for another one's end.
const SOON: Duration = Duration::from_secs(8);
/// More than the kernel and the daemon keep of one stream that nobody reads.
const MOST_UNREAD: usize = 48 << 20;
/// More than a flood may take: 256 handshakes of 64 KiB each, twice, and some.
const MOST_MEMORY: u64 = 40_000;
/// What may be left of it afterwards: of the last 63 connections, 64 KiB each, and some.
const LEFT_MEMORY: u64 = 6_000;

/// The daemon with the route `in` to an application that echoes, and maybe another one.
pub(crate) struct Site {
    _place: Place,
    pub(crate) daemon: Daemon,
    listen: SocketAddr,
    pub(crate) config: Arc<ClientConfig>,
}

/// A good peer's connection.
pub(crate) struct Peer(pub(crate) StreamOwned<ClientConnection, TcpStream>);

/// An application that sends back what it gets.
fn echoes() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            // Its peer's end is a test's to look at.
            std::thread::spawn(move || io::copy(&mut &stream, &mut &stream).ok());
        }
    });
    address
}

impl Site {
    pub(crate) fn new(more: &str) -> Self {
        Self::start(more, Place::start)
    }

    fn start(more: &str, start: impl FnOnce(&Place) -> Daemon) -> Self {
        Self::with("", more, start)
    }

    /// `keys` are more keys of the route, `more` is another route.
    fn with(keys: &str, more: &str, start: impl FnOnce(&Place) -> Daemon) -> Self {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let (mut place, listen) = (Place::new(), free_address());
        place.config(&format!(
            "proxy:\n  inbound:\n  - {{ name: in, listen: \"{listen}\", forward: \"{}\", allow: [\"{}\"]{keys} }}\n{more}",
            echoes(),
            Self::allowed(&place)
        ));
        place.deliver_good();
        let mut daemon = start(&place);
        daemon.wait_ready();
        let config = mtls::client(Some(&place.world.leaf(PATH)), Offer::default());
        Self {
            _place: place,
            daemon,
            listen,
            config,
        }
    }

    fn allowed(place: &Place) -> String {
        format!("spiffe://{}", place.world.root.trust_domain)
    }

    /// Also one that the daemon takes for the flood's is let in, if it is good.
    pub(crate) fn peer(&self) -> Peer {
        let mut peer = Peer::connect(self.listen, &self.config).unwrap();
        // With the handshake.
        peer.echo();
        peer
    }

    /// RssAnon, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// One number of the metrics.
    fn metric(&self, line: &str) -> u64 {
        let metrics = self.daemon.get("/metrics").unwrap().body;
        let found = metrics
            .lines()
            .find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
        found
            .unwrap_or_else(|| panic!("no {line} in\n{metrics}"))
            .parse()
            .unwrap()
    }

    fn accepted(&self, route: &str) -> u64 {
        self.metric(&format!(
            "mwid_proxy_connections_accepted_total{{route=\"{route}\"}}"
        ))
    }

    fn takes_little(&self, before: u64) {
        let during = self.memory();
        assert!(during < before + MOST_MEMORY, "{during} KiB, {before} before");
    }

    /// All refusals of a route with one of these reasons.
    fn refused(&self, route: &str, reasons: &[&str]) -> u64 {
        let metrics = self.daemon.get("/metrics").unwrap().body;
        let count = |reason: &&str| {
            let line = format!("mwid_proxy_handshakes_total{{route=\"{route}\",reason=\"{reason}\"}} ");
            let found = metrics.lines().find_map(|one| one.strip_prefix(&line));
            found.map_or(0, |count| count.parse().unwrap())
        };
        reasons.iter().map(count).sum()
    }

    /// Waits for so many refusals.
    fn wait_refused(&mut self, route: &str, reasons: &[&str], count: u64) {
        let begun = Instant::now();
        while self.refused(route, reasons) < count {
            let refused = self.refused(route, reasons);
            assert!(
                begun.elapsed() < PATIENCE,
                "{refused} of {count} were refused:\n{}",
                self.daemon.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// After a flood that began with this memory: nobody is left but those who should, memory is given back, and all is well.
    pub(crate) fn recovers(mut self, steady: Peer, before: u64) {
        let mut steady = steady;
        steady.echo();
        drop(self.peer());
        let pid = self.daemon.pid();
        self.daemon.wait_for("an end of all but one", |daemon| {
            daemon.status().is_some_and(|status| {
                let routes = status["routes"].as_array().unwrap();
                routes
                    .iter()
                    .map(|route| route["open"].as_u64().unwrap())
                    .sum::<u64>()
                    == 1
            })
        });
        let begun = Instant::now();
        while self.memory() > before + LEFT_MEMORY {
            let kept = self.memory();
            assert!(
                begun.elapsed() < PATIENCE,
                "{pid} keeps {kept} KiB, {before} before"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        steady.echo();
        assert!(self.daemon.is_ready());
        drop(steady);
        self.daemon.stop();
    }
}

impl Peer {
    pub(crate) fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let tcp = TcpStream::connect(to)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let tls = ClientConnection::new(Arc::clone(config), mtls::nobody()).unwrap();
        Ok(Self(StreamOwned::new(tls, tcp)))
    }

    pub(crate) fn echo(&mut self) {
        let begun = Instant::now();
        self.0.write_all(b"ping").unwrap();
        let mut back = [0; 4];
        self.0.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"ping");
        let took = begun.elapsed();
        assert!(took < SOON, "it took {took:?}");
    }
}

impl Peer {
    /// Whether it is let in, and answered soon.
    fn gets_in(mut self) -> bool {
        self.0.sock.set_read_timeout(Some(SOON)).unwrap();
        let mut back = [0; 4];
        self.0.write_all(b"ping").is_ok() && self.0.read_exact(&mut back).is_ok()
    }

    /// Sends until nothing goes any more.
    fn fill(&mut self) {
        let StreamOwned { conn, sock } = &mut self.0;
        sock.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut sent = 0;
        loop {
            assert!(sent < MOST_UNREAD, "somebody keeps all of it");
            conn.writer().write_all(&[7; 32 * 1024]).unwrap();
            while conn.wants_write() {
                match conn.write_tls(sock) {
                    Ok(n) => sent += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                    Err(e) => panic!("{e}"),
                }
            }
        }
    }
}

/// The first bytes of a good client.
fn hello(site: &Site) -> Vec<u8> {
    let mut tls = ClientConnection::new(Arc::clone(&site.config), mtls::nobody()).unwrap();
    let mut bytes = vec![];
    tls.write_tls(&mut bytes).unwrap();
    bytes
}

fn connections(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(to).unwrap()).collect()
}

fn reset(tcp: TcpStream) {
    let now = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&tcp, sockopt::Linger, &now).unwrap();
    drop(tcp);
}

#[test]
fn two_thousand_silent_connections_keep_nobody_out() {
    // One place for handshakes, and minutes for each: whoever waited for a silent one would wait longer than this test.
    let site = Site::with(
        ", max_handshakes: 1, timeouts: { handshake: 5m }",
        "",
        Place::start,
    );
    let mut steady = site.peer();
    let before = site.memory();
    let silent = connections(site.listen, 2000);
    steady.echo();
    for _ in 0..20 {
        drop(site.peer());
    }
    steady.echo();
    let open = site.daemon.status().unwrap()["routes"][0]["open"]
        .as_u64()
        .unwrap();
    assert!(open > 2000, "{open}: silent ones are held, and none had to go");
    assert_eq!(site.refused("in", &["displaced", "timeout"]), 0);
    site.takes_little(before);
    drop(silent);
    site.recovers(steady, before);
}

#[test]
fn garbage_is_refused_by_its_name_as_fast_as_it_comes() {
    let mut site = Site::new("");
    let mut steady = site.peer();
    let before = site.memory();
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 512],
        &[0xff; 64],
        &[22, 3, 1, 0xff, 0xff, 1, 2, 3],
        &[22, 3, 1, 0, 5, 99, 0, 0, 1, 0],
    ];
    for bytes in garbage.iter().cycle().take(1000) {
        let mut tcp = TcpStream::connect(site.listen).unwrap();
        tcp.write_all(bytes).unwrap();
        // An alert, or a reset: it is closed in any case.
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = tcp.read_to_end(&mut vec![]);
        let timed_out = |e: &io::Error| e.kind() == ErrorKind::WouldBlock;
        assert!(!end.as_ref().is_err_and(timed_out), "{end:?}");
        if bytes.len() == 64 {
            steady.echo();
        }
    }
    site.wait_refused("in", &["not_tls", "tls"], 1000);
    site.takes_little(before);
    site.recovers(steady, before);
}

#[test]
fn hellos_in_single_bytes_keep_nobody_out() {
    // So few places that nobody would get in if each of the slow ones had one.
    let site = Site::with(
        ", max_handshakes: 8, timeouts: { handshake: 15s }",
        "",
        Place::start,
    );
    let mut steady = site.peer();
    let before = site.memory();
    let hello = hello(&site);
    let mut slow = connections(site.listen, 300);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // So slowly that none is done in the end.
    let drips = std::thread::spawn(move || {
        for byte in &hello[..hello.len() - 1] {
            for tcp in &mut slow {
                tcp.set_nodelay(true).unwrap();
                tcp.write_all(&[*byte]).unwrap();
            }
            if stopped.recv_timeout(Duration::from_millis(5)) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        slow
    });
    for _ in 0..20 {
        steady.echo();
        let new = Peer::connect(site.listen, &site.config).unwrap();
        assert!(new.gets_in(), "kept out:\n{}", site.daemon.log());
    }
    assert_eq!(site.refused("in", &["displaced"]), 0, "they had places");
    site.takes_little(before);
    drop(stop);
    let held = drips.join().unwrap();
    site.recovers(steady, before);
    drop(held);
}

#[test]
fn hellos_without_a_word_after_them_keep_nobody_out() {
    // So few places that whoever had to wait until each of them had its second would never get in.
    let site = Site::with(
        ", max_handshakes: 8, timeouts: { handshake: 60s }",
        "",
        Place::start,
    );
    let mut steady = site.peer();
    let before = site.memory();
    let hello = hello(&site);
    let mut silent = connections(site.listen, 600);
    for tcp in &mut silent {
        tcp.write_all(&hello).unwrap();
    }
    for _ in 0..5 {
        steady.echo();
        // A machine that has much else to do may need more than the second of one that gets nowhere.
        let begun = Instant::now();
        while !Peer::connect(site.listen, &site.config).unwrap().gets_in() {
            assert!(begun.elapsed() < SOON, "kept out:\n{}", site.daemon.log());
        }
    }
    assert!(site.refused("in", &["displaced"]) > 0, "nobody had to wait");
    site.takes_little(before);
    drop(silent);
    site.recovers(steady, before);
}

#[test]
fn hellos_in_endless_fragments_take_bounded_memory() {
    let site = Site::with(", timeouts: { handshake: 5s }", "", Place::start);
    let mut steady = site.peer();
    let before = site.memory();
    // A message of 64 KiB in records of one byte, as far as it is kept without an end.
    let head = [1, 0, 0xff, 0xff];
    let bytes = head.into_iter().chain(std::iter::repeat(0)).take(10_000);
    let records: Vec<u8> = bytes.flat_map(|byte| [22, 3, 1, 0, 1, byte]).collect();
    let mut pieces = connections(site.listen, 300);
    for tcp in &mut pieces {
        tcp.write_all(&records).ok();
    }
    steady.echo();
    drop(site.peer());
    site.takes_little(before);
    // They stay: it is the daemon that ends them.
    site.recovers(steady, before);
    drop(pieces);
}

#[test]
fn resets_leave_nothing_behind() {
    let site = Site::new("");
    let mut steady = site.peer();
    let before = site.memory();
    let hello = hello(&site);
    for at in 0..2000 {
        let mut tcp = TcpStream::connect(site.listen).unwrap();
        if at % 2 == 0 {
            tcp.write_all(&hello).unwrap();
        }
        reset(tcp);
        if at % 100 == 0 {
            steady.echo();
        }
    }
    // And in the middle of a connection.
    for _ in 0..50 {
        reset(site.peer().0.sock);
    }
    let accepted = site.accepted("in");
    assert!(accepted > 2000, "{accepted}: they never came so far");
    site.takes_little(before);
    site.recovers(steady, before);
}

#[test]
fn with_64_descriptors_it_goes_on_and_recovers_from_their_end() {
    let site = Site::with(", timeouts: { handshake: 2s }", "", |place| {
        let binary = mwid();
        let mut few = Command::new("sh");
        few.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
            .arg(binary.get_program())
            .args(["run", "--config"])
            .arg(place.path("mwid.yaml"));
        for (name, value) in binary.get_envs() {
            match value {
                Some(value) => few.env(name, value),
                None => few.env_remove(name),
            };
        }
        place.start_as(&mut few)
    });
    let mut steady = site.peer();
    let before = site.memory();
    let many = connections(site.listen, 200);
    for _ in 0..20 {
        steady.echo();
        std::thread::sleep(Duration::from_millis(10));
    }
    site.takes_little(before);
    // They stay: it is the daemon that ends them.
    let begun = Instant::now();
    while site.refused("in", &["timeout", "displaced"]) < 200 {
        assert!(
            begun.elapsed() < PATIENCE,
            "it does not recover:\n{}",
            site.daemon.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let errors = site.metric("mwid_proxy_accept_errors_total{route=\"in\"}");
    assert!(errors > 0, "there were enough descriptors");
    site.recovers(steady, before);
    drop(many);
}

#[test]
fn a_dead_target_is_its_own_routes_trouble() {
    let (listen, nobody) = (free_address(), free_address());
    let mut site = Site::new(&format!(
        "  - {{ name: dead, listen: \"{listen}\", forward: \"{nobody}\", unsafe_allow_all: true }}"
    ));
    let mut steady = site.peer();
    let before = site.memory();
    for at in 0..200 {
        let mut peer = Peer::connect(listen, &site.config).unwrap();
        // The error is in what follows the handshake.
        peer.0.write_all(b"ping").ok();
        assert!(peer.0.read(&mut [0; 4]).is_err(), "an end that nobody said");
        if at % 10 == 0 {
            steady.echo();
        }
    }
    drop(site.peer());
    site.wait_refused("dead", &["connect"], 200);
    site.recovers(steady, before);
}

#[test]
fn a_target_that_never_reads_stops_its_senders_and_nobody_else() {
    let (listen, app) = (free_address(), TcpListener::bind("127.0.0.1:0").unwrap());
    let site = Site::new(&format!(
        "  - {{ name: deaf, listen: \"{listen}\", forward: \"{}\", unsafe_allow_all: true, timeouts: {{ half_close: 2s }} }}",
        app.local_addr().unwrap()
    ));
    let mut steady = site.peer();
    let before = site.memory();
    let mut senders = vec![];
    for _ in 0..20 {
        let mut peer = Peer::connect(listen, &site.config).unwrap();
        peer.0.write_all(b"the handshake's end").unwrap();
        peer.fill();
        senders.push(peer);
        steady.echo();
    }
    drop(site.peer());
    site.takes_little(before);
    // The application is still there, and reads nothing.
    senders.into_iter().for_each(|peer| reset(peer.0.sock));
    site.recovers(steady, before);
    drop(app);
}

/// Dials that do not end: the kernel has no place for them at the target, and says nothing.
#[test]
fn a_target_that_does_not_answer_holds_nobody_elses_connections() {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let full = TcpListener::from(socket);
    let address = free_address();
    let at = nix::sys::socket::SockaddrIn::from(match address {
        SocketAddr::V4(v4) => v4,
        SocketAddr::V6(_) => unreachable!(),
    });
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&full), &at).unwrap();
    nix::sys::socket::listen(&full, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _queue = TcpStream::connect(address).unwrap();
    let listen = free_address();
    let mut site = Site::new(&format!(
        "  - {{ name: silent, listen: \"{listen}\", forward: \"{address}\", unsafe_allow_all: true, timeouts: {{ connect: 3s }} }}"
    ));
    let mut steady = site.peer();
    let before = site.memory();
    let mut waiting = vec![];
    for at in 0..200 {
        let mut peer = Peer::connect(listen, &site.config).unwrap();
        peer.0.write_all(b"the handshake's end").unwrap();
        waiting.push(peer);
        if at % 20 == 0 {
            steady.echo();
            drop(site.peer());
        }
    }
    site.takes_little(before);
    site.wait_refused("silent", &["connect_timeout"], 200);
    site.recovers(steady, before);
    drop(waiting);
}

#[test]
fn a_peer_that_never_reads_stops_its_application_and_nobody_else() {
    let (listen, app) = (free_address(), TcpListener::bind("127.0.0.1:0").unwrap());
    let site = Site::new(&format!(
        "  - {{ name: deaf, listen: \"{listen}\", forward: \"{}\", unsafe_allow_all: true }}",
        app.local_addr().unwrap()
    ));
    let mut steady = site.peer();
    let before = site.memory();
    let mut deaf = vec![];
    for _ in 0..20 {
        let mut peer = Peer::connect(listen, &site.config).unwrap();
        peer.0.write_all(b"the handshake's end").unwrap();
        let (mut server, _) = app.accept().unwrap();
        server
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut sent = 0;
        while let Ok(n) = server.write(&[7; 32 * 1024]) {
            sent += n;
            assert!(sent < MOST_UNREAD, "somebody keeps all of it");
        }
        deaf.push((peer, server));
        steady.echo();
    }
    drop(site.peer());
    site.takes_little(before);
    drop(deaf);
    site.recovers(steady, before);
}
