//! Clients that are slow, large, many or gone, and a listener that fails.
mod misuse;

use super::super::metrics::Metrics;
use super::super::reply::{self, Reply};
use super::*;
use hyper::StatusCode;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Notify, mpsc};

/// Hands out what a test sends it: connections, or errors.
struct Scripted(mpsc::UnboundedReceiver<io::Result<DuplexStream>>);

impl Accept for Scripted {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        match self.0.recv().await {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }
}

/// Answers `hello`; `/slow` only when `gate` opens.
#[derive(Clone, Default)]
struct Hello {
    gate: Arc<Notify>,
    reached: Arc<Notify>,
    /// Whose the next connections are; nobody's when it is empty.
    holders: Arc<std::sync::Mutex<std::collections::VecDeque<Holder>>>,
}

impl Service<DuplexStream> for Hello {
    type Connection = Self;

    fn connected(&self, _: &DuplexStream) -> (Self, Option<Holder>) {
        (self.clone(), self.holders.lock().unwrap().pop_front())
    }
}

impl Answer for Hello {
    type Body = http_body_util::Full<hyper::body::Bytes>;

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        if request.uri().path() == "/slow" {
            self.reached.notify_one();
            self.gate.notified().await;
        }
        reply::text(StatusCode::OK, "hello\n")
    }
}

