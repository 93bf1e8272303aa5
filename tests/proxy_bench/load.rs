//! Connections, many at a time, on one thread. Each shows by an echo that it was let in: a TLS 1.3 client is done before its server has judged it.
use crate::application::question;
use crate::mtls::{self, Offer, nobody};
use rustls::ClientConfig;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::pki::Leaf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing here takes so long unless it is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// So many source addresses, each with its own ports.
const SOURCES: u8 = 64;
/// So many of many connections are opened at once.
const AT_ONCE: usize = 64;

thread_local! {
    static SOURCE: Cell<u8> = const { Cell::new(0) };
    static PEER: Cell<usize> = const { Cell::new(0) };
}

/// Who connects, where to.
#[derive(Clone)]
pub(crate) struct Caller {
    /// Of each peer, who connect in turn.
    configs: Rc<[Arc<ClientConfig>]>,
    to: SocketAddr,
}

/// What callers in a closed loop have seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) made: Cell<u64>,
    pub(crate) failed: RefCell<Vec<String>>,
    /// When each certificate was there first.
    pub(crate) first: RefCell<HashMap<Vec<u8>, Instant>>,
    pub(crate) stop: Cell<bool>,
}

type Tls = TlsStream<TcpStream>;

impl Caller {
    /// Each leaf is a peer of its own.
    pub(crate) fn new(leaves: &[Leaf], offer: Offer, to: SocketAddr) -> Self {
        let configs = leaves
            .iter()
            .map(|leaf| mtls::client(Some(leaf), offer))
            .collect();
        Self { configs, to }
    }

    /// The next peer's.
    pub(crate) fn next(&self) -> (Arc<ClientConfig>, SocketAddr) {
        let peer = PEER.get() % self.configs.len();
        PEER.set(peer + 1);
        (Arc::clone(&self.configs[peer]), self.to)
    }

    async fn connect(&self) -> io::Result<Tls> {
        let mut tls = self.shake().await?;
        echo(&mut tls).await?;
        Ok(tls)
    }

    async fn shake(&self) -> io::Result<Tls> {
        let source = SOURCE.get() % SOURCES + 1;
        SOURCE.set(source);
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, source), 0).into())?;
        let (config, to) = self.next();
        let tcp = socket.connect(to).await?;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(config);
        connector.connect(nobody(), tcp).await
    }

    /// One connection from its beginning to both ends.
    async fn once(&self, seen: &Seen) -> io::Result<()> {
        let mut tls = self.shake().await?;
        let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let shown = shown.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
        seen.first.borrow_mut().entry(shown).or_insert_with(Instant::now);
        echo(&mut tls).await?;
        tls.shutdown().await?;
        match tls.read(&mut [0]).await? {
            0 => Ok(()),
            _ => Err(io::Error::other("bytes that nobody sent")),
        }
    }

    /// New connections without a pause, until told to stop.
    pub(crate) async fn in_a_loop(self, seen: Rc<Seen>) {
        while !seen.stop.get() {
            match timeout(STUCK, self.once(&seen)).await {
                Ok(Ok(())) => seen.made.set(seen.made.get() + 1),
                Ok(Err(e)) => seen.failed.borrow_mut().push(e.to_string()),
                Err(_) => seen.failed.borrow_mut().push(format!("nothing in {STUCK:?}")),
            }
        }
    }
}

async fn echo(tls: &mut Tls) -> io::Result<()> {
    let mut bytes = question(b'E', 1);
    bytes.push(b'x');
    tls.write_all(&bytes).await?;
    let mut back = [0];
    tls.read_exact(&mut back).await?;
    match &back {
        b"x" => Ok(()),
        _ => Err(io::Error::other("another echo")),
    }
}

/// Callers in a closed loop for some time; how many connections were made in it, what failed, and the CPU time that it took.
pub(crate) async fn handshakes(
    caller: &Caller,
    callers: usize,
    time: Duration,
    cpu: impl Fn() -> Duration,
) -> (u64, Vec<String>, Duration) {
    let seen = Rc::new(Seen::default());
    let mut all = JoinSet::new();
    for _ in 0..callers {
        all.spawn_local(caller.clone().in_a_loop(Rc::clone(&seen)));
    }
    tokio::time::sleep(time / 5).await; // the quantity that is measured is what happens in the time after it
    let before = (seen.made.get(), cpu());
    tokio::time::sleep(time).await;
    let (made, used) = (seen.made.get() - before.0, cpu() - before.1);
    seen.stop.set(true);
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
    (made, seen.failed.take(), used)
}

/// Connections that stay open.
pub(crate) struct Held {
    open: Vec<Tls>,
    pub(crate) failed: Vec<String>,
}

impl Held {
    pub(crate) async fn open(caller: &Caller, count: usize) -> Self {
        let (mut open, mut failed) = (Vec::with_capacity(count), vec![]);
        let mut opening = JoinSet::new();
        let mut begun = 0;
        while open.len() + failed.len() < count {
            while begun < count && opening.len() < AT_ONCE {
                let caller = caller.clone();
                opening.spawn_local(async move { timeout(STUCK, caller.connect()).await });
                begun += 1;
            }
            match opening.join_next().await.unwrap().unwrap() {
                Ok(Ok(tls)) => open.push(tls),
                Ok(Err(e)) => failed.push(e.to_string()),
                Err(_) => failed.push(format!("nothing in {STUCK:?}")),
            }
        }
        Self { open, failed }
    }

    /// How many answer no more.
    pub(crate) async fn dropped(&mut self) -> usize {
        let mut dropped = 0;
        for tls in &mut self.open {
            if !timeout(STUCK, echo(tls)).await.is_ok_and(|echo| echo.is_ok()) {
                dropped += 1;
            }
        }
        dropped
    }

    pub(crate) async fn close(self) {
        for mut tls in self.open {
            // What the other side makes of it is looked at there.
            tls.shutdown().await.ok();
        }
    }
}
