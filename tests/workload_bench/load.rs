//! The readers: connections with streams that wait for messages. HTTP/2 by hand, as little of it as a client can do with, so that what is measured is
//! the server: windows without end (but for who is slow on purpose), no table of headers, bytes counted and not kept.
use crate::user::as_user;
use std::cell::{Cell, RefCell};
use std::os::fd::AsRawFd;
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
    /// Of messages, all in all.
    bytes: Cell<usize>,
}

/// Two clients who do not take what they asked for.
pub(crate) struct Slow {
    /// Reads its socket, but has room for less than a message.
    narrow: Rc<Cell<usize>>,
    reading: JoinSet<()>,
    /// Has room for everything, and reads nothing: what is in the way is the socket's buffer.
    asleep: UnixStream,
}

/// The smallest message has more (a chain of two, a key and a root).
const NARROW: usize = 512;
/// So many that what they are sent after they came fills a socket's buffer within a few rounds.
const STREAMS_ASLEEP: usize = 200;

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
            stream.write_all(&questions(each, WIDE)).await.unwrap();
            let shared = Rc::clone(&readers.shared);
            let mut places = vec![Place::default(); each];
            readers.tasks.spawn_local(read(stream, move |number, bytes| {
                shared.bytes.set(shared.bytes.get() + bytes.len());
                shared.came(places[number as usize / 2].take(bytes));
            }));
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

    /// What each of them was sent, in bytes.
    pub(crate) fn bytes_each(&self) -> usize {
        self.shared.bytes.get() / self.streams
    }

    pub(crate) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Slow {
    pub(crate) async fn open(socket: &Path) -> Self {
        let mut narrow = UnixStream::connect(socket).await.unwrap();
        narrow.write_all(&questions(1, NARROW)).await.unwrap();
        let taken = Rc::new(Cell::new(0));
        let mut reading = JoinSet::new();
        let count = Rc::clone(&taken);
        reading.spawn_local(read(narrow, move |_, bytes| count.set(count.get() + bytes.len())));
        let mut asleep = UnixStream::connect(socket).await.unwrap();
        asleep.write_all(&questions(STREAMS_ASLEEP, WIDE)).await.unwrap();
        Self {
            narrow: taken,
            reading,
            asleep,
        }
    }

    /// Both were sent something, and less than each of the others in as many streams: they were in the way, and stayed.
    pub(crate) async fn close(mut self, bytes_each: usize) {
        assert!(
            self.reading.try_join_next().is_none(),
            "the reader without room was not kept"
        );
        assert_eq!(
            self.narrow.get(),
            NARROW,
            "who has no room for a message has what fits in"
        );
        assert!(NARROW < bytes_each, "others got no more: {bytes_each} bytes");
        let waiting = waiting(&self.asleep);
        assert!(waiting > 0, "who never reads was sent nothing");
        assert!(
            waiting < STREAMS_ASLEEP * bytes_each,
            "who never reads was sent all of it: {waiting} bytes, others {bytes_each} a stream"
        );
        self.reading.shutdown().await;
    }
}

/// What a socket was sent and nobody read.
fn waiting(stream: &UnixStream) -> usize {
    let mut bytes: nix::libc::c_int = 0;
    // SAFETY: the descriptor is open, and the kernel writes one number to where it is told (ioctl_list(2)).
    let done = unsafe { nix::libc::ioctl(stream.as_raw_fd(), nix::libc::FIONREAD, &raw mut bytes) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    usize::try_from(bytes).unwrap()
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

/// The largest window (RFC 9113, 6.9.1).
const WIDE: usize = 0x7fff_ffff;

/// What a client says first: its window of a stream, and so many calls. The connection's window is as wide as can be.
fn questions(streams: usize, window: usize) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, 6.5.2).
    let mut settings = vec![0, 4];
    settings.extend_from_slice(&u32::try_from(window).unwrap().to_be_bytes());
    frame(&mut bytes, SETTINGS, 0, 0, &settings);
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

/// Reads, and hands on what comes on each stream.
async fn read(mut stream: UnixStream, mut came: impl FnMut(u32, &[u8])) {
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
                DATA => came(number, payload),
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
