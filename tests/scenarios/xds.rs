//! A client of the secret discovery service: a stream both ways, that shows what a server really sends. The real Envoy is in tests/interop/envoy.

use futures_util::stream::unfold;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::http2;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::convert::Infallible;
use std::future::Future as _;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// The daemon's generated code, in the modules that it knows itself in.
#[path = "../../agent/mwid/src/proto/envoy/mod.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unfulfilled_lint_expectations,
    clippy::allow_attributes,
    reason = "the daemon's generated code"
)]
mod envoy;
#[path = "../../agent/mwid/src/proto/google/mod.rs"]
#[allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unfulfilled_lint_expectations,
    clippy::allow_attributes,
    reason = "the daemon's generated code"
)]
mod google;

pub(crate) use envoy::config::core::v3 as core;
pub(crate) use envoy::extensions::transport_sockets::tls::v3 as tls;
pub(crate) use envoy::service::discovery::v3 as discovery;
pub(crate) use google::rpc;

pub(crate) const STREAM: &str = "StreamSecrets";
pub(crate) const DELTA: &str = "DeltaSecrets";
pub(crate) const FETCH: &str = "FetchSecrets";

const SERVICE: &str = "envoy.service.secret.v3.SecretDiscoveryService";

/// How long a test waits for an answer before it says that there is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// HTTP/2's own (RFC 9113, 6.9.2).
const WINDOW: u32 = 65_535;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One connection.
pub(crate) struct Envoy {
    runtime: Runtime,
    send: http2::SendRequest<Body>,
}

/// One call.
pub(crate) struct Call<'e> {
    envoy: &'e Envoy,
    requests: Option<mpsc::UnboundedSender<Bytes>>,
    body: Incoming,
    rest: Vec<u8>,
    refused: Option<(u16, String)>,
}

/// What comes next on a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Next<M> {
    Message(M),
    /// Its code and its words.
    End(u16, String),
    /// The stream was broken off.
    BrokenOff,
    /// Nothing within the time.
    Nothing,
}

impl<M: std::fmt::Debug> Next<M> {
    pub(crate) fn message(self) -> M {
        match self {
            Self::Message(message) => message,
            other => panic!("no message but {other:?}"),
        }
    }
}

fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend(body);
    frame.into()
}

fn status(headers: &HeaderMap) -> Option<(u16, String)> {
    let code = headers.get("grpc-status")?.to_str().unwrap().parse().unwrap();
    let words = headers.get("grpc-message").map(|words| words.to_str().unwrap());
    Some((code, words.unwrap_or_default().to_owned()))
}

impl Envoy {
    pub(crate) fn connect(socket: &Path) -> Self {
        Self::with_window(socket, WINDOW)
    }

    /// Takes no more than so many bytes of a stream before somebody reads it.
    pub(crate) fn with_window(socket: &Path, window: u32) -> Self {
        Self::over_with_window(std::os::unix::net::UnixStream::connect(socket).unwrap(), window)
    }

    pub(crate) fn over(stream: std::os::unix::net::UnixStream) -> Self {
        Self::over_with_window(stream, WINDOW)
    }

    pub(crate) fn over_with_window(stream: std::os::unix::net::UnixStream, window: u32) -> Self {
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let send = runtime.block_on(async {
            let io = TokioIo::new(UnixStream::from_std(stream).unwrap());
            let mut http = http2::Builder::new(TokioExecutor::new());
            let http = http.initial_stream_window_size(window);
            let (send, connection) = http.handshake(io).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            send
        });
        Self { runtime, send }
    }

    /// As Envoy calls: without the header of the Workload API. More requests may follow the first.
    pub(crate) fn call(&self, method: &str, first: &impl Message) -> Call<'_> {
        let (requests, queue) = mpsc::unbounded_channel();
        requests.send(framed(first)).unwrap();
        let queue = unfold(queue, |mut queue| async {
            let bytes = queue.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), queue))
        });
        let request = Request::post(format!("http://localhost/{SERVICE}/{method}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(UnsyncBoxBody::new(StreamBody::new(queue)))
            .unwrap();
        let requests = (method != FETCH).then_some(requests);
        let mut send = self.send.clone();
        let answer = async { tokio::time::timeout(PATIENCE, send.send_request(request)).await };
        let response = self.runtime.block_on(answer).unwrap().unwrap();
        assert_eq!(response.status(), 200);
        let refused = status(response.headers());
        Call {
            envoy: self,
            requests,
            body: response.into_body(),
            rest: vec![],
            refused,
        }
    }
}

