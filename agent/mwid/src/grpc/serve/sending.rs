//! Messages on their way: each when its client takes it, or the newest only.
//!
//! In: what a service answers, and how far the client's window is open. Out: data of one stream, and how it ends. Never has more of a message in
//! HTTP/2 than its user pays for, and none that is over.
use super::answer::{Dated, Messages, Revoked};
use super::shares::Purse;
use crate::grpc::frame::Pieces;
use crate::grpc::status::{Code, Status};
use h2::SendStream;
use hyper::body::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// So long may a client take for an answer of one message that stays good.
const TAKEN: Duration = Duration::from_secs(30);

pub(super) struct Sending {
    pub(super) stream: SendStream<Bytes>,
    pub(super) source: Source,
    pub(super) left: Left,
}

/// What HTTP/2 has, as far as we know, of a message that the client has not taken.
pub(super) struct Left {
    pub(super) is_some: bool,
    /// When that may not follow any more.
    pub(super) over: Option<Revoked>,
    /// Pays for it.
    pub(super) purse: Purse,
}

pub(super) enum Source {
    Latest {
        messages: Messages,
        next: Option<Dated>,
        /// After `next` nothing comes.
        is_last: bool,
    },
    Each {
        messages: Messages,
        revoked: Option<Revoked>,
        patience: Patience,
        /// Where there is one message only.
        single: Option<Single>,
    },
}

/// The last byte of the one message. It is sent when there is room for it: then its client has taken all before it, and all with it, and the end
/// needs no more of its window than the message.
#[derive(Default)]
pub(super) struct Single(Option<Bytes>);

/// For a client that does not take its answer.
pub(super) enum Patience {
    /// It may come back to its stream.
    Endless,
    /// The time begins when it lets it wait.
    Short(Option<Pin<Box<Sleep>>>),
}

/// How a call ends.
pub(super) enum End {
    /// The client is gone.
    Gone,
    Status(Status),
    /// The client has a part of what it may not have whole.
    Over(Status),
}

impl Source {
    /// Asks for room where nothing is made before there is some. One byte is enough to be told that the client takes more; it holds back no
    /// more than that of the window that other streams of the connection need.
    pub(super) fn begin(&self, stream: &mut SendStream<Bytes>) {
        if let Self::Each { .. } = self {
            stream.reserve_capacity(1);
        }
    }
}

/// What is so short is sent with its end if there is room for both.
pub(super) const SHORT: usize = 64;
/// So many messages one stream sends, or takes, before others of its connection have their turn.
const AT_ONCE: usize = 16;

impl Sending {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(End::Gone);
        }
        let Self { stream, source, left } = self;
        match source {
            Source::Latest {
                messages,
                next,
                is_last,
            } => poll_latest(stream, messages, (next, is_last), left, cx),
            Source::Each {
                messages,
                revoked,
                patience,
                single,
            } => match single {
                Some(single) => poll_single(stream, messages, (revoked, patience), (single, left), cx),
                None => poll_each(stream, messages, (revoked, patience), left, cx),
            },
        }
    }
}

impl Left {
    /// The client took all.
    fn none(&mut self) {
        (self.is_some, self.over) = (false, None);
        // To less than before, which never fails.
        self.purse.hold(0).ok();
    }

    /// So many bytes of a message are its stream's alone. An error if there is no room for them.
    fn some(&mut self, own: usize, over: Option<Revoked>) -> Result<(), Status> {
        self.purse.hold(own).map_err(no_room)?;
        (self.is_some, self.over) = (true, over);
        Ok(())
    }

    /// Whether it may not follow any more.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match &mut self.over {
            Some(over) => over.as_mut().poll(cx).map(End::Over),
            None => Poll::Pending,
        }
    }
}

