//! One connection: speaks HTTP/2, hands each call to the service, and keeps the time.
//!
//! In: a stream, and what answers its calls. Out: their answers. Never waits for one call, and never outlives its time.
use super::authority::{Authority, Seen};
use super::call::Call;
use super::preface::{self, Spoken};
use super::shares::Shares;
use super::stream::{Place, Running};
use super::{Calls, Limits, head};
use crate::grpc::frame::Messages;
use crate::grpc::metrics::Server;
use crate::grpc::status::{Code, Status};
use crate::http::Phase;
use crate::http::meet::{About, Misuse};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use h2::RecvStream;
use h2::server::SendResponse;
use hyper::body::Bytes;
use hyper::{Request, Response};
use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// A connection that is open.
pub(super) struct Connection<C> {
    pub(super) protocol: h2::server::Builder,
    pub(super) limits: Arc<Limits>,
    pub(super) shares: Arc<Shares>,
    pub(super) server: Server,
    pub(super) calls: Arc<C>,
    pub(super) about: About,
}

/// Of a client whose place another one needs.
const LEAVE: Duration = Duration::from_secs(1);

impl<C: Calls> Connection<C> {
    pub(super) async fn run<T>(self, stream: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _open = self.about.server.opened();
        let greeted = tokio::select! {
            greeted = tokio::time::timeout(self.limits.preface, self.greet(stream)) => greeted,
            () = self.about.place.leave.cancelled() => return,
            () = self.about.stop.cancelled() => return,
        };
        match greeted {
            Ok(Some(talk)) => talk.run().await,
            Ok(None) => {}
            Err(_) => {
                self.about.server.timed_out(Phase::Header);
                self.about.log.misused(Misuse::SlowHead, self.about.holder);
            }
        }
    }

    /// Until HTTP/2 is spoken; none if it is not.
    async fn greet<T>(&self, mut stream: T) -> Option<Talk<'_, T, C>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let listener = self.about.server.name();
        let failed = |error: &(dyn Error + 'static)| {
            tracing::debug!(listener, error, "connection failed");
        };
        match preface::read(&mut stream).await {
            Ok(Spoken::Http2) => {}
            Ok(Spoken::Http1) => {
                tracing::debug!(listener, "a client speaks HTTP/1, which is not spoken here");
                preface::refuse(&mut stream).await.unwrap_or_else(|e| failed(&e));
                return None;
            }
            Ok(Spoken::Other) => return None,
            Err(e) => {
                failed(&e);
                return None;
            }
        }
        let seen = Arc::default();
        let stream = Authority::new(stream, Arc::clone(&seen));
        match self.protocol.handshake(stream).await {
            Ok(mut http) => Some(Talk {
                connection: self,
                ping: http.ping_pong(),
                http,
                seen,
                looked: None,
                asked: false,
                spent: false,
                running: FuturesUnordered::new(),
                unsent: Vec::new(),
                unseated: 0,
            }),
            Err(e) => {
                failed(&e);
                None
            }
        }
    }
}

/// A connection at which HTTP/2 is spoken.
struct Talk<'a, T, C> {
    connection: &'a Connection<C>,
    http: h2::server::Connection<Authority<T>, Bytes>,
    ping: Option<h2::PingPong>,
    seen: Arc<Seen>,
    /// When we last looked whether there was a sign of life.
    looked: Option<Instant>,
    /// Whether the client owes one.
    asked: bool,
    /// Whether the service has no more use for this connection.
    spent: bool,
    running: FuturesUnordered<Running>,
    /// Of calls that are over, of which something may wait until the client reads.
    unsent: Vec<Place>,
    /// Refusals for which there was no seat, likewise.
    unseated: usize,
}

/// So many refusals without a seat may wait for a client before it loses its connection.
const UNSEATED: usize = 16;

/// What a connection wakes for.
enum Event {
    Ended(Option<h2::Error>),
    Stop,
    Leave,
    Time,
}

