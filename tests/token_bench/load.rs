//! The client: as many connections as asked for, each with one request after the other.
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

#[derive(Clone)]
pub(crate) enum Target {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// One measurement.
pub(crate) struct Taken {
    pub(crate) rate: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

pub(crate) const REQUEST: &[u8] =
    b"GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n\
      Host: 127.0.0.1:8174\r\nMetadata-Flavor: Google\r\n\r\n";
/// Another question, with the same answer.
const OTHER: &[u8] = b"GET /computeMetadata/v1/instance/service-accounts/default/token?alt=json HTTP/1.1\r\n\
      Host: 127.0.0.1:8174\r\nMetadata-Flavor: Google\r\n\r\n";
/// What a client does who asks for one thing.
pub(crate) const SAME: &[&[u8]] = &[REQUEST];
/// Two questions in turn: none is the one before it, so that each is decided anew.
pub(crate) const IN_TURN: &[&[u8]] = &[REQUEST, OTHER];
const WARM_UP: Duration = Duration::from_millis(200);

thread_local! {
    /// The client has one thread.
    static TOOK: RefCell<Vec<Duration>> = const { RefCell::new(vec![]) };
}

impl Target {
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Self::Unix(_) => "unix",
            Self::Tcp(_) => "tcp",
        }
    }
}

pub(crate) async fn run(
    target: &Target,
    requests: &'static [&'static [u8]],
    connections: usize,
    time: Duration,
    cpu: impl Fn() -> Duration,
) -> Taken {
    let mut callers = JoinSet::new();
    for _ in 0..connections {
        match target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.unwrap();
                callers.spawn(call(stream, requests));
            }
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                callers.spawn(call(stream, requests));
            }
        }
    }
    tokio::time::sleep(WARM_UP).await; // the quantity that is measured is what happens in the time after it
    TOOK.take();
    let (began, before) = (Instant::now(), cpu());
    tokio::time::sleep(time).await;
    let (elapsed, used) = (began.elapsed(), cpu() - before);
    let mut took = TOOK.take();
    callers.abort_all();
    while let Some(ended) = callers.join_next().await {
        assert!(
            ended.is_err_and(|e| e.is_cancelled()),
            "a caller ended before the time"
        );
    }
    assert!(!took.is_empty(), "nothing was answered");
    took.sort();
    let part = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
    let count = took.len() as f64;
    Taken {
        rate: count / elapsed.as_secs_f64(),
        cpu_us: used.as_secs_f64() * 1e6 / count,
        p50_us: part(50),
        p99_us: part(99),
    }
}

async fn call<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, requests: &[&[u8]]) {
    let mut got = Vec::with_capacity(16 * 1024);
    for request in requests.iter().cycle() {
        let began = Instant::now();
        stream.write_all(request).await.unwrap();
        got.clear();
        while !is_whole(&got) {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "closed");
        }
        TOOK.with_borrow_mut(|took| took.push(began.elapsed()));
    }
}

/// Panics at anything but a token.
fn is_whole(got: &[u8]) -> bool {
    let Some(end) = got.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let head = std::str::from_utf8(&got[..end]).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse::<usize>().ok())?
    });
    got.len() == end + 4 + length.unwrap()
}
