//! The way to the application. In: requests that are ready to go. Out: its answers. Its connections are kept and used again, but only for the one client
//! connection that they were made for: an application may remember who speaks on a connection, and what one peer left behind on one (a half-read body,
//! a wrong length) is never another's beginning.
use super::super::alive;
use super::super::refusal::Refusal;
use super::super::route::Route;
use super::super::splice::abort;
use super::super::target::Chosen;
use super::alone::Alone;
use super::body::Passing;
use super::room::{Place, Room};
use super::speaks::Speaks;
use super::wire::Wire;
use crate::http::Stream;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Idle connections that are kept; with HTTP/2 from the client there may be more in use for a time.
const MOST_IDLE: usize = 16;
/// Between the end of a dial's time and that of the request it is for.
const GRACE: Duration = Duration::from_millis(50);
/// Of an answer's head.
const HEAD_BYTES: usize = 256 * 1024;
const HEADERS: usize = 200;

/// What is read of an application at once while few requests are under way, and while many are: what their client does not take lies here.
const MOST_READ: usize = 32 * 1024;
const LEAST_READ: usize = 4 * 1024;
/// What all of them may read at once, about.
const READ: usize = 512 * 1024;

/// Of one of so many requests.
fn share(requests: usize) -> usize {
    (READ / requests.max(1)).clamp(LEAST_READ, MOST_READ)
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error(transparent)]
    Reach(Refusal),
    #[error(
        "all connections to the application are taken: as many as max_connections, and one for each client connection"
    )]
    Full,
    #[error("no connection to the application in HTTP/2, and its first SETTINGS on it, within {} s", .0.as_secs_f32())]
    Late(Duration),
    #[error("the application broke off, or speaks no HTTP of this version")]
    Broke(#[source] hyper::Error),
    #[error("the application changes the protocol without being asked to")]
    Switches,
    #[error("the application does not answer to HTTP/2 without TLS in HTTP/2")]
    NotHttp2,
    #[error(
        "the application agrees to WebSocket with a Sec-WebSocket-Accept that does not belong to the key"
    )]
    Accept,
    #[error("the application does not agree to WebSocket, and does not refuse it")]
    NoWebSocket,
    #[error(
        "the application does not say that it takes WebSocket in HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL)"
    )]
    NoExtended,
    #[error("there is no key for WebSocket: the system's source of random numbers failed")]
    NoRandom,
}

impl NoAnswer {
    /// A short, bounded name.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Reach(refusal) => refusal.reason(),
            Self::Full => "app_full",
            Self::Late(_) => "connect_timeout",
            Self::Broke(_) => "broke",
            Self::Switches => "switches",
            Self::NotHttp2 => "not_http2",
            Self::Accept => "websocket_accept",
            Self::NoWebSocket | Self::NoExtended => "no_websocket",
            Self::NoRandom => "no_random",
        }
    }
}

/// Runs what belongs to one connection, and ends it with it.
#[derive(Clone, Default)]
pub(super) struct Tasks(pub(super) CancellationToken);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let over = self.0.clone();
        tokio::spawn(async move {
            over.run_until_cancelled(task).await;
        });
    }
}

impl Tasks {
    /// Runs a task.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.execute(task);
    }
}

/// The connections to the application, of one client connection.
pub(super) struct App {
    route: Arc<Route>,
    pub(super) tasks: Tasks,
    wire: Arc<Wire>,
    room: Room,
    idle: Mutex<Vec<Kept>>,
    /// One carries all streams.
    http2: tokio::sync::Mutex<Option<http2::SendRequest<Passing>>>,
}

/// What an answer comes on, for as long as it does.
pub(super) enum Held {
    /// A connection that can be used again afterwards.
    Lent(Lent),
    /// One of its own.
    Alone(#[expect(dead_code, reason = "kept: its end is the connection's")] Alone),
    /// A stream of the one that carries all, or nothing.
    Nothing,
}

/// A connection in HTTP/1.1.
struct Kept {
    sender: http1::SendRequest<Passing>,
    /// At the place that no other client connection could have.
    is_own: bool,
}

/// A connection in use for one answer.
pub(super) struct Lent {
    kept: Option<Kept>,
    app: Arc<App>,
}

impl App {
    pub(super) fn new(route: &Arc<Route>, wire: &Arc<Wire>, tasks: Tasks) -> Arc<Self> {
        Arc::new(Self {
            route: Arc::clone(route),
            tasks,
            wire: Arc::clone(wire),
            room: Room::new(route),
            idle: Mutex::default(),
            http2: tokio::sync::Mutex::default(),
        })
    }

    /// `alone`: what cuts this connection and no other.
    pub(super) async fn dial(&self, alone: Option<Arc<AtomicBool>>) -> Result<TokioIo<AppStream>, NoAnswer> {
        let place = self.room.take().ok_or(NoAnswer::Full)?;
        let settings = &self.route.settings;
        let dialled = self.route.targets.attempts(&settings.timeouts).connect().await;
        let (stream, at) = dialled.map_err(NoAnswer::Reach)?;
        alive::limit(&stream, settings.timeouts.unacknowledged);
        at.worked();
        self.route.shared.memory.begins();
        Ok(TokioIo::new(AppStream {
            route: Arc::clone(&self.route),
            stream: Some(stream),
            alone,
            wire: Arc::clone(&self.wire),
            speaks: None,
            _at: at,
            place,
        }))
    }