impl<T, C> Talk<'_, T, C>
where
    T: AsyncRead + AsyncWrite + Unpin,
    C: Calls,
{
    async fn run(mut self) {
        let about = &self.connection.about;
        let limits = &self.connection.limits;
        let mut timer = pin!(sleep_until(self.until()));
        let mut stopped = pin!(about.stop.cancelled());
        let mut leave = pin!(about.place.leave.cancelled());
        // Once it is closing, nothing but the end and the time count.
        let mut closing = false;
        loop {
            let event = poll_fn(|cx| {
                if let Poll::Ready(ended) = self.poll(cx) {
                    return Poll::Ready(Event::Ended(ended));
                }
                if !closing {
                    if stopped.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Stop);
                    }
                    if self.spent || leave.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Leave);
                    }
                    // Only ever moved to an earlier time here; one that is too early finds out when it goes off.
                    let until = self.until();
                    if until < timer.deadline() {
                        timer.as_mut().reset(until);
                    }
                }
                timer.as_mut().poll(cx).map(|()| Event::Time)
            });
            let patience = match event.await {
                Event::Ended(error) => return self.note_end(error),
                Event::Time if closing => return,
                Event::Time => match self.time_is_over() {
                    None => {
                        timer.as_mut().reset(self.until());
                        continue;
                    }
                    Some(patience) => patience,
                },
                Event::Leave => LEAVE,
                Event::Stop => {
                    self.end_streams();
                    limits.drain
                }
            };
            closing = true;
            self.http.graceful_shutdown();
            timer.as_mut().reset(Instant::now() + patience);
        }
    }

    /// Everything that can be done without waiting. Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<h2::Error>> {
        loop {
            while let Poll::Ready(Some(place)) = self.running.poll_next_unpin(cx) {
                self.unsent.extend(place);
                self.spent = self.spent || self.connection.calls.is_spent();
            }
            let pace = &self.connection.about.place.pace;
            if self.running.is_empty() && pace.now().0 == Phase::Serving {
                pace.enter(Phase::Idle);
            }
            // Sends what the calls above had to say, too.
            let accepted = self.http.poll_accept(cx);
            if self.seen.is_all_sent() {
                self.unsent.clear();
                self.unseated = 0;
            } else if self.unseated > UNSEATED {
                return Poll::Ready(None);
            }
            match accepted {
                Poll::Ready(Some(Ok((request, reply)))) => self.meet(request, reply),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// A new call.
    fn meet(&mut self, request: Request<RecvStream>, mut reply: SendResponse<Bytes>) {
        let connection = self.connection;
        let (parts, data) = request.into_parts();
        let known = connection.calls.knows(parts.uri.path());
        let checked = head::check(&parts, known);
        let server = connection.server.clone();
        let seat = connection.shares.take(connection.about.holder);
        let (place, timeout) = match (seat, checked) {
            (Some(seat), Ok(timeout)) => (Place::new(seat, server), timeout),
            (Some(seat), Err(refusal)) => {
                self.unsent.push(Place::new(seat, server));
                // Who is gone meanwhile needs no answer.
                return drop(reply.send_response(refusal, true));
            }
            (None, _) => {
                self.unseated += 1;
                let refusal = self.over_share();
                return drop(reply.send_response(refusal, true));
            }
        };
        connection.about.place.pace.enter(Phase::Serving);
        let limits = &connection.limits;
        let purse = || connection.shares.purse(connection.about.holder);
        let messages = Messages::new(data, limits.message_bytes).paid_from(purse());
        let call = Call::new(parts, messages, limits.message, &connection.about);
        let work = Box::pin(Arc::clone(&connection.calls).call(call));
        let deadline: Option<Pin<Box<Sleep>>> = timeout.map(|timeout| Box::pin(sleep(timeout)));
        let server = connection.server.clone();
        self.running
            .push(Running::new(work, reply, deadline, server, (place, purse())));
    }

    /// To a user who has his share of the seats.
    fn over_share(&self) -> Response<()> {
        let Connection { server, about, .. } = self.connection;
        server.over_share();
        about.log.misused(Misuse::OverStreams, about.holder);
        // What SPIRE says to who asks too often, and what all libraries come again after.
        let status = Status::new(
            Code::UNAVAILABLE,
            "this user has as many calls open as one user may: end some",
        );
        server.answered(status.code);
        head::refused(&status)
    }

    /// Ends all streams, so that their clients connect anew; calls that are worked on go on.
    fn end_streams(&mut self) {
        let status = Status::new(Code::UNAVAILABLE, "mwid closes this connection; connect anew");
        for mut running in std::mem::take(&mut self.running) {
            running.end_stream(&status);
            self.running.push(running);
        }
    }

    /// Until when what it does now may last.
    fn until(&self) -> Instant {
        let limits = &self.connection.limits;
        let (phase, since) = self.connection.about.place.pace.now();
        match phase {
            Phase::Header => since + limits.first_call,
            Phase::Idle => since + limits.idle,
            Phase::Serving => self.looked.map_or(since, |at| at.max(since)) + limits.silence,
        }
    }

    /// How long the client may take to close, if its time is over.
    fn time_is_over(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if now < self.until() {
            return None;
        }
        let (phase, _) = self.connection.about.place.pace.now();
        let is_over = phase != Phase::Serving || self.is_silent(now);
        is_over.then(|| {
            self.connection.about.server.timed_out(phase);
            let listener = self.connection.about.server.name();
            tracing::debug!(listener, ?phase, "connection closed, its time was over");
            LEAVE
        })
    }
}

impl<T, C> Talk<'_, T, C> {
    /// Whether nothing came since the client was asked for a sign of life. Asks it if nothing came for that long before.
    fn is_silent(&mut self, now: Instant) -> bool {
        self.looked = Some(now);
        if self.seen.heard() {
            self.asked = false;
            return false;
        }
        if std::mem::replace(&mut self.asked, true) {
            return true;
        }
        if let Some(ping) = &mut self.ping {
            // The answer to the one before, which is over, makes room for this one. Where it cannot be sent, the connection is broken already.
            drop(poll_fn(|cx| ping.poll_pong(cx)).now_or_never());
            drop(ping.send_ping(h2::Ping::opaque()));
        }
        false
    }

    /// A client that breaks off or speaks no HTTP/2 is no trouble of ours.
    fn note_end(&self, error: Option<h2::Error>) {
        if let Some(error) = error {
            let listener = self.connection.about.server.name();
            tracing::debug!(listener, error = &error as &dyn Error, "connection failed");
        }
    }
}
