//! The life of one call: the service works on it, then its frames go out as the client takes them.
//!
//! In: the service's work, then its frames. Out: head, data and trailers of one stream. Where each message counts, none is made before its client
//! takes it; where only the newest does, one waits at most, and is given up for a newer one. What HTTP/2 has of a message that its client takes
//! in parts is paid for by its user, and taken back when it is over. Never waits for another stream, and never lets an end wait for a client
//! that does not read: what such a client has not taken by then it does not get.
use super::head;
use super::shares::{Purse, Seat};
use crate::grpc::frame::{Frame, Pieces};
use crate::grpc::metrics::Server;
use crate::grpc::status::{Code, Status};
use futures_util::Stream;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use hyper::body::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Frames as they come; an error is the status that ends the call.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// Ends an answer while its client takes nothing: the status with which it ends. Looked at only then.
pub(crate) type Revoked = Pin<Box<dyn Future<Output = Status> + Send>>;

/// A message that is made when its client takes it.
pub(crate) struct Dated {
    pub(crate) pieces: Pieces,
    /// When a part that its client has not taken may not follow any more, and why. None where what it holds stays good.
    pub(crate) over: Option<Revoked>,
}

impl From<Frame> for Dated {
    fn from(frame: Frame) -> Self {
        let pieces = frame.into();
        Self { pieces, over: None }
    }
}

/// Such messages as they come; an error is the status that ends the call.
pub(crate) type Messages = Pin<Box<dyn Stream<Item = Result<Dated, Status>> + Send>>;

/// The answer to a call.
pub(crate) enum Answer {
    /// No message.
    Status(Status),
    /// One message that stays good, and OK.
    One(Frame),
    /// Messages of which each takes the place of those before it: a client that is slow gets the newest only. The stream itself ends when its
    /// client may have no more, for it is asked all the time.
    Latest(Frames),
    /// Messages that all arrive: the stream is asked for one only when the client takes it, and so cannot end meanwhile but by what is beside it.
    Each(Messages, Option<Revoked>),
}

impl Answer {
    /// One message that is made when the client takes it, and OK.
    pub(crate) fn once(
        made: impl Future<Output = Result<Dated, Status>> + Send + 'static,
        revoked: Option<Revoked>,
    ) -> Self {
        Self::Each(Box::pin(futures_util::stream::once(made)), revoked)
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Result<Frame, Status>> for Answer {
    fn from(result: Result<Frame, Status>) -> Self {
        result.map_or_else(Self::Status, Self::One)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "Status({status})"),
            Self::One(frame) => write!(f, "One({frame:?})"),
            Self::Latest(_) => f.write_str("Latest(..)"),
            Self::Each(..) => f.write_str("Each(..)"),
        }
    }
}

/// The service's work on a call.
pub(super) type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A call; ends when its stream does.
pub(super) struct Running {
    stage: Stage,
    /// When the caller no longer waits, if it said so.
    deadline: Option<Pin<Box<Sleep>>>,
    server: Server,
    _seat: Seat,
}

enum Stage {
    Working(Work, SendResponse<Bytes>, Purse),
    Sending(Sending),
    /// It has its status, behind data that its client does not take. Is broken off when the time is over.
    Behind(SendStream<Bytes>, Reason, Pin<Box<Sleep>>),
    Ended,
}

/// So long may a client take to read on when its stream ended, before it is broken off.
const BEHIND: Duration = Duration::from_secs(1);

struct Sending {
    stream: SendStream<Bytes>,
    source: Source,
    /// HTTP/2 has, as far as we know, a part that the client has not taken.
    holds: bool,
    /// Pays for that part.
    purse: Purse,
}

enum Source {
    Latest {
        frames: Frames,
        next: Option<Frame>,
        /// After `next` nothing comes.
        is_last: bool,
    },
    Each {
        messages: Messages,
        revoked: Option<Revoked>,
        /// Of the message that was sent last.
        over: Option<Revoked>,
        /// One message that stays good: a short one does not wait until it was taken.
        is_single: bool,
    },
}

/// How a call ends.
enum End {
    /// The client is gone.
    Gone,
    Status(Status),
    /// The client has a part of what it may not have whole.
    Over(Status),
}

impl Running {
    pub(super) fn new(
        work: Work,
        reply: SendResponse<Bytes>,
        deadline: Option<Pin<Box<Sleep>>>,
        server: Server,
        (seat, purse): (Seat, Purse),
    ) -> Self {
        server.began();
        Self {
            stage: Stage::Working(work, reply, purse),
            deadline,
            server,
            _seat: seat,
        }
    }

