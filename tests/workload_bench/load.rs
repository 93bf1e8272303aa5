//! The readers: connections with streams that wait for messages. HTTP/2 by hand, as little of it as a client can do with, so that what is measured is
//! the server: windows without end, no table of headers, bytes counted and not kept.
use crate::user::as_user;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// Between a frame's length and what is in it.
const FRAME_HEAD: usize = 9;
/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);

/// All readers of one measurement.
pub(crate) struct Readers {
    shared: Rc<Shared>,
    streams: usize,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    round: RefCell<Round>,
    whole: Notify,
}

/// Messages since it began.
#[derive(Default)]
struct Round {
    began: Option<Instant>,
    wanted: usize,
    took: Vec<Duration>,
}

/// Where one stream is in its messages.
#[derive(Clone, Default)]
struct Place {
    prefix: Vec<u8>,
    left: usize,
}

impl Readers {
    /// Opens the streams, and returns when each has its first message. As root they are of several users, each of whom has his share.
    pub(crate) async fn open(socket: &Path, connections: usize, each: usize) -> Self {
        let mut readers = Self {
            shared: Rc::default(),
            streams: connections * each,
            tasks: JoinSet::new(),
        };
        readers.begin();
        for stream in connected(socket, connections) {
            stream.set_nonblocking(true).unwrap();
            let mut stream = UnixStream::from_std(stream).unwrap();
            stream.write_all(&questions(each)).await.unwrap();
            readers
                .tasks
                .spawn_local(read(stream, each, Rc::clone(&readers.shared)));
        }
        readers.whole_round().await;
        readers
    }

    /// What comes from now on is of a new round.
    pub(crate) fn begin(&self) {
        *self.shared.round.borrow_mut() = Round {
            began: Some(Instant::now()),
            wanted: self.streams,
            took: Vec::with_capacity(self.streams),
        };
    }

    /// How long after the round began each stream had its message.
    pub(crate) async fn whole_round(&mut self) -> Vec<Duration> {
        tokio::select! {
            within = tokio::time::timeout(WITHIN, self.shared.whole.notified()) => within.unwrap(),
            Some(ended) = self.tasks.join_next() => panic!("a reader ended: {ended:?}"),
        }
        std::mem::take(&mut self.shared.round.borrow_mut().took)
    }

    pub(crate) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Users whom nobody is.
const USERS: std::ops::Range<u32> = 45_100..45_108;

fn connected(socket: &Path, connections: usize) -> Vec<std::os::unix::net::UnixStream> {
    let connect = |_| std::os::unix::net::UnixStream::connect(socket).unwrap();
    if !nix::unistd::geteuid().is_root() {
        return (0..connections).map(connect).collect();
    }
    let each = connections.div_ceil(USERS.len());
    let mut left = connections;
    USERS
        .flat_map(|user| {
            let part = each.min(left);
            left -= part;
            as_user(user, user, &[], || (0..part).map(connect).collect::<Vec<_>>())
        })
        .collect()
}

/// Both processes hold a file or two for each connection.
pub(crate) fn raise_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// A client that opens one stream with the windows that HTTP/2 begins with, and never reads.
pub(crate) async fn never_reads(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    question(&mut bytes, 1);
    stream.write_all(&bytes).await.unwrap();
    stream
}

fn questions(streams: usize) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, the largest (RFC 9113, 6.5.2 and 6.9.1), and the same for the connection.
    frame(&mut bytes, SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    frame(
        &mut bytes,
        WINDOW,
        0,
        0,
        &(0x7fff_ffff_u32 - 0xffff).to_be_bytes(),
    );
    for number in 0..streams {
        question(&mut bytes, u32::try_from(number).unwrap() * 2 + 1);
    }
    bytes
}

fn question(bytes: &mut Vec<u8>, stream: u32) {
    // HPACK (RFC 7541): POST and http from the static table, the rest literal and never indexed.
    let mut head = vec![0x83, 0x86, 0x04];
    text(&mut head, "/SpiffeWorkloadAPI/FetchX509SVID");
    head.push(0x01);
    text(&mut head, "localhost");
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("workload.spiffe.io", "true"),
    ] {
        head.push(0);
        text(&mut head, name);
        text(&mut head, value);
    }
    frame(bytes, HEADERS, END_HEADERS, stream, &head);
    frame(bytes, DATA, END_STREAM, stream, &[0; PREFIX]);
}

fn text(into: &mut Vec<u8>, text: &str) {
    into.push(u8::try_from(text.len()).unwrap());
    into.extend_from_slice(text.as_bytes());
}

fn frame(into: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    into.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.extend_from_slice(payload);
}

async fn read(mut stream: UnixStream, streams: usize, shared: Rc<Shared>) {
    let mut places = vec![Place::default(); streams];
    let mut buffer = Vec::with_capacity(64 * 1024);
    loop {
        assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0, "closed");
        let (mut at, mut answers) = (0, vec![]);
        while let Some(head) = buffer.get(at..at + FRAME_HEAD) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = buffer.get(at + FRAME_HEAD..at + FRAME_HEAD + length) else {
                break;
            };
            match kind {
                DATA => {
                    let whole = places[number as usize / 2].take(payload);
                    shared.came(whole);
                }
                HEADERS => assert_eq!(flags & END_STREAM, 0, "stream {number} was ended"),
                RESET | GO_AWAY => panic!("frame of kind {kind}, stream {number}: {payload:?}"),
                SETTINGS if flags & ACK == 0 => frame(&mut answers, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut answers, PING, ACK, 0, payload),
                _ => {}
            }
            at += FRAME_HEAD + length;
        }
        buffer.drain(..at);
        stream.write_all(&answers).await.unwrap();
    }
}

impl Place {
    /// How many messages end in these bytes.
    fn take(&mut self, mut bytes: &[u8]) -> usize {
        let mut whole = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                let (of_prefix, rest) = bytes.split_at((PREFIX - self.prefix.len()).min(bytes.len()));
                self.prefix.extend_from_slice(of_prefix);
                bytes = rest;
                if let [0, a, b, c, d] = self.prefix[..] {
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                    assert_ne!(self.left, 0, "an empty message");
                    self.prefix.clear();
                }
            } else {
                let part = self.left.min(bytes.len());
                self.left -= part;
                bytes = &bytes[part..];
                whole += usize::from(self.left == 0);
            }
        }
        whole
    }
}

impl Shared {
    fn came(&self, messages: usize) {
        let mut round = self.round.borrow_mut();
        for _ in 0..messages {
            let took = round.began.unwrap().elapsed();
            round.took.push(took);
            assert!(round.took.len() <= round.wanted, "a message too many");
            if round.took.len() == round.wanted {
                self.whole.notify_one();
            }
        }
    }
}
