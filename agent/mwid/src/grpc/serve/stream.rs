//! The life of one call: the service works on it, then its frames go out as the client takes them.
//!
//! In: the service's work, then its frames. Out: head, data and trailers of one stream. Holds at most one frame that HTTP/2's flow control
//! has not taken, and gives that up for a newer one where only the newest counts. Never waits for another stream, and never lets an end wait
//! for a client that does not read: what such a client has not taken by then it does not get.
use super::head;
use super::shares::Seat;
use crate::grpc::frame::Frame;
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

/// Ends an answer while a frame of it waits for its client: the status with which it ends once the client may not have the frame any more.
/// Looked at only while one waits; never ready where nothing can be taken back.
pub(crate) type Revoked = Pin<Box<dyn Future<Output = Status> + Send>>;

/// The answer to a call.
pub(crate) enum Answer {
    /// No message.
    Status(Status),
    /// One message, and OK.
    One(Frame, Option<Revoked>),
    /// Messages of which each takes the place of those before it: a client that is slow gets the newest only. The stream itself ends when its
    /// client may have no more, for it is asked all the time.
    Latest(Frames),
    /// Messages that all arrive: nothing is taken from the stream before the client took the one before.
    Each(Frames, Option<Revoked>),
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Result<Frame, Status>> for Answer {
    fn from(result: Result<Frame, Status>) -> Self {
        result.map_or_else(Self::Status, |frame| Self::One(frame, None))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "Status({status})"),
            Self::One(frame, _) => write!(f, "One({frame:?})"),
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
    Working(Work, SendResponse<Bytes>),
    Sending(Sending),
    /// It has its status, behind data that its client does not take. Is broken off when the time is over.
    Behind(SendStream<Bytes>, Reason, Pin<Box<Sleep>>),
    Ended,
}

/// So long may a client take to read on when its stream ended, before it is broken off.
const BEHIND: Duration = Duration::from_secs(1);

struct Sending {
    stream: SendStream<Bytes>,
    frames: Frames,
    only_latest: bool,
    revoked: Option<Revoked>,
    next: Option<Frame>,
    /// After `next` nothing comes.
    is_last: bool,
}

/// What a look at the frames brought.
enum Found {
    Frame(Frame),
    End(Status),
}

impl Running {
    pub(super) fn new(
        work: Work,
        reply: SendResponse<Bytes>,
        deadline: Option<Pin<Box<Sleep>>>,
        server: Server,
        seat: Seat,
    ) -> Self {
        server.began();
        Self {
            stage: Stage::Working(work, reply),
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
            Stage::Working(_, mut reply) => {
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

    fn answer(&mut self, answer: Answer) {
        let (only_latest, frames, revoked) = match answer {
            Answer::Status(status) => return self.end(&status),
            Answer::One(frame, revoked) => {
                let once = futures_util::stream::once(std::future::ready(Ok(frame)));
                (false, Box::pin(once) as Frames, revoked)
            }
            Answer::Latest(frames) => (true, frames, None),
            Answer::Each(frames, revoked) => (false, frames, revoked),
        };
        let Stage::Working(_, reply) = &mut self.stage else {
            return;
        };
        match reply.send_response(head::answer(), false) {
            Ok(stream) => {
                self.stage = Stage::Sending(Sending {
                    stream,
                    frames,
                    only_latest,
                    revoked,
                    next: None,
                    is_last: false,
                });
            }
            Err(_) => self.break_off(),
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
                Stage::Working(work, reply) => {
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
                    Poll::Ready(Some(status)) => {
                        this.end(&status);
                        continue;
                    }
                    Poll::Ready(None) => {
                        this.break_off();
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

impl Sending {
    /// The status that the call ends with; none when the client is gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            match self.look(cx) {
                Poll::Ready(Found::Frame(frame)) => {
                    if self.next.replace(frame).is_none() {
                        // One byte is enough to be told that the client takes more. Asking before there is something to send would hold back
                        // a part of the window that other streams of the connection need.
                        self.stream.reserve_capacity(1);
                    }
                    continue;
                }
                Poll::Ready(Found::End(status)) if status == Status::OK && self.next.is_some() => {
                    self.is_last = true;
                }
                Poll::Ready(Found::End(status)) => return Poll::Ready(Some(status)),
                Poll::Pending => {}
            }
            if self.next.is_none() {
                return Poll::Pending;
            }
            if let Some(revoked) = &mut self.revoked
                && let Poll::Ready(status) = revoked.as_mut().poll(cx)
            {
                return Poll::Ready(Some(status));
            }
            if !ready!(self.poll_room(cx)) {
                return Poll::Ready(None);
            }
            if let Some(frame) = self.next.take()
                && self.stream.send_data(frame.into_bytes(), false).is_err()
            {
                return Poll::Ready(None);
            }
            if self.is_last {
                return Poll::Ready(Some(Status::OK));
            }
        }
    }

    /// Looks for a frame that is to be sent, also while another waits if that one would not count any more.
    fn look(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        if self.is_last || (self.next.is_some() && !self.only_latest) {
            return Poll::Pending;
        }
        self.frames.as_mut().poll_next(cx).map(|found| match found {
            Some(Ok(frame)) => Found::Frame(frame),
            Some(Err(status)) => Found::End(status),
            None => Found::End(Status::OK),
        })
    }

    /// Says the status. Trailers go out behind the data that the client has not taken yet, and HTTP/2 holds that for as long as the client
    /// likes. Breaking a stream off needs no window: data of one who may not have it any more is taken back at once, and other ends wait a
    /// moment for their client.
    fn end(mut self, status: &Status) -> Stage {
        let is_behind = *status != Status::OK && {
            self.stream.reserve_capacity(1);
            self.stream.capacity() == 0
        };
        if is_behind && status.code == Code::PERMISSION_DENIED {
            self.stream.send_reset(broken_off(status.code));
            return Stage::Ended;
        }
        let is_sent = self.stream.send_trailers(head::trailers(status)).is_ok();
        if is_sent && is_behind {
            return Stage::Behind(self.stream, broken_off(status.code), Box::pin(sleep(BEHIND)));
        }
        Stage::Ended
    }

    /// Whether the client takes more; false when it is gone.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }
}

/// What clients read as this code: the table "HTTP2 Transport Mapping" of gRPC over HTTP2.
fn broken_off(code: Code) -> Reason {
    match code {
        Code::PERMISSION_DENIED => Reason::INADEQUATE_SECURITY,
        Code::UNAVAILABLE => Reason::REFUSED_STREAM,
        Code::RESOURCE_EXHAUSTED => Reason::ENHANCE_YOUR_CALM,
        Code::CANCELLED | Code::DEADLINE_EXCEEDED => Reason::CANCEL,
        _ => Reason::INTERNAL_ERROR,
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.break_off();
    }
}