    /// Ends a call whose answer is a stream; one that is worked on goes on.
    pub(super) fn end_stream(&mut self, status: &Status) {
        if let Stage::Sending(_) = self.stage {
            self.end(status);
        }
    }

    /// A client that is gone meanwhile needs no status.
    fn end(&mut self, status: &Status) {
        self.count(status.code);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Working(_, mut reply, _) => {
                drop(reply.send_response(head::refused(status), true));
                Stage::Ended
            }
            Stage::Sending(sending) => sending.end(status),
            stage @ (Stage::Behind(..) | Stage::Ended) => stage,
        };
    }

    /// The client broke it off, or its connection is gone.
    fn break_off(&mut self) {
        self.count(Code::CANCELLED);
        self.stage = Stage::Ended;
    }

    /// Once: who is behind has been answered.
    fn count(&self, code: Code) {
        if let Stage::Working(..) | Stage::Sending(_) = self.stage {
            self.server.answered(code);
            self.server.ended();
        }
    }

    /// Breaks it off with what its client has not taken.
    fn take_back(&mut self, status: &Status) {
        self.count(status.code);
        if let Stage::Sending(sending) = &mut self.stage {
            sending.stream.send_reset(head::broken_off(status.code));
        }
        self.stage = Stage::Ended;
    }

    fn answer(&mut self, answer: Answer) {
        let source = match answer {
            Answer::Status(status) => return self.end(&status),
            Answer::One(frame) => {
                let once = futures_util::stream::once(std::future::ready(Ok(frame.into())));
                Source::each(Box::pin(once), None, true)
            }
            Answer::Latest(frames) => Source::Latest {
                frames,
                next: None,
                is_last: false,
            },
            Answer::Each(messages, revoked) => Source::each(messages, revoked, false),
        };
        let Stage::Working(_, mut reply, purse) = std::mem::replace(&mut self.stage, Stage::Ended) else {
            return;
        };
        match reply.send_response(head::answer(), false) {
            Ok(mut stream) => {
                source.begin(&mut stream);
                self.stage = Stage::Sending(Sending {
                    stream,
                    source,
                    holds: false,
                    purse,
                });
            }
            Err(_) => {
                self.server.answered(Code::CANCELLED);
                self.server.ended();
            }
        }
    }
}

impl Future for Running {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Ended => return Poll::Ready(()),
                Stage::Working(work, reply, _) => {
                    if let Poll::Ready(answer) = work.as_mut().poll(cx) {
                        this.answer(answer);
                        continue;
                    }
                    if reply.poll_reset(cx).is_ready() {
                        this.break_off();
                        continue;
                    }
                }
                Stage::Sending(sending) => match sending.poll(cx) {
                    Poll::Ready(end) => {
                        match end {
                            End::Gone => this.break_off(),
                            End::Status(status) => this.end(&status),
                            End::Over(status) => this.take_back(&status),
                        }
                        continue;
                    }
                    Poll::Pending => {}
                },
                Stage::Behind(stream, reason, patience) => {
                    if stream.poll_reset(cx).is_pending() {
                        ready!(patience.as_mut().poll(cx));
                        stream.send_reset(*reason);
                    }
                    this.stage = Stage::Ended;
                    continue;
                }
            }
            let Some(deadline) = &mut this.deadline else {
                return Poll::Pending;
            };
            ready!(deadline.as_mut().poll(cx));
            this.end(&Status::new(
                Code::DEADLINE_EXCEEDED,
                "the call took longer than its caller wanted to wait",
            ));
        }
    }
}

impl Source {
    fn each(messages: Messages, revoked: Option<Revoked>, is_single: bool) -> Self {
        Self::Each {
            messages,
            revoked,
            over: None,
            is_single,
        }
    }

    /// Asks for room where nothing is made before there is some. One byte is enough to be told that the client takes more; it holds back no
    /// more than that of the window that other streams of the connection need.
    fn begin(&self, stream: &mut SendStream<Bytes>) {
        if let Self::Each { .. } = self {
            stream.reserve_capacity(1);
        }
    }
}

