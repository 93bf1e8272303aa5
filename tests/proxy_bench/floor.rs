//! The floor: the least that ends mutual TLS and passes bytes on. One thread, one epoll, rustls' API without buffers, and one set of buffers for all
//! connections. It verifies chains as rustls does by itself, and has no policy, no limits, no log, no metrics and no answer to a fault but to close.
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, PrivateKeyDer};
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::unbuffered::{ConnectionState, EncodeError};
use rustls::{RootCertStore, ServerConfig};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

pub(crate) const NAME: &str = "floor";
pub(crate) const ARGUMENT: &str = "--floor";
pub(crate) const FILES: [&str; 3] = ["certificates.pem", "private_key.pem", "roots.pem"];
/// Read at once: as the proxy does.
const READ: usize = 128 * 1024;
const LISTENER: u64 = u64::MAX;

type Fault = Box<dyn Error>;

/// Buffers of all connections.
struct Scratch {
    read: Vec<u8>,
    plain: Vec<u8>,
    /// What TLS itself has to say.
    said: Vec<u8>,
    /// Always of its full length, so that nothing is wiped only to be written over.
    sealed: Vec<u8>,
}

/// One socket of a pair.
struct End {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The other side sends no more.
    ended: bool,
    /// Nor do we.
    shut: bool,
    /// What did not go at once.
    waiting: Vec<u8>,
}

struct Pair {
    tls: UnbufferedServerConnection,
    wire: End,
    /// There after the handshake.
    plain: Option<End>,
    /// The beginning of a record.
    begun: Vec<u8>,
    shaken: bool,
}

impl End {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            readable: true,
            writable: true,
            ended: false,
            shut: false,
            waiting: Vec::new(),
        })
    }

    /// How much came; none: nothing did. A short read means that no more is there, as the events come by edges.
    fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.readable || self.ended {
            return Ok(None);
        }
        match self.stream.read(into) {
            Ok(n) => {
                self.ended = n == 0;
                self.readable = n == into.len();
                Ok(Some(n))
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.waiting.is_empty() && self.writable && !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(e) => return Err(e),
            }
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.waiting.is_empty() && self.writable {
            let waiting = std::mem::take(&mut self.waiting);
            self.send(&waiting)?;
        }
        Ok(())
    }

    fn shut(&mut self) {
        self.shut = true;
        // It may be gone already.
        self.stream.shutdown(Shutdown::Write).ok();
    }
}

impl Pair {
    /// Decrypts in place: plain bytes and what TLS has to say go to the end of their buffers. Tells how much is done with.
    fn open(&mut self, bytes: &mut [u8], plain: &mut Vec<u8>, said: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let status = self.tls.process_tls_records(&mut bytes[used..]);
            let mut discard = status.discard;
            let mut more = true;
            match status.state? {
                ConnectionState::ReadTraffic(mut records) => {
                    while let Some(record) = records.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut message) => {
                    let at = said.len();
                    if let Err(EncodeError::InsufficientSize(size)) = message.encode(&mut []) {
                        said.resize(at + size.required_size, 0);
                        message.encode(&mut said[at..])?;
                    }
                }
                ConnectionState::TransmitTlsData(message) => message.done(),
                ConnectionState::BlockedHandshake => more = false,
                ConnectionState::WriteTraffic(_) => more = false,
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.wire.ended = true;
                    more = false;
                }
                _ => return Err("an unknown state".into()),
            }
            used += discard;
            if !more {
                self.shaken = !self.tls.is_handshaking();
                return Ok(used);
            }
        }
    }

    /// Encrypts; without bytes, says that no more comes. Tells how many bytes that makes.
    fn seal(&mut self, bytes: Option<&[u8]>, sealed: &mut [u8]) -> Result<usize, Fault> {
        Ok(match self.tls.process_tls_records(&mut []).state? {
            ConnectionState::WriteTraffic(mut traffic) => match bytes {
                Some(bytes) => traffic.encrypt(bytes, sealed)?,
                None => traffic.queue_close_notify(sealed)?,
            },
            // The peer has closed both ways.
            _ => 0,
        })
    }

    fn inwards(&mut self, to: SocketAddr, scratch: &mut Scratch) -> Result<bool, Fault> {
        if self.plain.as_ref().is_some_and(|plain| !plain.waiting.is_empty()) {
            return Ok(false);
        }
        let Scratch {
            read, plain, said, ..
        } = scratch;
        let kept = self.begun.len();
        read[..kept].copy_from_slice(&self.begun);
        let Some(new) = self.wire.read(&mut read[kept..])? else {
            return Ok(false);
        };
        plain.clear();
        said.clear();
        let all = kept + new;
        let used = self.open(&mut read[..all], plain, said)?;
        self.wire.send(said)?;
        self.begun = read[used..all].to_vec();
        if self.shaken && self.plain.is_none() {
            // On the loopback interface this does not wait.
            self.plain = Some(End::new(TcpStream::connect(to)?)?);
        }
        if let Some(end) = &mut self.plain {
            end.send(plain)?;
        }
        Ok(true)
    }

    fn outwards(&mut self, scratch: &mut Scratch) -> Result<bool, Fault> {
        let Some(plain) = &mut self.plain else {
            return Ok(false);
        };
        if !self.wire.waiting.is_empty() {
            return Ok(false);
        }
        let Some(new) = plain.read(&mut scratch.read)? else {
            return Ok(false);
        };
        let bytes = (new > 0).then_some(&scratch.read[..new]);
        let size = self.seal(bytes, &mut scratch.sealed)?;
        self.wire.send(&scratch.sealed[..size])?;
        Ok(true)
    }

    /// Moves what can be moved. True: both sides have ended.
    fn turn(&mut self, to: SocketAddr, scratch: &mut Scratch) -> Result<bool, Fault> {
        loop {
            self.wire.flush()?;
            if let Some(plain) = &mut self.plain {
                plain.flush()?;
            }
            let moved = self.inwards(to, scratch)? | self.outwards(scratch)?;
            if let Some(plain) = &mut self.plain {
                if self.wire.ended && plain.waiting.is_empty() && !plain.shut {
                    plain.shut();
                }
                if plain.ended && self.wire.waiting.is_empty() && !self.wire.shut {
                    self.wire.shut();
                }
            }
            let plain_ended = self.plain.as_ref().is_none_or(|plain| plain.ended);
            if self.wire.ended && plain_ended && self.wire.waiting.is_empty() {
                return Ok(true);
            }
            if !moved {
                return Ok(false);
            }
        }
    }
}