/// A call of a client whose window is closed until it opens it.
pub(crate) struct Stalled {
    pub(crate) method: &'static str,
    runtime: Runtime,
    /// Dropped: the window is open.
    closed: Option<oneshot::Sender<()>>,
    body: h2::RecvStream,
    rest: Vec<u8>,
    /// The call goes on.
    _requests: h2::SendStream<Bytes>,
}

impl Stalled {
    pub(crate) fn call(socket: &Path, method: &'static str, first: &impl Message) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (closed, open) = oneshot::channel::<()>();
        let called = runtime.block_on(async {
            let stream = UnixStream::connect(socket).await.unwrap();
            let mut http = h2::client::Builder::new();
            let http = http.initial_window_size(0);
            let (mut send, mut connection) = http.handshake::<_, Bytes>(stream).await.unwrap();
            tokio::spawn(async move {
                let mut open = Some(open);
                std::future::poll_fn(|cx| {
                    if let Some(opened) = &mut open
                        && Pin::new(opened).poll(cx).is_ready()
                    {
                        open = None;
                        connection.set_initial_window_size(WINDOW).unwrap();
                    }
                    Pin::new(&mut connection).poll(cx)
                })
                .await
            });
            let request = Request::post(format!("http://localhost/{SERVICE}/{method}"))
                .header("te", "trailers")
                .header("content-type", "application/grpc")
                .body(())
                .unwrap();
            let (answer, mut requests) = send.send_request(request, false).unwrap();
            requests.send_data(framed(first), false).unwrap();
            let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap();
            (answer.unwrap().into_body(), requests)
        });
        Self {
            method,
            runtime,
            closed: Some(closed),
            body: called.0,
            rest: vec![],
            _requests: called.1,
        }
    }

    pub(crate) fn open(&mut self) {
        self.closed = None;
    }

    /// The bytes of a message that is not whole.
    pub(crate) fn taken(&self) -> usize {
        self.rest.len()
    }

    /// The next message, if there comes one.
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<Vec<u8>> {
        loop {
            if let Some(message) = whole(&mut self.rest) {
                return Some(message);
            }
            let Self { runtime, body, .. } = self;
            let data = async { tokio::time::timeout(time, body.data()).await };
            let data = runtime.block_on(data).ok()??.ok()?;
            body.flow_control().release_capacity(data.len()).unwrap();
            self.rest.extend(data);
        }
    }
}

/// Takes a whole message from the front.
fn whole(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(bytes.get(1..5)?.try_into().unwrap());
    let end = 5 + usize::try_from(length).unwrap();
    let message = bytes.get(5..end)?.to_vec();
    bytes.drain(..end);
    Some(message)
}

impl Call<'_> {
    pub(crate) fn say(&self, message: &impl Message) {
        self.requests.as_ref().unwrap().send(framed(message)).unwrap();
    }

    pub(crate) fn next<M: Message + Default>(&mut self) -> Next<M> {
        let next = self.next_within(PATIENCE);
        assert!(!matches!(next, Next::Nothing), "nothing came in time");
        next
    }

    pub(crate) fn next_within<M: Message + Default>(&mut self, time: Duration) -> Next<M> {
        if let Some((code, words)) = self.refused.take() {
            return Next::End(code, words);
        }
        loop {
            if let Some(message) = whole(&mut self.rest) {
                return Next::Message(M::decode(&*message).unwrap());
            }
            let Self { envoy, body, .. } = self;
            let frame = async { tokio::time::timeout(time, body.frame()).await };
            match envoy.runtime.block_on(frame) {
                Err(_) => return Next::Nothing,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest.extend(data),
                    Err(frame) => {
                        let (code, words) = status(frame.trailers_ref().unwrap()).unwrap();
                        return Next::End(code, words);
                    }
                },
                Ok(Some(Err(_))) => return Next::BrokenOff,
                other => panic!("the stream ended without a word: {other:?}"),
            }
        }
    }
}