/// So long an answer may be left behind by a call that is over.
const SHORT: usize = 1024;
/// So many messages one stream sends, or takes, before others of its connection have their turn.
const AT_ONCE: usize = 16;

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(End::Gone);
        }
        let Self {
            stream,
            source,
            holds,
            purse,
        } = self;
        match source {
            Source::Latest {
                frames,
                next,
                is_last,
            } => poll_latest(stream, frames, next, is_last, holds, cx),
            Source::Each {
                messages,
                revoked,
                over,
                is_single,
            } => {
                for _ in 0..AT_ONCE {
                    match poll_room(stream, cx) {
                        Poll::Ready(false) => return Poll::Ready(End::Gone),
                        Poll::Ready(true) => {
                            (*holds, *over) = (false, None);
                            // To less than before, which never fails.
                            purse.hold(0).ok();
                        }
                        Poll::Pending => return poll_ends(revoked, over, cx),
                    }
                    let dated = match ready!(messages.as_mut().poll_next(cx)) {
                        Some(Ok(dated)) => dated,
                        Some(Err(status)) => return Poll::Ready(End::Status(status)),
                        None => return Poll::Ready(End::Status(Status::OK)),
                    };
                    let own = dated.pieces.own();
                    if let Err(held) = purse.hold(own) {
                        return Poll::Ready(End::Status(no_room(held)));
                    }
                    (*holds, *over) = (true, dated.over);
                    for piece in dated.pieces {
                        if stream.send_data(piece, false).is_err() {
                            return Poll::Ready(End::Gone);
                        }
                    }
                    if *is_single && own <= SHORT {
                        return Poll::Ready(End::Status(Status::OK));
                    }
                    stream.reserve_capacity(1);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Says the status. Trailers go out behind the data that the client has not taken yet, and HTTP/2 holds that for as long as the client
    /// likes. Breaking a stream off needs no window: data of one who may not have it any more is taken back at once, and other ends wait a
    /// moment for their client.
    fn end(mut self, status: &Status) -> Stage {
        let is_behind = self.holds && *status != Status::OK && {
            self.stream.reserve_capacity(1);
            self.stream.capacity() == 0
        };
        if is_behind && status.code == Code::PERMISSION_DENIED {
            self.stream.send_reset(head::broken_off(status.code));
            return Stage::Ended;
        }
        let is_sent = self.stream.send_trailers(head::trailers(status)).is_ok();
        if is_sent && is_behind {
            return Stage::Behind(
                self.stream,
                head::broken_off(status.code),
                Box::pin(sleep(BEHIND)),
            );
        }
        Stage::Ended
    }
}

/// What ends a stream whose client takes nothing.
fn poll_ends(revoked: &mut Option<Revoked>, over: &mut Option<Revoked>, cx: &mut Context<'_>) -> Poll<End> {
    if let Some(revoked) = revoked
        && let Poll::Ready(status) = revoked.as_mut().poll(cx)
    {
        return Poll::Ready(End::Status(status));
    }
    match over {
        Some(over) => over.as_mut().poll(cx).map(End::Over),
        None => Poll::Pending,
    }
}

/// Looks for a frame also while another waits, for that one would not count any more.
fn poll_latest(
    stream: &mut SendStream<Bytes>,
    frames: &mut Frames,
    next: &mut Option<Frame>,
    is_last: &mut bool,
    holds: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<End> {
    loop {
        if !*is_last {
            match frames.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if next.replace(frame).is_none() {
                        // Asking before there is something to send would hold back a part of the window from the others.
                        stream.reserve_capacity(1);
                    }
                    continue;
                }
                Poll::Ready(Some(Err(status))) => return Poll::Ready(End::Status(status)),
                Poll::Ready(None) if next.is_none() => return Poll::Ready(End::Status(Status::OK)),
                Poll::Ready(None) => *is_last = true,
                Poll::Pending => {}
            }
        }
        if next.is_none() {
            return Poll::Pending;
        }
        if !ready!(poll_room(stream, cx)) {
            return Poll::Ready(End::Gone);
        }
        if let Some(frame) = next.take() {
            *holds = true;
            if stream.send_data(frame.into_bytes(), false).is_err() {
                return Poll::Ready(End::Gone);
            }
        }
        if *is_last {
            return Poll::Ready(End::Status(Status::OK));
        }
    }
}

/// Whether the client takes more; false when it is gone. With room, it has taken all that was sent.
fn poll_room(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<bool> {
    while stream.capacity() == 0 {
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(false),
        }
    }
    Poll::Ready(true)
}

fn no_room(held: usize) -> Status {
    Status::new(
        Code::RESOURCE_EXHAUSTED,
        format!(
            "this user has not read {held} bytes that were sent to it, as much as one user may leave: read them, or ask for less at a time"
        ),
    )
}

impl Drop for Running {
    fn drop(&mut self) {
        self.break_off();
    }
}
