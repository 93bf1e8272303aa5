//! Single gRPC calls over one HTTP/2 connection in plain text.
//!
//! In: a stream, a method, a message. Out: the answer's message, or why there is none. The caller bounds the time.
use crate::http::body::{self, BodyError};
use crate::metadata::{LARGEST_BODY, wiped};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::fmt;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

const CONTENT: &str = "application/grpc";
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
/// The most of a server's message that is kept.
const LONGEST_MESSAGE: usize = 300;

/// A status code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u8);

impl Code {
    const OK: Self = Self(0);
    pub(crate) const FAILED_PRECONDITION: Self = Self(9);

    /// By number, as gRPC's page "Status codes and their use" lists them.
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// Those after which the guest agent does not ask again at once.
    fn is_lasting(self) -> bool {
        matches!(self.0, 2 | 3 | 7 | 9 | 12 | 13 | 15 | 16)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "status {}", self.0),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the HTTP/2 connection failed")]
    Http(#[source] hyper::Error),
    #[error("{method} cannot be asked for")]
    Request {
        method: &'static str,
        #[source]
        source: hyper::http::Error,
    },
    #[error("the answer's body is not usable")]
    Body(#[source] BodyError),
    #[error(
        "who answers is no gRPC service: HTTP status {status}, or another content type; correct the address"
    )]
    NotGrpc { status: u16 },
    #[error("it was refused with {code}: {message:?}")]
    Status { code: Code, message: String },
    #[error("the answer ended without a status")]
    NoStatus,
    #[error("the answer is not one whole uncompressed message")]
    Frame,
    #[error("the answer is not the message that the method returns")]
    Message(#[source] prost::DecodeError),
}

impl CallError {
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Status { code, .. } => code.is_lasting(),
            Self::NotGrpc { .. } | Self::Request { .. } => true,
            Self::Http(_) | Self::Body(_) | Self::NoStatus | Self::Frame | Self::Message(_) => false,
        }
    }

    /// A short name out of a small fixed set.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Status { .. } => "grpc_status",
            Self::NotGrpc { .. } => "not_metadata",
            Self::Request { .. } => "path",
            Self::Http(_) | Self::Body(_) | Self::NoStatus | Self::Frame | Self::Message(_) => {
                "broken_answer"
            }
        }
    }
}

/// An open connection; closed when dropped.
pub(super) struct Connection {
    server: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<hyper::Result<()>>,
}

impl Connection {
    pub(super) async fn open(server: SocketAddr, stream: TcpStream) -> Result<Self, CallError> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(16 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(CallError::Http)?;
        Ok(Self {
            server,
            sender,
            _driver: AbortOnDropHandle::new(tokio::spawn(driver)),
        })
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) async fn call<A: Message + Default>(
        &mut self,
        method: &'static str,
        question: &impl Message,
    ) -> Result<A, CallError> {
        let request = Request::post(format!("http://{}{method}", self.server))
            .header(TE, "trailers")
            .header(CONTENT_TYPE, CONTENT)
            .header(USER_AGENT, concat!("mwid/", env!("CARGO_PKG_VERSION")))
            .header("grpc-timeout", format!("{}S", super::ANSWER_WITHIN.as_secs()))
            .body(Full::new(framed(question)))
            .map_err(|source| CallError::Request { method, source })?;
        let (head, body) = self
            .sender
            .send_request(request)
            .await
            .map_err(CallError::Http)?
            .into_parts();
        let is_grpc = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(CONTENT.as_bytes()));
        if head.status != StatusCode::OK || !is_grpc {
            return Err(CallError::NotGrpc {
                status: head.status.as_u16(),
            });
        }
        // A refusal may come without a body, all in the head.
        if head.headers.contains_key(STATUS) {
            status(&head.headers)?;
        }
        let body = body::read_with_trailers(body, LARGEST_BODY)
            .await
            .map_err(CallError::Body)?;
        let trailers = body.trailers().cloned();
        let body = wiped(body.to_bytes());
        if !head.headers.contains_key(STATUS) {
            status(&trailers.ok_or(CallError::NoStatus)?)?;
        }
        A::decode(message(&body)?).map_err(CallError::Message)
    }
}

/// An error unless the status is there and OK.
fn status(headers: &HeaderMap) -> Result<(), CallError> {
    let code = headers
        .get(STATUS)
        .and_then(|code| code.to_str().ok()?.parse().ok())
        .map(Code)
        .ok_or(CallError::NoStatus)?;
    if code == Code::OK {
        return Ok(());
    }
    let message = headers.get(MESSAGE).map_or(&b""[..], |text| text.as_bytes());
    Err(CallError::Status {
        code,
        message: plain(message),
    })
}

/// gRPC writes what is not printable ASCII as `%XX`.
fn plain(encoded: &[u8]) -> String {
    let hex = |byte: Option<&u8>| {
        byte.and_then(|b| char::from(*b).to_digit(16))
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut bytes = Vec::new();
    let mut rest = encoded;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, hex(tail.first()), hex(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes)
        .chars()
        .take(LONGEST_MESSAGE)
        .collect()
}

/// A message behind its five bytes: not compressed, length.
fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], &message].concat().into()
}

/// The one message of a body.
fn message(body: &[u8]) -> Result<&[u8], CallError> {
    match body {
        [0, a, b, c, d, message @ ..]
            if usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])) == Ok(message.len()) =>
        {
            Ok(message)
        }
        _ => Err(CallError::Frame),
    }
}
