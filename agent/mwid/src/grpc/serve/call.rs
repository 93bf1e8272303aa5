//! One call, as the service sees it. In: the head and the data of a stream. Out: its path, its metadata, its messages. Never waits for ever for
//! a single message.
use crate::grpc::frame::{Broken, Messages};
use crate::grpc::sieve::Fields;
use crate::grpc::status::{Code, Status};
use crate::http::Holder;
use crate::http::meet::{About, Log, Misuse};
use hyper::Uri;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use prost::Message;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A call that waits for its answer.
pub(crate) struct Call {
    path: Uri,
    metadata: HeaderMap,
    messages: Messages,
    within: Duration,
    /// Where misuse is told, and whose.
    log: Arc<Log>,
    holder: Option<Holder>,
}

impl Call {
    pub(super) fn new(head: Parts, messages: Messages, within: Duration, about: &About) -> Self {
        Self {
            path: head.uri,
            metadata: head.headers,
            messages,
            within,
            log: Arc::clone(&about.log),
            holder: about.holder,
        }
    }

    /// The same, of messages that are no larger than this.
    pub(crate) fn of_at_most(mut self, bytes: usize) -> Self {
        self.messages.at_most(bytes);
        self
    }

    /// The same, of messages of up to `whole` bytes of which only these fields are read, and no more than `kept` bytes of them.
    pub(crate) fn of_fields(mut self, fields: Fields, whole: usize, kept: usize) -> Self {
        self.messages.sift(fields, whole, kept);
        self
    }

    /// The same without its head: a stream that lasts does not keep what its client said at the start.
    pub(crate) fn without_head(mut self) -> Self {
        (self.path, self.metadata) = (Uri::default(), HeaderMap::new());
        self
    }

    /// From now on the service keeps so many bytes of what this stream's client said. The error is the answer.
    pub(crate) fn keep(&mut self, bytes: usize) -> Result<(), Status> {
        self.messages.keep(bytes).map_err(|broken| broken.status())
    }

    /// `/package.Service/Method`, as it came.
    pub(crate) fn path(&self) -> &str {
        self.path.path()
    }

    /// All headers but HTTP/2's own.
    pub(crate) fn metadata(&self) -> &HeaderMap {
        &self.metadata
    }

    /// The single message of a method that takes one. The error is the answer.
    pub(crate) async fn one<M: Message + Default>(&mut self) -> Result<M, Status> {
        let within = self.within;
        let both = async { Ok((self.next().await?, self.next::<M>().await?)) };
        match tokio::time::timeout(within, both).await {
            Ok(Ok((Some(message), None))) => Ok(message),
            Ok(Ok((None, _))) => Err(Status::new(
                Code::UNIMPLEMENTED,
                "this method takes one message, and none came",
            )),
            Ok(Ok((Some(_), Some(_)))) => Err(Status::new(
                Code::UNIMPLEMENTED,
                "this method takes one message, and more came",
            )),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::new(
                Code::DEADLINE_EXCEEDED,
                "the call's message did not come in time",
            )),
        }
    }

    /// The next message of a method that takes a stream of them; none after the last. The error is the answer.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        self.messages.next().await.map_err(|broken| {
            if let Broken::TooLarge { length, largest } = broken {
                let too_large = Misuse::LargeMessage { length, largest };
                self.log.misused(too_large, self.holder);
            }
            broken.status()
        })
    }
}

/// Closed: metadata may hold a token.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({})", self.path())
    }
}
