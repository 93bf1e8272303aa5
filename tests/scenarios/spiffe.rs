//! A SPIFFE program: a small client of the Workload API that shows what a server really sends.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;

/// The answer to FetchX509SVID.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Svids {
    #[prost(message, repeated, tag = "1")]
    pub(crate) svids: Vec<Svid>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) crl: Vec<Vec<u8>>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub(crate) federated_bundles: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Svid {
    #[prost(string, tag = "1")]
    pub(crate) spiffe_id: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) x509_svid: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) x509_svid_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) bundle: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(crate) hint: String,
}

/// The answer to FetchX509Bundles.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Bundles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) crl: Vec<Vec<u8>>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub(crate) bundles: BTreeMap<String, Vec<u8>>,
}

pub(crate) const X509_SVID: &str = "FetchX509SVID";
pub(crate) const X509_BUNDLES: &str = "FetchX509Bundles";
pub(crate) const HEADER: (&str, &str) = ("workload.spiffe.io", "true");

/// How long a test waits for an answer before it says that there is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// HTTP/2's own (RFC 9113, 6.9.2).
const WINDOW: u32 = 65_535;

/// gRPC's numbers of the codes that scenarios name.
pub(crate) const INVALID_ARGUMENT: u16 = 3;
pub(crate) const PERMISSION_DENIED: u16 = 7;
pub(crate) const RESOURCE_EXHAUSTED: u16 = 8;
pub(crate) const UNIMPLEMENTED: u16 = 12;
pub(crate) const INTERNAL: u16 = 13;
pub(crate) const UNAVAILABLE: u16 = 14;

/// One connection.
pub(crate) struct Program {
    runtime: Runtime,
    send: http2::SendRequest<Full<Bytes>>,
}

/// One call.
pub(crate) struct Call<'p> {
    program: &'p Program,
    body: Incoming,
    /// What came and is no whole message yet.
    rest: Vec<u8>,
    /// Of a refusal that is all in its head.
    refused: Option<(u16, String)>,
}

/// What comes next on a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Message(Vec<u8>),
    /// Its code and its words.
    End(u16, String),
    /// The connection is gone.
    Gone,
    /// Nothing within the time.
    Nothing,
}

impl Program {
    /// Connects as this user (see `as_user` for another's).
    pub(crate) fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).unwrap()
    }

    pub(crate) fn try_connect(socket: &Path) -> std::io::Result<Self> {
        Ok(Self::over(std::os::unix::net::UnixStream::connect(socket)?))
    }

    pub(crate) fn over(stream: std::os::unix::net::UnixStream) -> Self {
        Self::over_with_window(stream, WINDOW)
    }

    pub(crate) fn over_with_window(stream: std::os::unix::net::UnixStream, window: u32) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self::speak(|| UnixStream::from_std(stream).unwrap(), window)
    }

    /// Takes no more than so many bytes of a stream before somebody reads it.
    pub(crate) fn with_window(socket: &Path, window: u32) -> Self {
        Self::over_with_window(std::os::unix::net::UnixStream::connect(socket).unwrap(), window)
    }

    pub(crate) fn over_tcp(address: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self::speak(|| TcpStream::from_std(stream).unwrap(), WINDOW)
    }

    fn speak<S>(stream: impl FnOnce() -> S, window: u32) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let send = runtime.block_on(async {
            let io = TokioIo::new(stream());
            let mut http = http2::Builder::new(TokioExecutor::new());
            let http = http.initial_stream_window_size(window);
            let (send, connection) = http.handshake(io).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            send
        });
        Self { runtime, send }
    }

    /// As SPIFFE libraries call: with the header, and an empty message.
    pub(crate) fn call(&self, method: &str) -> Call<'_> {
        self.call_with(method, &[HEADER], &[0; 5]).unwrap()
    }

    /// None: the connection is gone.
    pub(crate) fn call_with(&self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Call<'_>> {
        self.call_at(&format!("/SpiffeWorkloadAPI/{method}"), headers, body)
    }

    /// Of any service.
    pub(crate) fn call_at(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Call<'_>> {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.send(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap())?;
        assert_eq!(response.status(), 200);
        let refused = status(response.headers());
        Some(Call {
            program: self,
            body: response.into_body(),
            rest: vec![],
            refused,
        })
    }

    pub(crate) fn send(&self, request: Request<Full<Bytes>>) -> Option<Response<Incoming>> {
        let mut send = self.send.clone();
        let answer = async { tokio::time::timeout(PATIENCE, send.send_request(request)).await };
        self.runtime.block_on(answer).unwrap().ok()
    }

    /// The first message of a stream, or how the call ends.
    pub(crate) fn first(&self, method: &str) -> Next {
        self.call(method).next()
    }
}

impl Call<'_> {
    pub(crate) fn next(&mut self) -> Next {
        let next = self.next_within(PATIENCE);
        assert_ne!(next, Next::Nothing, "nothing came within {PATIENCE:?}");
        next
    }

    pub(crate) fn next_within(&mut self, time: Duration) -> Next {
        if let Some((code, message)) = self.refused.take() {
            return Next::End(code, message);
        }
        let Self {
            program, body, rest, ..
        } = self;
        let next = async { tokio::time::timeout(time, next(body, rest)).await };
        program.runtime.block_on(next).unwrap_or(Next::Nothing)
    }

    pub(crate) fn svid(&mut self) -> Svids {
        match self.next() {
            Next::Message(bytes) => Svids::decode(&bytes[..]).unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }

    pub(crate) fn bundles(&mut self) -> Bundles {
        match self.next() {
            Next::Message(bytes) => Bundles::decode(&bytes[..]).unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }
}

async fn next(body: &mut Incoming, rest: &mut Vec<u8>) -> Next {
    loop {
        if let [0, a, b, c, d, ..] = rest[..] {
            let end = 5 + u32::from_be_bytes([a, b, c, d]) as usize;
            if rest.len() >= end {
                let message = rest[5..end].to_vec();
                rest.drain(..end);
                return Next::Message(message);
            }
        }
        let Some(Ok(frame)) = body.frame().await else {
            return Next::Gone;
        };
        match frame.into_data() {
            Ok(data) => rest.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return status(&trailers).map_or(Next::Gone, |(code, message)| Next::End(code, message));
            }
        }
    }
}

fn status(headers: &HeaderMap) -> Option<(u16, String)> {
    let code = headers.get("grpc-status")?.to_str().unwrap().parse().unwrap();
    let message = headers
        .get("grpc-message")
        .map_or("", |text| text.to_str().unwrap());
    Some((code, message.replace("%20", " ")))
}
