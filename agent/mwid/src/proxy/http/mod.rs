//! HTTP on an inbound route. In: a link whose peer was verified and decided. Out: its requests at the application, each with the peer's identity; how
//! the connection ended. HTTP/2 if TLS agreed on it, else HTTP/1.1. Never a request that says of its peer what was not verified.
mod alone;
mod answer;
mod app;
mod body;
mod fields;
mod frames;
mod look;
mod room;
mod speaks;
mod stream;
mod tunnel;
mod unsent;
mod websocket;
mod wire;

use super::connection::run::Limits;
use super::handshake::{close_gently, dismiss};
use super::link::Link;
use super::peers::Seat;
use super::record::Moved;
use super::refusal::End;
use super::route::Route;
use super::splice::{Early, Failure, abort};
use answer::{Answers, Front};
use app::{App, Tasks};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use look::Looks;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use stream::TlsStream;
use tokio::time::{Instant, Sleep, sleep_until};
use wire::Wire;

/// Of all fields of a head together.
const HEAD_BYTES: u32 = 64 * 1024;
const HEADERS: usize = 100;
/// Requests at once on one connection.
const STREAMS: u32 = 100;
/// Streams that a peer may reset before we have looked at them (CVE-2023-44487), and that we reset for its faults (CVE-2025-8671).
const RESETS: usize = 20;
const FAULTS: usize = 100;
/// What a peer may send before the application takes it.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What an application that speaks HTTP/2 may send before the peer takes it, on all streams of one peer.
const APP_WINDOW: u32 = 512 * 1024;
/// What of one answer HTTP/2 itself keeps for a peer that does not take it.
const SEND_BUFFER: usize = 64 * 1024;
/// From the first byte of a head to its last.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// For a peer at rest to hear that its time is over (GOAWAY, the end of TLS) before the connection is broken off.
const PARTING: Duration = Duration::from_secs(1);

/// What there is to tell of a connection.
pub(super) struct Served {
    pub(super) end: End,
    pub(super) moved: Moved,
}

/// Serves a connection to its end, and parts from the peer.
pub(super) async fn serve(
    route: &Arc<Route>,
    link: Box<Link>,
    early: Early,
    seat: &Seat,
    since: Instant,
) -> Served {
    let is_http2 = link.tls.state().alpn_protocol() == Some(b"h2");
    let wire = Wire::new(route, &early, is_http2);
    let tasks = Tasks::default();
    let ends = tasks.0.clone().drop_guard();
    let identity = route.shared.reader.current();
    let front = Arc::new(Front {
        client_cert: fields::client_cert(identity.as_ref().map(|identity| identity.id()), seat.peer()),
        peer: seat.peer().clone(),
        route: Arc::clone(route),
        wire: Arc::clone(&wire),
        app: App::new(route, &wire, tasks.clone()),
        requests: AtomicU64::new(0),
        tunnel: Mutex::default(),
    });
    let mut speech = Speech::begin(link, early, &front, &tasks, is_http2);
    let end = run(route, &mut speech, &front, seat, since).await;
    // At rest there is nothing that could be taken for whole.
    if !wire.is_at_rest() {
        wire.cut();
    }
    drop(ends);
    drop(speech);
    if let Some(left) = wire.left() {
        match end {
            End::Closed | End::Http(_) | End::Idle | End::Lifetime if left.closing => {
                close_gently(left.link).await;
            }
            End::Closed | End::Http(_) => dismiss(left.link).await,
            // The alert is on its way, and would be lost.
            End::Tls(_) => {}
            _ => abort(left.link.stream),
        }
    }
    let (received, sent) = wire.bytes();
    let moved = Moved {
        received,
        sent,
        requests: Some(front.requests.load(Ordering::Relaxed)),
    };
    Served { end, moved }
}

/// What is spoken on the connection now.
enum Speech {
    Http1(Pin<Box<http1::UpgradeableConnection<TokioIo<TlsStream>, Answers>>>),
    Http2(Pin<Box<http2::Connection<TokioIo<TlsStream>, Answers, Tasks>>>),
    Tunnel(Pin<Box<dyn Future<Output = io::Result<()>> + Send>>),
}