struct Server {
    hello: Hello,
    clients: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    counters: super::Server,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

fn start(limits: Limits) -> Server {
    let (clients, script) = mpsc::unbounded_channel();
    let (hello, stop) = (Hello::default(), CancellationToken::new());
    let counters = Metrics::default().server("test");
    let ended = tokio::spawn(serve(
        Scripted(script),
        Arc::new(hello.clone()),
        limits,
        counters.clone(),
        stop.clone(),
    ));
    Server {
        hello,
        clients,
        counters,
        stop,
        ended,
    }
}

impl Server {
    fn connect_as(&self, uid: u32) -> DuplexStream {
        let trusted = uid == 0;
        self.hello
            .holders
            .lock()
            .unwrap()
            .push_back(Holder { uid, trusted });
        self.connect()
    }

    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        self.clients.send(Ok(theirs)).unwrap();
        ours
    }
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ASK_SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Reads one answer of `hello`.
async fn answer(client: &mut DuplexStream) -> String {
    let mut got = Vec::new();
    while !got.ends_with(b"hello\n") {
        assert_ne!(
            client.read_buf(&mut got).await.unwrap(),
            0,
            "closed after {got:?}"
        );
    }
    String::from_utf8(got).unwrap()
}

async fn rest(client: &mut DuplexStream) -> String {
    let mut got = String::new();
    client.read_to_string(&mut got).await.unwrap();
    got
}

#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_its_header_is_closed_when_the_header_time_is_over() {
    let server = start(Limits::default());
    let mut client = server.connect();
    let began = Instant::now();
    let written = async {
        for byte in b"GET / HTTP/1.1\r\nX-Slow: 1234567890" {
            if client.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("the client could trickle for ever");
    };
    written.await;
    assert!(began.elapsed() >= Duration::from_secs(10) && began.elapsed() <= Duration::from_secs(12));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_after_the_header_time_and_an_idle_one_after_the_idle_time() {
    let server = start(Limits {
        idle: Duration::from_secs(30),
        ..Limits::default()
    });
    let mut silent = server.connect();
    let began = Instant::now();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(began.elapsed().as_secs(), 10);

    let mut idle = server.connect();
    tokio::time::sleep(Duration::from_secs(9)).await;
    idle.write_all(ASK).await.unwrap();
    answer(&mut idle).await;
    let began = Instant::now();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(
        began.elapsed().as_secs(),
        30,
        "from the answer, not from connecting"
    );

    let mut second = server.connect();
    second.write_all(ASK).await.unwrap();
    answer(&mut second).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    second.write_all(b"GET / HT").await.unwrap();
    let began = Instant::now();
    assert_eq!(rest(&mut second).await, "");
    assert_eq!(
        began.elapsed().as_secs(),
        10,
        "from the first byte of the second header"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_slow_answer_the_idle_time_begins_with_the_answer() {
    let server = start(Limits::default());
    let mut client = server.connect();
    client.write_all(ASK_SLOW).await.unwrap();
    server.hello.reached.notified().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    server.hello.gate.notify_one();
    answer(&mut client).await;
    let began = Instant::now();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_closes_the_connection() {
    let server = start(Limits::default());
    let mut client = server.connect();
    let began = Instant::now();
    client.write_all(ASK_SLOW).await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_closed() {
    let server = start(Limits::default());
    let (mut ours, theirs) = duplex(16);
    server.clients.send(Ok(theirs)).unwrap();
    ours.write_all(ASK).await.unwrap();
    while server.counters.open() == 0 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    while server.counters.open() == 1 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(began.elapsed() < Duration::from_secs(70), "still open");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_too_large_is_refused_and_the_connection_closed() {
    let server = start(Limits::default());
    let mut client = server.connect();
    client.write_all(b"GET / HTTP/1.1\r\nX-Large: ").await.unwrap();
    client.write_all(&[b'x'; 9 * 1024]).await.unwrap();
    let got = rest(&mut client).await;
    assert!(got.starts_with("HTTP/1.1 431 "), "{got}");
}

#[tokio::test(start_paused = true)]
async fn one_connection_more_than_allowed_waits_for_a_free_place() {
    let server = start(Limits {
        connections: 2,
        ..Limits::default()
    });
    let (mut first, mut second) = (server.connect(), server.connect());
    for client in [&mut first, &mut second] {
        client.write_all(ASK).await.unwrap();
        answer(client).await;
    }
    let mut third = server.connect();
    third.write_all(ASK).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(500), third.read_u8()).await;
    assert!(waiting.is_err(), "answered with all places taken");
    assert_eq!(server.counters.fills(), 1);
    drop(first);
    let served = tokio::time::timeout(Duration::from_millis(200), answer(&mut third)).await;
    served.expect("the place of a closed connection is free");
    second.write_all(ASK).await.unwrap();
    answer(&mut second).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_file_table_is_waited_out_without_spinning() {
    let server = start(Limits::default());
    let began = Instant::now();
    for errno in [
        nix::errno::Errno::EMFILE,
        nix::errno::Errno::ENFILE,
        nix::errno::Errno::EMFILE,
    ] {
        server.clients.send(Err(errno.into())).unwrap();
    }
    let mut client = server.connect();
    client.write_all(ASK).await.unwrap();
    answer(&mut client).await;
    assert_eq!(server.counters.accept_failures(), 3);
    assert_eq!(began.elapsed().as_millis(), 10 + 20 + 40, "pauses that double");
    // A good connection starts the pauses anew.
    server
        .clients
        .send(Err(nix::errno::Errno::EMFILE.into()))
        .unwrap();
    let began = Instant::now();
    let mut client = server.connect();
    client.write_all(ASK).await.unwrap();
    answer(&mut client).await;
    assert_eq!(began.elapsed().as_millis(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_went_away_before_it_was_accepted_costs_no_pause() {
    let server = start(Limits::default());
    let began = Instant::now();
    for _ in 0..100 {
        server
            .clients
            .send(Err(io::ErrorKind::ConnectionAborted.into()))
            .unwrap();
    }
    let mut client = server.connect();
    client.write_all(ASK).await.unwrap();
    answer(&mut client).await;
    assert_eq!(began.elapsed().as_millis(), 0);
    assert_eq!(server.counters.accept_failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn stopping_closes_idle_connections_and_finishes_requests_in_flight() {
    let server = start(Limits::default());
    let (mut idle, mut busy) = (server.connect(), server.connect());
    idle.write_all(ASK).await.unwrap();
    answer(&mut idle).await;
    busy.write_all(ASK_SLOW).await.unwrap();
    server.hello.reached.notified().await;
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert!(!server.ended.is_finished(), "ended with a request in flight");
    server.hello.gate.notify_one();
    let got = rest(&mut busy).await;
    assert!(
        got.contains("connection: close") && got.ends_with("hello\n"),
        "{got}"
    );
    server.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopping_has_an_end_even_when_a_request_has_none() {
    let server = start(Limits::default());
    let mut busy = server.connect();
    busy.write_all(ASK_SLOW).await.unwrap();
    server.hello.reached.notified().await;
    let began = Instant::now();
    server.stop.cancel();
    server.ended.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(server.counters.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_of_a_closed_connection() {
    let server = start(Limits::default());
    let mut client = server.connect();
    client.write_all(ASK).await.unwrap();
    answer(&mut client).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 2, "the loop and the connection");
    drop(client);
    let began = Instant::now();
    while tasks() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(began.elapsed().as_millis(), 0, "closed at once, not by a timer");
    assert_eq!(server.counters.open(), 0);
}

/// An answer within this time of tokio's paused clock came without waiting for anything.
async fn answered_at_once(client: &mut DuplexStream) {
    client.write_all(ASK).await.unwrap();
    let began = Instant::now();
    answer(client).await;
    assert!(
        began.elapsed() < Duration::from_millis(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_user_who_holds_connections_without_using_them_takes_no_place_of_others() {
    let server = start(Limits {
        connections: 16,
        ..Limits::default()
    });
    let silent: Vec<_> = (0..200).map(|_| server.connect_as(1000)).collect();
    let mut other = server.connect_as(1001);
    answered_at_once(&mut other).await;
    assert_eq!(server.counters.refused(), 196, "a quarter of 16 have a place");
    assert_eq!(server.counters.fills(), 0);
    // Its own next connection takes the place of one that was silent for long.
    tokio::time::sleep(Duration::from_secs(1)).await;
    answered_at_once(&mut server.connect_as(1000)).await;
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn many_users_together_leave_places_for_the_trusted() {
    let server = start(Limits {
        connections: 16,
        ..Limits::default()
    });
    let _silent: Vec<_> = (1..=10)
        .flat_map(|uid| [uid; 4])
        .map(|uid| server.connect_as(uid))
        .collect();
    answered_at_once(&mut server.connect_as(0)).await;
    assert_eq!(server.counters.refused(), 40 - 14, "all but an eighth of 16");
    // Who works keeps its place, who only waits leaves it to a newcomer.
    tokio::time::sleep(Duration::from_secs(1)).await;
    answered_at_once(&mut server.connect_as(11)).await;
}

#[tokio::test(start_paused = true)]
async fn with_all_places_taken_who_keeps_one_for_nothing_leaves_it_after_a_second() {
    let server = start(Limits {
        connections: 2,
        ..Limits::default()
    });
    let (mut busy, mut silent) = (server.connect(), server.connect());
    busy.write_all(ASK_SLOW).await.unwrap();
    server.hello.reached.notified().await;
    let mut third = server.connect();
    third.write_all(ASK).await.unwrap();
    let began = Instant::now();
    answer(&mut third).await;
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_millis(900) && waited <= Duration::from_millis(1200),
        "{waited:?}"
    );
    assert_eq!(rest(&mut silent).await, "");
    server.hello.gate.notify_one();
    answer(&mut busy).await;
}
