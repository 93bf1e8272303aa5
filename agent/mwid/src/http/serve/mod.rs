//! The server of HTTP/1.
//!
//! In: connections from a listener. Out: answers of the service. Takes no lock that connections share while it serves a request.
#[cfg(test)]
mod tests;

use super::bell::Bell;
use super::listener::Accept;
use super::meet::{About, Holder, Misuse, meet};
use super::metrics::Server;
use super::pace::{Bounds, Limits, Pace, Paced, Phase};
use futures_util::future::{Either, ready};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

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

    /// The answer, if it is at hand and nothing of it has to be waited for. If there is none, [`Answer::answer`] is called.
    fn at_once(&self, _request: &Request<Incoming>) -> Option<Response<Self::Body>> {
        None
    }

    /// Dropped before it ends when the client goes away or [`Limits::request`] is over.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Serves until `stop`; then takes no new connection, finishes the requests in flight within [`Limits::drain`] and returns.
pub(crate) async fn serve<A, S>(
    listener: A,
    service: Arc<S>,
    limits: Limits,
    server: Server,
    stop: CancellationToken,
) where
    A: Accept,
    S: Service<A::Stream>,
{
    let connections = limits.connections;
    let limits = Arc::new(limits);
    let http = protocol(&limits);
    let connected = |stream: &A::Stream| service.connected(stream);
    let run = |stream, answers, about| {
        let connection = Connection {
            http: http.clone(),
            limits: Arc::clone(&limits),
            about,
        };
        connection.run(stream, answers)
    };
    meet(listener, connections, server, stop, NO_PLACE, connected, run).await;
}

/// To a user who has his share of the connections. HTTP lets a server say so before it is asked (RFC 9110, 15.6.4; RFC 9112, 9.5).
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 72\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    \r\n\
    this user has as many connections open as one user may have: close some\n";

fn protocol(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Our own pace keeps the time: hyper's header timer is set anew for each request.
    // Answers are short: to copy one behind its head costs less than to have the kernel gather the two. The copy is not wiped, as the
    // kernel's is not.
    http.header_read_timeout(None)
        .writev(false)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(8 * 1024) * 2);
    http
}

/// What hyper calls for each request.
fn answering<A: Answer>(
    answers: A,
    pace: Arc<Pace>,
) -> impl hyper::service::Service<Request<Incoming>, Response = Response<A::Body>, Error = Infallible, Future: Send>
{
    let shared = Arc::new((answers, pace));
    service_fn(move |request: Request<Incoming>| {
        let (answers, pace) = &*shared;
        pace.serve();
        // Before hyper reads on: a head that is held meanwhile costs a new buffer.
        if let Some(answer) = answers.at_once(&request) {
            pace.answered();
            return Either::Left(ready(Ok(answer)));
        }
        let shared = Arc::clone(&shared);
        Either::Right(Box::pin(async move {
            let (answers, pace) = &*shared;
            let answer = answers.answer(request).await;
            pace.answered();
            Ok(answer)
        }))
    })
}

/// One connection.
struct Connection {
    http: http1::Builder,
    limits: Arc<Limits>,
    about: About,
}

impl Connection {
    async fn run<T, A>(self, stream: T, answers: A)
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        A: Answer,
    {
        let _open = self.about.server.opened();
        let pace = Arc::clone(&self.about.place.pace);
        let io = TokioIo::new(Paced {
            stream,
            pace: Arc::clone(&pace),
        });
        let answers = answering(answers, Arc::clone(&pace));
        let mut http = pin!(self.http.serve_connection(io, answers));
        let bounds = Bounds::of(&self.limits);
        let mut set_to = pace.due(&bounds);
        let mut timer = pin!(sleep_until(pace.at(set_to)));
        let mut stopped = pin!(self.about.stop.cancelled());
        let mut leave = pin!(self.about.place.leave.cancelled());
        let mut draining = false;
        // A request wakes for none of these.
        let mut bell = Bell::new();
        loop {
            let event = poll_fn(|cx| {
                pace.wake();
                if let Poll::Ready(ended) = http.as_mut().poll(cx) {
                    return Poll::Ready(Event::Ended(ended));
                }
                // The timer is only ever moved to an earlier time here; one that is too early finds out when it goes off.
                let due = pace.due(&bounds);
                if due < set_to {
                    set_to = due;
                    timer.as_mut().reset(pace.at(due));
                    bell.ring();
                }
                let Some(mut cx) = bell.heard(cx) else {
                    return Poll::Pending;
                };
                if !draining && stopped.as_mut().poll(&mut cx).is_ready() {
                    return Poll::Ready(Event::Stop);
                }
                if leave.as_mut().poll(&mut cx).is_ready() {
                    return Poll::Ready(Event::Leave);
                }
                timer.as_mut().poll(&mut cx).map(|()| Event::Time)
            });
            match event.await {
                Event::Ended(ended) => return self.note_end(ended),
                Event::Leave => return self.note_timeout(pace.phase(), false),
                Event::Stop => {
                    draining = true;
                    http.as_mut().graceful_shutdown();
                    set_to = pace.in_time(self.limits.drain);
                    timer.as_mut().reset(pace.at(set_to));
                }
                Event::Time => {
                    set_to = pace.due(&bounds);
                    let until = pace.at(set_to);
                    if draining || until <= Instant::now() {
                        return self.note_timeout(pace.phase(), !draining);
                    }
                    timer.as_mut().reset(until);
                }
            }
            bell.ring();
        }
    }
}

impl Connection {
    /// A client that breaks off or speaks no HTTP is no trouble of ours.
    fn note_end(&self, ended: hyper::Result<()>) {
        if let Err(e) = ended {
            if e.is_parse_too_large() {
                self.about.log.misused(Misuse::LargeHead, self.about.holder);
            }
            let listener = self.about.server.name();
            tracing::debug!(listener, error = &e as &dyn Error, "connection failed");
        }
    }

    /// `in_full`: it had all the time that it may have, and was not cut short for another one or for our end.
    fn note_timeout(&self, phase: Phase, in_full: bool) {
        self.about.server.timed_out(phase);
        if in_full && phase == Phase::Header {
            self.about.log.misused(Misuse::SlowHead, self.about.holder);
        }
        let listener = self.about.server.name();
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