/// Makes a message when there is room for it.
fn poll_each(
    stream: &mut SendStream<Bytes>,
    messages: &mut Messages,
    (revoked, patience): (&mut Option<Revoked>, &mut Patience),
    left: &mut Left,
    cx: &mut Context<'_>,
) -> Poll<End> {
    for _ in 0..AT_ONCE {
        match poll_room(stream, cx) {
            Poll::Ready(false) => return Poll::Ready(End::Gone),
            Poll::Ready(true) => left.none(),
            Poll::Pending => return poll_ends(revoked, patience, left, cx),
        }
        let dated = match ready!(messages.as_mut().poll_next(cx)) {
            Some(Ok(dated)) => dated,
            Some(Err(status)) => return Poll::Ready(End::Status(status)),
            None => return Poll::Ready(End::Status(Status::OK)),
        };
        if let Err(status) = left.some(dated.pieces.own(), dated.over) {
            return Poll::Ready(End::Status(status));
        }
        if !send(stream, dated.pieces) {
            return Poll::Ready(End::Gone);
        }
        stream.reserve_capacity(1);
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The same of one message.
fn poll_single(
    stream: &mut SendStream<Bytes>,
    messages: &mut Messages,
    (revoked, patience): (&mut Option<Revoked>, &mut Patience),
    (single, left): (&mut Single, &mut Left),
    cx: &mut Context<'_>,
) -> Poll<End> {
    loop {
        match poll_room(stream, cx) {
            Poll::Ready(false) => return Poll::Ready(End::Gone),
            Poll::Ready(true) => left.none(),
            Poll::Pending => return poll_ends(revoked, patience, left, cx),
        }
        if let Some(byte) = single.0.take() {
            let is_there = stream.send_data(byte, false).is_ok();
            return Poll::Ready(if is_there {
                End::Status(Status::OK)
            } else {
                End::Gone
            });
        }
        let mut dated = match ready!(messages.as_mut().poll_next(cx)) {
            Some(Ok(dated)) => dated,
            Some(Err(status)) => return Poll::Ready(End::Status(status)),
            None => return Poll::Ready(End::Status(Status::OK)),
        };
        let length = dated.pieces.len();
        if let Err(status) = left.some(dated.pieces.own(), dated.over) {
            return Poll::Ready(End::Status(status));
        }
        let fits = length <= SHORT && {
            stream.reserve_capacity(length);
            stream.capacity() >= length
        };
        if !fits {
            single.0 = Some(dated.pieces.pop());
        }
        if !send(stream, dated.pieces) {
            return Poll::Ready(End::Gone);
        }
        if fits {
            return Poll::Ready(End::Status(Status::OK));
        }
        stream.reserve_capacity(1);
    }
}

/// What ends a stream whose client takes nothing.
fn poll_ends(
    revoked: &mut Option<Revoked>,
    patience: &mut Patience,
    left: &mut Left,
    cx: &mut Context<'_>,
) -> Poll<End> {
    if let Some(revoked) = revoked
        && let Poll::Ready(status) = revoked.as_mut().poll(cx)
    {
        return Poll::Ready(End::Status(status));
    }
    if let Patience::Short(patience) = patience {
        let patience = patience.get_or_insert_with(|| Box::pin(sleep(TAKEN)));
        if patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Over(not_taken()));
        }
    }
    left.poll_over(cx)
}

/// Looks for a message also while another waits, for that one would not count any more.
fn poll_latest(
    stream: &mut SendStream<Bytes>,
    messages: &mut Messages,
    (next, is_last): (&mut Option<Dated>, &mut bool),
    left: &mut Left,
    cx: &mut Context<'_>,
) -> Poll<End> {
    loop {
        if !*is_last {
            match messages.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(dated))) => {
                    if next.replace(dated).is_none() {
                        // Asking before there is something to send would hold back a part of the window from the others.
                        stream.reserve_capacity(1);
                    }
                    continue;
                }
                Poll::Ready(Some(Err(status))) => {
                    // What ends the stream may end what the client has a part of, too: that does not wait for it.
                    let is_over = left.is_some && stream.capacity() == 0 && left.poll_over(cx).is_ready();
                    return Poll::Ready(match is_over {
                        true => End::Over(status),
                        false => End::Status(status),
                    });
                }
                Poll::Ready(None) => *is_last = true,
                Poll::Pending => {}
            }
        }
        if next.is_none() && !left.is_some {
            return match is_last {
                true => Poll::Ready(End::Status(Status::OK)),
                false => Poll::Pending,
            };
        }
        match poll_room(stream, cx) {
            Poll::Ready(false) => return Poll::Ready(End::Gone),
            Poll::Ready(true) => left.none(),
            Poll::Pending => return left.poll_over(cx),
        }
        let Some(dated) = next.take() else {
            // All was taken: others may need what this stream asked for.
            stream.reserve_capacity(0);
            continue;
        };
        // All who get it share it: nobody pays.
        if let Err(status) = left.some(0, dated.over) {
            return Poll::Ready(End::Status(status));
        }
        if !send(stream, dated.pieces) {
            return Poll::Ready(End::Gone);
        }
        stream.reserve_capacity(1);
    }
}

/// False when the client is gone.
fn send(stream: &mut SendStream<Bytes>, pieces: Pieces) -> bool {
    pieces
        .into_iter()
        .all(|piece| stream.send_data(piece, false).is_ok())
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

fn not_taken() -> Status {
    Status::new(
        Code::DEADLINE_EXCEEDED,
        "the client did not take its answer in time",
    )
}

fn no_room(held: usize) -> Status {
    Status::new(
        Code::UNAVAILABLE,
        format!(
            "this user has not read {held} bytes that were sent to it, as much as one user may leave: read them, or ask for less at a time"
        ),
    )
}
