//! What a service answers. In: messages, as they are made. Out: how each goes to its client. Never says when.
use crate::grpc::frame::{Frame, Pieces};
use crate::grpc::status::Status;
use futures_util::Stream;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

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
    Latest(Messages),
    /// Messages that all arrive: the stream is asked for one only when the client takes it, and so cannot end meanwhile but by what is beside it.
    Each(Messages, Option<Revoked>),
    /// The same of one message, and OK with its last byte.
    Once(Messages, Option<Revoked>),
}

impl Answer {
    /// One message that is made when the client takes it, and OK.
    pub(crate) fn once(
        made: impl Future<Output = Result<Dated, Status>> + Send + 'static,
        revoked: Option<Revoked>,
    ) -> Self {
        Self::Once(Box::pin(futures_util::stream::once(made)), revoked)
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
            Self::Once(..) => f.write_str("Once(..)"),
        }
    }
}

/// Closed: it may hold a key.
impl fmt::Debug for Dated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dated(..)")
    }
}