    /// Asks in HTTP/1.1.
    pub(super) async fn ask(
        self: &Arc<Self>,
        mut request: Request<Passing>,
    ) -> Result<(Response<Incoming>, Lent), NoAnswer> {
        loop {
            let kept = self.kept();
            let is_new = kept.is_none();
            let mut kept = match kept {
                Some(kept) => kept,
                None => self.connect().await?,
            };
            match kept.sender.try_send_request(request).await {
                Ok(answer) => {
                    let lent = Lent {
                        kept: Some(kept),
                        app: Arc::clone(self),
                    };
                    return Ok((answer, lent));
                }
                // The application had closed a connection that was kept; nothing of the request was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(NoAnswer::Broke(error.into_error())),
                },
            }
        }
    }

    /// Asks in HTTP/2, with prior knowledge.
    pub(super) async fn ask_http2(
        &self,
        mut request: Request<Passing>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let begun = Instant::now();
        loop {
            let (mut sender, is_new) = self.shared(begun).await?;
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(NoAnswer::Broke(error.into_error())),
                },
            }
        }
    }

    fn kept(&self) -> Option<Kept> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| !kept.sender.is_closed());
        let ready = idle.iter().rposition(|kept| kept.sender.is_ready())?;
        Some(idle.swap_remove(ready))
    }

    async fn connect(&self) -> Result<Kept, NoAnswer> {
        let io = self.dial(None).await?;
        let is_own = io.inner().place.is_own;
        let (sender, connection) = http1().handshake(io).await.map_err(NoAnswer::Broke)?;
        // How it ended is told to whoever waits for an answer.
        self.tasks
            .execute(async move { drop(connection.with_upgrades().await) });
        Ok(Kept { sender, is_own })
    }

    /// The one connection; true: it is new. Each request has one limit for all of it, the wait for others who dial with it.
    async fn shared(&self, begun: Instant) -> Result<(http2::SendRequest<Passing>, bool), NoAnswer> {
        let limit = self.route.settings.timeouts.connect;
        // A dial has the same limit, and is the one to say which target did not answer.
        let made = tokio::time::timeout_at(begun + limit + GRACE, self.one(begun)).await;
        made.unwrap_or(Err(NoAnswer::Late(limit)))
    }

    async fn one(&self, begun: Instant) -> Result<(http2::SendRequest<Passing>, bool), NoAnswer> {
        // Held while it dials, so that all wait for one.
        let mut shared = self.http2.lock().await;
        if let Some(sender) = &*shared
            && !sender.is_closed()
        {
            return Ok((sender.clone(), false));
        }
        // Who waited in vain for another's dial begins none of its own.
        let limit = self.route.settings.timeouts.connect;
        if begun.elapsed() >= limit {
            return Err(NoAnswer::Late(limit));
        }
        let mut io = self.dial(None).await?;
        let (speaks, said) = Speaks::new();
        io.inner_mut().speaks = Some(speaks);
        let handshake = http2(&self.tasks).handshake(io).await;
        let (sender, connection) = handshake.map_err(NoAnswer::Broke)?;
        self.tasks.execute(async move { drop(connection.await) });
        // Before a byte of the peer's goes there: to one that speaks HTTP/1.1 what is in a frame could be a request.
        if !matches!(said.await, Ok(true)) {
            return Err(NoAnswer::NotHttp2);
        }
        *shared = Some(sender.clone());
        Ok((sender, true))
    }
}

/// How HTTP/1.1 is spoken with applications.
pub(super) fn http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    http
}

/// How HTTP/2 is.
pub(super) fn http2(tasks: &Tasks) -> http2::Builder<Tasks> {
    let mut http = http2::Builder::new(tasks.clone());
    http.initial_stream_window_size(super::STREAM_WINDOW)
        .initial_connection_window_size(super::APP_WINDOW)
        .max_send_buf_size(super::SEND_BUFFER)
        .max_header_list_size(super::HEAD_BYTES);
    http
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        let mut idle = self.app.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // A place of the route's is another's to have where there are few.
        let may_rest = kept.is_own || (idle.len() < MOST_IDLE && self.app.room.is_ample());
        if !kept.sender.is_closed() && may_rest {
            idle.push(kept);
        }
    }
}

impl Held {
    /// It carries another protocol from now on.
    pub(super) fn keep_away(self) {
        if let Self::Lent(mut lent) = self {
            lent.kept = None;
        }
    }
}

/// A connection to the application.
pub(super) struct AppStream {
    /// Gone only when this is dropped.
    stream: Option<Stream>,
    route: Arc<Route>,
    /// Cuts this one alone.
    alone: Option<Arc<AtomicBool>>,
    wire: Arc<Wire>,
    /// Until the application has said which protocol it speaks.
    speaks: Option<Speaks>,
    /// Counts for its target.
    _at: Chosen,
    /// Counts for its route.
    place: Place,
}

impl AppStream {
    fn is_cut(&self) -> bool {
        self.wire.is_cut() || self.alone.as_ref().is_some_and(|cut| cut.load(Ordering::Relaxed))
    }

    /// What is sent to: nothing after a cut, no end either, which hyper would make of it.
    fn open(self: Pin<&mut Self>) -> io::Result<Pin<&mut Stream>> {
        if self.is_cut() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.stream()
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut Stream>> {
        let stream = self.get_mut().stream.as_mut();
        stream
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AppStream {
    /// Reads its share at most.
    fn poll_some(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = share(self.wire.requests());
        let stream = self.stream()?;
        if buf.remaining() <= most {
            return stream.poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(stream.poll_read(cx, &mut part))?;
        let new = part.filled().len();
        buf.advance(new);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for AppStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.as_mut().poll_some(cx, buf))?;
        if let Some(speaks) = self.speaks.take() {
            self.speaks = speaks.hear(&buf.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AppStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

impl Drop for AppStream {
    fn drop(&mut self) {
        self.route.shared.memory.ends();
        let is_cut = self.is_cut();
        if let Some(stream) = self.stream.take()
            && is_cut
        {
            abort(stream);
        }
    }
}
