//! Calls to a gRPC server over one connection.
//!
//! In: an open stream, a method, a message. Out: the answer's message, or one after the other; or why there is none. Never retries; the caller
//! bounds the time. What was received is wiped.
mod error;

pub(crate) use error::CallError;

use super::frame::{Frame, Messages};
use super::status::{Code, STATUS, Status};
use h2::client::SendRequest;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use hyper::{Request, StatusCode};
use prost::Message;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

const CONTENT: &str = "application/grpc";
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// A head is not larger.
const HEADER_BYTES: u32 = 16 * 1024;

/// An open connection; closed when dropped. A clone shares it.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    /// What the server is asked for by: no more than a name.
    authority: String,
    largest: usize,
    driver: Arc<AbortOnDropHandle<()>>,
}

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// `/package.Service/Method`.
    pub(crate) path: &'static str,
    /// Further headers, by lower-case name.
    pub(crate) metadata: &'static [(&'static str, &'static str)],
    /// What the server is told that the caller waits.
    pub(crate) timeout: Option<Duration>,
}

impl Method {
    /// Without further headers, and without an end.
    pub(crate) const fn at(path: &'static str) -> Self {
        Self {
            path,
            metadata: &[],
            timeout: None,
        }
    }
}

impl Connection {
    /// Takes messages of at most `largest` bytes.
    pub(crate) async fn open<S>(stream: S, authority: &str, largest: usize) -> Result<Self, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = h2::client::Builder::new()
            .max_header_list_size(HEADER_BYTES)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(CallError::Http)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                // Each call on it has met the same.
                tracing::debug!(error = &error as &dyn std::error::Error, "connection failed");
            }
        });
        Ok(Self {
            sender,
            authority: authority.to_owned(),
            largest,
            driver: Arc::new(AbortOnDropHandle::new(driver)),
        })
    }

    /// A method that takes a message and answers one.
    pub(crate) async fn unary<A: Message + Default>(
        &self,
        method: Method,
        question: &impl Message,
    ) -> Result<A, CallError> {
        let mut answers = self.server_streaming(method, question).await?;
        let Some(answer) = answers.next().await? else {
            return Err(CallError::NoMessage);
        };
        match answers.next().await? {
            None => Ok(answer),
            Some(_) => Err(CallError::MoreMessages),
        }
    }

    /// A method that takes a message and answers a stream of them.
    pub(crate) async fn server_streaming<A: Message + Default>(
        &self,
        method: Method,
        question: &impl Message,
    ) -> Result<Answers<A>, CallError> {
        let request = self.request(method)?;
        let mut sender = self.sender.clone().ready().await.map_err(CallError::Http)?;
        let (answer, mut stream) = sender.send_request(request, false).map_err(CallError::Http)?;
        stream
            .send_data(Frame::secret(question).into_bytes(), true)
            .map_err(CallError::Http)?;
        let (head, data) = answer.await.map_err(CallError::Http)?.into_parts();
        let is_grpc = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(CONTENT.as_bytes()));
        if head.status != StatusCode::OK || !is_grpc {
            return Err(CallError::NotGrpc {
                status: head.status.as_u16(),
            });
        }
        let mut ended = false;
        // A refusal may come without a body, all in the head.
        if head.headers.contains_key(STATUS) {
            good(Some(&head.headers))?;
            ended = true;
        }
        Ok(Answers {
            messages: Messages::new(data, self.largest),
            ended,
            _driver: Arc::clone(&self.driver),
            of: PhantomData,
        })
    }

    fn request(&self, method: Method) -> Result<Request<()>, CallError> {
        let mut request = Request::post(format!("http://{}{}", self.authority, method.path))
            .header(TE, "trailers")
            .header(CONTENT_TYPE, CONTENT)
            .header(USER_AGENT, concat!("mwid/", env!("CARGO_PKG_VERSION")));
        for (name, value) in method.metadata {
            request = request.header(*name, HeaderValue::from_static(value));
        }
        if let Some(timeout) = method.timeout {
            // Eight digits are enough for three years.
            let seconds = timeout.as_secs().min(99_999_999);
            request = request.header(TIMEOUT, format!("{seconds}S"));
        }
        request.body(()).map_err(|source| CallError::Request {
            method: method.path,
            source,
        })
    }
}

/// The messages of an answer, one after the other.
pub(crate) struct Answers<A> {
    messages: Messages,
    ended: bool,
    /// The connection is there as long as its answers.
    _driver: Arc<AbortOnDropHandle<()>>,
    of: PhantomData<fn() -> A>,
}

impl<A: Message + Default> Answers<A> {
    /// None when the server says that this is all and well.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, CallError> {
        if let Some(message) = self.messages.next().await? {
            return Ok(Some(message));
        }
        if !self.ended {
            good(self.messages.trailers().await?.as_ref())?;
            self.ended = true;
        }
        Ok(None)
    }
}

/// An error unless the status is there and OK.
fn good(headers: Option<&HeaderMap>) -> Result<(), CallError> {
    let status = headers.and_then(Status::read).ok_or(CallError::NoStatus)?;
    match status.code {
        Code::OK => Ok(()),
        _ => Err(CallError::Refused(status)),
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
