//! The server loop.
//!
//! In: connections from a listener. Out: answers of the service. Never ends because of a bad client or a full file table, never
//! spins, and takes no lock that connections share while it serves a request.
mod log;
mod places;
#[cfg(test)]
mod tests;

pub(crate) use places::Holder;

use super::listener::Accept;
use super::metrics::Server;
use super::pace::{Limits, Paced, Phase};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use log::{Log, Misuse};
use places::{Place, Places};
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Meets connections.
pub(crate) trait Service<S>: Send + Sync + 'static {
    /// What answers the requests of one connection.
    type Connection: Answer;

    /// Called once for each connection, before a byte is read: the place to attest the other side, which is not done twice. One that is
    /// not wanted gets a connection that says so to every request. Also tells whose share of the places the connection takes; none
    /// where nobody can tell one client from another.
    fn connected(&self, stream: &S) -> (Self::Connection, Option<Holder>);
}

/// Answers the requests of one connection, one after another.
pub(crate) trait Answer: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Dropped before it ends when the client goes away or [`Limits::request`] is over.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The first and the longest pause after a failed accept. A full file table is nobody's fault here and passes.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Serves until `stop`; then takes no new connection, finishes the requests in flight within [`Limits::drain`] and returns.
pub(crate) async fn serve<A, S>(
    mut listener: A,
    service: Arc<S>,
    limits: Limits,
    server: Server,
    stop: CancellationToken,
) where
    A: Accept,
    S: Service<A::Stream>,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let places = Places::new(limits.connections);
    let log = Arc::new(Log::new(server.name()));
    let limits = Arc::new(limits);
    let http = protocol(&limits);
    let tasks = TaskTracker::new();
    let mut pause = PAUSE.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&mut listener, &slots, &places, &server) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                pause = PAUSE.0;
                let (answers, holder) = service.connected(&stream);
                let Some(place) = places.take(holder) else {
                    // Closed by dropping it: an answer would cost more than the question.
                    server.over_share();
                    log.misused(Misuse::OverShare, holder);
                    continue;
                };
                let connection = Connection {
                    http: http.clone(),
                    limits: Arc::clone(&limits),
                    // An own node in the tree of tokens: its lock is shared with no other connection.
                    stop: stop.child_token(),
                    server: server.clone(),
                    log: Arc::clone(&log),
                    holder,
                };
                tasks.spawn(async move {
                    connection.run(stream, place, answers).await;
                    drop(slot);
                });
            }
            Err(e) if is_the_clients(&e) => {}
            Err(e) => {
                server.accept_failed();
                if pause == PAUSE.0 {
                    tracing::warn!(
                        listener = server.name(),
                        error = &e as &dyn Error,
                        "cannot accept connections, trying on"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Waits for a free slot before it accepts, so that who has to wait costs us nothing.
async fn accept<A: Accept>(
    listener: &mut A,
    slots: &Arc<Semaphore>,
    places: &Places,
    server: &Server,
) -> io::Result<(A::Stream, OwnedSemaphorePermit)> {
    let slot = match Arc::clone(slots).try_acquire_owned() {
        Ok(slot) => slot,
        Err(_) => {
            if server.filled_up() {
                tracing::warn!(
                    listener = server.name(),
                    "all connections are taken, new ones wait"
                );
            }
            loop {
                places.make_room();
                let free = Arc::clone(slots).acquire_owned();
                if let Ok(slot) = tokio::time::timeout(places::LOOK, free).await {
                    break slot.map_err(io::Error::other)?;
                }
            }
        }
    };
    Ok((listener.accept().await?, slot))
}

/// Errors of one connection that went away before we took it.
fn is_the_clients(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Our own pace keeps the time: hyper's header timer is set anew for each request.
    http.header_read_timeout(None)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(8 * 1024) * 2);
    http
}

/// One connection's surroundings.
struct Connection {
    http: http1::Builder,
    limits: Arc<Limits>,
    stop: CancellationToken,
    server: Server,
    log: Arc<Log>,
    holder: Option<Holder>,
}

impl Connection {
    async fn run<T, A>(self, stream: T, place: Place, answers: A)
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        A: Answer,
    {
        let _open = self.server.opened();
        let pace = Arc::clone(&place.pace);
        let shared = Arc::new((answers, Arc::clone(&pace)));
        let io = TokioIo::new(Paced {
            stream,
            pace: Arc::clone(&pace),
        });
        let answers = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move {
                let (connection, pace) = &*shared;
                pace.serve();
                let answer = connection.answer(request).await;
                pace.enter(Phase::Idle);
                Ok::<_, Infallible>(answer)
            }
        });
        let mut http = pin!(self.http.serve_connection(io, answers));
        let mut timer = pin!(sleep_until(pace.deadline(&self.limits).1));
        let mut stopped = pin!(self.stop.cancelled());
        let mut leave = pin!(place.leave.cancelled());
        let mut draining = false;
        loop {
            let event = poll_fn(|cx| {
                if let Poll::Ready(ended) = http.as_mut().poll(cx) {
                    return Poll::Ready(Event::Ended(ended));
                }
                // The timer is only ever moved to an earlier time here; one that is too early finds out when it goes off.
                let (_, until) = pace.deadline(&self.limits);
                if until < timer.deadline() {
                    timer.as_mut().reset(until);
                }
                if !draining && stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Stop);
                }
                if leave.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Leave);
                }
                timer.as_mut().poll(cx).map(|()| Event::Time)
            });
            match event.await {
                Event::Ended(ended) => return self.note_end(ended),
                Event::Leave => return self.note_timeout(pace.deadline(&self.limits).0, false),
                Event::Stop => {
                    draining = true;
                    http.as_mut().graceful_shutdown();
                    timer.as_mut().reset(Instant::now() + self.limits.drain);
                }
                Event::Time => {
                    let (phase, until) = pace.deadline(&self.limits);
                    if draining || until <= Instant::now() {
                        return self.note_timeout(phase, !draining);
                    }
                    timer.as_mut().reset(until);
                }
            }
        }
    }
}

impl Connection {
    /// A client that breaks off or speaks no HTTP is no trouble of ours.
    fn note_end(&self, ended: hyper::Result<()>) {
        if let Err(e) = ended {
            if e.is_parse_too_large() {
                self.log.misused(Misuse::LargeHead, self.holder);
            }
            let listener = self.server.name();
            tracing::debug!(listener, error = &e as &dyn Error, "connection failed");
        }
    }

    /// `in_full`: it had all the time that it may have, and was not cut short for another one or for our end.
    fn note_timeout(&self, phase: Phase, in_full: bool) {
        self.server.timed_out(phase);
        if in_full && phase == Phase::Header {
            self.log.misused(Misuse::SlowHead, self.holder);
        }
        let listener = self.server.name();
        tracing::debug!(listener, ?phase, "connection closed, its time was over");
    }
}

/// What a connection wakes for.
enum Event {
    Ended(hyper::Result<()>),
    Stop,
    Leave,
    Time,
}