impl Speech {
    fn begin(link: Box<Link>, early: Early, front: &Arc<Front>, tasks: &Tasks, is_http2: bool) -> Self {
        let io = TokioIo::new(TlsStream::new(link, early, Arc::clone(&front.wire)));
        let answers = Answers(Arc::clone(front));
        if is_http2 {
            let mut http = http2::Builder::new(tasks.clone());
            http.max_concurrent_streams(STREAMS)
                .max_header_list_size(HEAD_BYTES)
                .max_pending_accept_reset_streams(RESETS)
                .max_local_error_reset_streams(FAULTS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER)
                .enable_connect_protocol();
            return Self::Http2(Box::pin(http.serve_connection(io, answers)));
        }
        let mut http = http1::Builder::new();
        // Ours runs from the first byte; hyper's would end connections that are idle.
        http.header_read_timeout(None)
            // Who has said that it sends no more may still wait for answers; the time for that is the route's.
            .half_close(true)
            .max_headers(HEADERS)
            .max_header_size(HEAD_BYTES as usize)
            .max_buf_size(2 * HEAD_BYTES as usize);
        Self::Http1(Box::pin(http.serve_connection(io, answers).with_upgrades()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        match self {
            Self::Http1(http) => http.as_mut().poll(cx).map_err(Failed::Http),
            Self::Http2(http) => http.as_mut().poll(cx).map_err(Failed::Http),
            Self::Tunnel(tunnel) => tunnel.as_mut().poll(cx).map_err(Failed::Tunnel),
        }
    }

    /// Takes no new requests, and says so.
    fn leave(&mut self) {
        match self {
            Self::Http1(http) => http.as_mut().graceful_shutdown(),
            Self::Http2(http) => http.as_mut().graceful_shutdown(),
            Self::Tunnel(_) => {}
        }
    }
}

enum Failed {
    Http(hyper::Error),
    Tunnel(io::Error),
}

async fn run(route: &Route, speech: &mut Speech, front: &Front, seat: &Seat, since: Instant) -> End {
    let wire = &front.wire;
    let mut gone = pin!(seat.gone());
    let mut leave = pin!(route.leave.cancelled());
    let mut leaving = false;
    let mut limits = Limits::new(route, since);
    let mut times = Times::new(since);
    let mut looks = Looks::default();
    let mut steps = wire.steps();
    poll_fn(|cx| {
        if gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(seat.why().map_or(End::Over, End::NoLonger));
        }
        if !leaving && leave.as_mut().poll(cx).is_ready() {
            leaving = true;
            speech.leave();
        }
        loop {
            if let Poll::Ready(ended) = poll_speech(speech, front, cx) {
                return Poll::Ready(times.over.take().unwrap_or(end(ended, wire)));
            }
            if times.is_head_late(speech, wire, cx) {
                return Poll::Ready(End::SlowHead);
            }
            if times.over.is_some() {
                let late = times.parting.as_mut().poll(cx);
                return late.map(|()| times.over.take().unwrap_or(End::Over));
            }
            let moved = wire.steps() != steps;
            steps = wire.steps();
            looks.poll(wire, cx);
            let reached = std::task::ready!(limits.poll(cx, moved.then(Instant::now), wire.is_half_closed()));
            let at_rest = wire.is_at_rest() && !matches!(speech, Speech::Tunnel(_));
            if !at_rest || !matches!(reached, End::Idle | End::Lifetime) {
                return Poll::Ready(reached);
            }
            speech.leave();
            times.part(reached);
        }
    })
    .await
}

/// What is spoken, to its end; a tunnel goes on where HTTP has ended.
fn poll_speech(speech: &mut Speech, front: &Front, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
    loop {
        let ended = std::task::ready!(speech.poll(cx));
        let tunnel = front.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (&ended, tunnel) {
            (Ok(()), Some(tunnel)) => {
                *speech = Speech::Tunnel(Box::pin(tunnel.run(Arc::clone(&front.wire))));
            }
            _ => return Poll::Ready(ended),
        }
    }
}

/// The times that only HTTP has.
struct Times {
    head: Pin<Box<Sleep>>,
    parting: Pin<Box<Sleep>>,
    /// The limit that a peer at rest has reached, and is told of.
    over: Option<End>,
}

impl Times {
    fn new(now: Instant) -> Self {
        Self {
            head: Box::pin(sleep_until(now)),
            parting: Box::pin(sleep_until(now)),
            over: None,
        }
    }

    fn part(&mut self, end: End) {
        self.parting.as_mut().reset(Instant::now() + PARTING);
        self.over = Some(end);
    }

    fn is_head_late(&mut self, speech: &Speech, wire: &Wire, cx: &mut Context<'_>) -> bool {
        let Some(since) = wire.head_since().filter(|_| !matches!(speech, Speech::Tunnel(_))) else {
            return false;
        };
        if self.head.deadline() != since + HEAD_TIME {
            self.head.as_mut().reset(since + HEAD_TIME);
        }
        self.head.as_mut().poll(cx).is_ready()
    }
}

/// What broke on the wire is why the rest did.
fn end(ended: Result<(), Failed>, wire: &Wire) -> End {
    match (wire.broken(), ended) {
        (Some(broken), _) => End::of(Failure::Link(broken)),
        (None, Ok(())) => End::Closed,
        (None, Err(Failed::Http(error))) => End::Http(error),
        (None, Err(Failed::Tunnel(error))) => End::Local(error),
    }
}
