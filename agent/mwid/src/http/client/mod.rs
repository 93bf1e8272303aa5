//! One small request to a local server.
//!
//! In: a Unix socket, or any open stream, and a request. Out: the whole answer, bounded in time and size. Never follows anything, never retries.
#[cfg(test)]
mod tests;

use super::body::{self, BodyError};
use http_body_util::Empty;
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) method: &'a Method,
    /// The path of the request, `/status`.
    pub(crate) path: &'a str,
    /// The wanted type of the answer.
    pub(crate) accept: &'static str,
    /// Further headers, by lower-case name.
    pub(crate) headers: &'a [(&'static str, &'static str)],
    /// For everything together.
    pub(crate) timeout: Duration,
    /// Of the answer's body, in bytes.
    pub(crate) limit: usize,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("there is no socket {}: mwid does not run, or runs with another runtime directory", path.display())]
    NoSocket { path: PathBuf },
    #[error("nobody listens on {}: mwid does not run any more", path.display())]
    Refused { path: PathBuf },
    #[error("this user may not use {}: use the user or a group whom the socket's mode lets in", path.display())]
    Denied { path: PathBuf },
    #[error("no answer on {} within {}", path.display(), humantime::format_duration(*after))]
    TimedOut { path: PathBuf, after: Duration },
    #[error("cannot connect to {}", path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path:?} cannot be asked for")]
    Path {
        path: String,
        #[source]
        source: hyper::http::Error,
    },
    #[error("the talk on {} broke off", path.display())]
    Http {
        path: PathBuf,
        #[source]
        source: hyper::Error,
    },
    #[error("the answer on {} is not usable", path.display())]
    Body {
        path: PathBuf,
        #[source]
        source: BodyError,
    },
}

/// Asks once.
pub(crate) async fn ask(ask: Ask<'_>) -> Result<Answered, ClientError> {
    match tokio::time::timeout(ask.timeout, exchange(ask)).await {
        Ok(done) => done,
        Err(_) => Err(ClientError::TimedOut {
            path: ask.socket.to_owned(),
            after: ask.timeout,
        }),
    }
}

async fn exchange(ask: Ask<'_>) -> Result<Answered, ClientError> {
    let socket = || ask.socket.to_owned();
    let stream = UnixStream::connect(ask.socket)
        .await
        .map_err(|e| not_connected(ask.socket, e))?;
    let request = ask
        .headers
        .iter()
        .fold(Request::builder(), |request, (name, value)| {
            request.header(*name, *value)
        })
        .method(ask.method)
        .uri(ask.path)
        .header(HOST, "localhost")
        .header(ACCEPT, ask.accept)
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|source| ClientError::Path {
            path: ask.path.to_owned(),
            source,
        })?;
    talk(stream, request, ask.limit)
        .await
        .map_err(|error| match error {
            TalkError::Http(source) => ClientError::Http {
                path: socket(),
                source,
            },
            TalkError::Body(source) => ClientError::Body {
                path: socket(),
                source,
            },
        })
        .map(|answer| Answered {
            status: answer.status(),
            body: answer.into_body(),
        })
}

/// Why a request over an open stream has no answer.
#[derive(Debug)]
pub(crate) enum TalkError {
    Http(hyper::Error),
    Body(BodyError),
}

/// One request and its whole answer over an open stream, which is closed after it. The caller bounds the time.
pub(crate) async fn talk<S, B>(
    stream: S,
    request: Request<B>,
    limit: usize,
) -> Result<Response<Bytes>, TalkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(16 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(TalkError::Http)?;
    let mut talk = pin!(async {
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(TalkError::Http)?
            .into_parts();
        let body = body::read(body, limit).await.map_err(TalkError::Body)?;
        Ok(Response::from_parts(head, body))
    });
    // The connection only drives the talk; how it fails, the talk is told.
    let mut connection = pin!(connection);
    let mut ended = false;
    poll_fn(move |cx| {
        if !ended {
            ended = connection.as_mut().poll(cx).is_ready();
        }
        talk.as_mut().poll(cx)
    })
    .await
}

fn not_connected(socket: &Path, source: io::Error) -> ClientError {
    let path = socket.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => ClientError::NoSocket { path },
        io::ErrorKind::ConnectionRefused => ClientError::Refused { path },
        io::ErrorKind::PermissionDenied => ClientError::Denied { path },
        _ => ClientError::Connect { path, source },
    }
}
