//! The life of one call: the service works on it, then its frames go out as the client takes them.
//!
//! In: the service's work, then its frames. Out: head, data and trailers of one stream. Where each message counts, none is made before its client
//! takes it; where only the newest does, one waits at most, and is given up for a newer one. What HTTP/2 has of a message that its client takes
//! in parts is paid for by its user, and taken back when it is over. A call has its place until its client's window was wide enough for all of its
//! answer. Never waits for another stream, and never lets an end wait for a client that does not read: what such a client has not taken by then
//! it does not get.
use super::answer::Answer;
use super::head;
use super::sending::{End, Left, Patience, Sending, Single, Source};
use super::shares::{Purse, Seat};
use crate::grpc::metrics::Server;
use crate::grpc::status::{Code, Status};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use hyper::body::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// The service's work on a call.
pub(super) type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A call's seat, and its being counted.
pub(super) struct Place {
    server: Server,
    _seat: Seat,
}

impl Place {
    pub(super) fn new(seat: Seat, server: Server) -> Self {
        server.began();
        Self { server, _seat: seat }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.ended();
    }
}

/// A call; ends when nothing of its answer waits for its client's window. What waits then, if anything, waits for the connection.
pub(super) struct Running {
    stage: Stage,
    /// When the caller no longer waits, if it said so.
    deadline: Option<Pin<Box<Sleep>>>,
    server: Server,
    /// Until it ends.
    place: Option<Place>,
}

enum Stage {
    Working(Work, SendResponse<Bytes>, Purse),
    Sending(Sending),
    /// It has its status, behind data that its client does not take. Is broken off when the time is over.
    Behind(Behind),
    Ended,
}

struct Behind {
    stream: SendStream<Bytes>,
    reason: Reason,
    patience: Pin<Box<Sleep>>,
    _purse: Purse,
}

/// So long may a client take to read on when its stream ended, before it is broken off.
const BEHIND: Duration = Duration::from_secs(1);

impl Running {
    pub(super) fn new(
        work: Work,
        reply: SendResponse<Bytes>,
        deadline: Option<Pin<Box<Sleep>>>,
        server: Server,
        (place, purse): (Place, Purse),
    ) -> Self {
        Self {
            stage: Stage::Working(work, reply, purse),
            deadline,
            server,
            place: Some(place),
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
                Source::Each {
                    messages: Box::pin(once),
                    revoked: None,
                    patience: Patience::Short(None),
                    single: Some(Single::default()),
                }
            }
            Answer::Latest(messages) => Source::Latest {
                messages,
                next: None,
                is_last: false,
            },
            Answer::Each(messages, revoked) => Source::Each {
                messages,
                revoked,
                patience: Patience::Endless,
                single: None,
            },
            Answer::Once(messages, revoked) => Source::Each {
                messages,
                revoked,
                patience: Patience::Endless,
                single: Some(Single::default()),
            },
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
                    left: Left {
                        is_some: false,
                        over: None,
                        purse,
                    },
                });
            }
            Err(_) => self.server.answered(Code::CANCELLED),
        }
    }
}

/// Its place is free when the connection has sent what it was given.
impl Future for Running {
    type Output = Option<Place>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Place>> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Ended => return Poll::Ready(this.place.take()),
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
                Stage::Behind(behind) => {
                    if behind.stream.poll_reset(cx).is_pending() {
                        ready!(behind.patience.as_mut().poll(cx));
                        behind.stream.send_reset(behind.reason);
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
    /// Says the status. Trailers go out behind the data that the client has not taken yet, and HTTP/2 holds that for as long as the client
    /// likes. Breaking a stream off needs no window: data of one who may not have it any more is taken back at once, whatever code he is told
    /// (his process may have ended, and another one have its socket), and other ends wait a moment for their client.
    fn end(mut self, status: &Status) -> Stage {
        let is_behind = self.left.is_some && *status != Status::OK && {
            self.stream.reserve_capacity(1);
            self.stream.capacity() == 0
        };
        if is_behind && status.takes_back() {
            self.stream.send_reset(head::broken_off(status.code));
            return Stage::Ended;
        }
        let is_sent = self.stream.send_trailers(head::trailers(status)).is_ok();
        if is_sent && is_behind {
            return Stage::Behind(Behind {
                stream: self.stream,
                reason: head::broken_off(status.code),
                patience: Box::pin(sleep(BEHIND)),
                _purse: self.left.purse,
            });
        }
        Stage::Ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.break_off();
    }
}
