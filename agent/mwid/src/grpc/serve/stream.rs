//! The life of one call: the service works on it, then its frames go out as the client takes them.
//!
//! In: the service's work, then its frames. Out: head, data and trailers of one stream. Holds at most one frame that HTTP/2's flow control
//! has not taken, and gives that up for a newer one where only the newest counts. Never waits for another stream.
use super::head;
use super::shares::Seat;
use crate::grpc::frame::Frame;
use crate::grpc::metrics::Server;
use crate::grpc::status::{Code, Status};
use futures_util::Stream;
use h2::SendStream;
use h2::server::SendResponse;
use hyper::body::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;

/// Frames as they come; an error is the status that ends the call.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

/// The answer to a call.
pub(crate) enum Answer {
    /// No message.
    Status(Status),
    /// One message, and OK.
    One(Frame),
    /// Messages of which each takes the place of those before it: a client that is slow gets the newest only.
    Latest(Frames),
    /// Messages that all arrive: nothing is taken from the stream before the client took the one before.
    Each(Frames),
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
            Self::Each(_) => f.write_str("Each(..)"),
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
    Ended,
}

struct Sending {
    stream: SendStream<Bytes>,
    frames: Frames,
    only_latest: bool,
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
        self.server.answered(status.code);
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Working(_, mut reply) => drop(reply.send_response(head::refused(status), true)),
            Stage::Sending(mut sending) => drop(sending.stream.send_trailers(head::trailers(status))),
            Stage::Ended => {}
        }
    }

    /// The client broke it off, or its connection is gone.
    fn break_off(&mut self) {
        self.server.answered(Code::CANCELLED);
        self.stage = Stage::Ended;
    }

    fn answer(&mut self, answer: Answer) {
        let (only_latest, frames) = match answer {
            Answer::Status(status) => return self.end(&status),
            Answer::One(frame) => {
                let once = futures_util::stream::once(std::future::ready(Ok(frame)));
                (false, Box::pin(once) as Frames)
            }
            Answer::Latest(frames) => (true, frames),
            Answer::Each(frames) => (false, frames),
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

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Ended) {
            self.break_off();
        }
        self.server.ended();
    }
}