fn config(folder: &Path) -> Arc<ServerConfig> {
    let [chain, key, roots] = FILES.map(|name| folder.join(name));
    let read = |path: &Path| -> Vec<CertificateDer<'static>> {
        let all = CertificateDer::pem_file_iter(path).unwrap();
        all.collect::<Result<_, _>>().unwrap()
    };
    let mut store = RootCertStore::empty();
    for root in read(&roots) {
        store.add(root).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(read(&chain), PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

struct Loop {
    epoll: Epoll,
    config: Arc<ServerConfig>,
    pairs: Vec<Option<Box<Pair>>>,
    free: Vec<usize>,
}

impl Loop {
    fn watch(&self, stream: &TcpStream, data: u64) {
        let all = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll.add(stream, EpollEvent::new(all, data)).unwrap();
    }

    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            let at = self.free.pop().unwrap_or_else(|| {
                self.pairs.push(None);
                self.pairs.len() - 1
            });
            self.watch(&stream, at as u64 * 2);
            self.pairs[at] = Some(Box::new(Pair {
                tls: UnbufferedServerConnection::new(Arc::clone(&self.config)).unwrap(),
                wire: End::new(stream).unwrap(),
                plain: None,
                begun: Vec::new(),
                shaken: false,
            }));
        }
    }

    fn serve(&mut self, event: EpollEvent, to: SocketAddr, scratch: &mut Scratch) {
        let at = usize::try_from(event.data() / 2).unwrap();
        let Some(mut pair) = self.pairs[at].take() else {
            return;
        };
        let end = match event.data() % 2 {
            0 => Some(&mut pair.wire),
            _ => pair.plain.as_mut(),
        };
        if let Some(end) = end {
            end.readable |= event.events() != EpollFlags::EPOLLOUT;
            end.writable |= event.events().contains(EpollFlags::EPOLLOUT);
        }
        let had_plain = pair.plain.is_some();
        match pair.turn(to, scratch) {
            Ok(false) => {
                if let (false, Some(plain)) = (had_plain, &pair.plain) {
                    self.watch(&plain.stream, event.data() + 1);
                }
                self.pairs[at] = Some(pair);
            }
            Ok(true) | Err(_) => self.free.push(at),
        }
    }
}

pub(crate) fn run(listen: SocketAddr, to: SocketAddr, folder: &Path) {
    let listener = crate::server::listen(listen);
    let mut all = Loop {
        epoll: Epoll::new(EpollCreateFlags::empty()).unwrap(),
        config: config(folder),
        pairs: Vec::new(),
        free: Vec::new(),
    };
    let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
    all.epoll.add(&listener, event).unwrap();
    let mut scratch = Scratch {
        read: vec![0; READ],
        plain: Vec::with_capacity(READ),
        said: Vec::new(),
        sealed: vec![0; READ + 4096],
    };
    let mut events = vec![EpollEvent::empty(); 1024];
    loop {
        let count = match all.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            waited => waited.unwrap(),
        };
        for &event in &events[..count] {
            match event.data() {
                LISTENER => all.accept(&listener),
                _ => all.serve(event, to, &mut scratch),
            }
        }
    }
}
