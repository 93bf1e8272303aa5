//! The metadata server's gRPC service, with a wire format written by hand, so that it shares nothing with who is tested.
use crate::pki::{Leaf, World};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

const SERVICE: &str = "/managed_workload_identity.proto.v1.WorkloadIdentity/";

/// A running service; stops when dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    said: Arc<Mutex<Said>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is answered from now on.
#[derive(Clone, Debug)]
pub enum Said {
    /// A status and its message, percent-encoded, in a head without a body.
    Refusal(u8, &'static str),
    /// An identity.
    Identity {
        /// Leaf, issuing CA.
        chain_pem: String,
        /// Empty: withheld.
        key_pem: String,
        /// SPIFFE bundle map.
        bundles_json: String,
    },
    /// These bytes as the body of every answer, and these trailers.
    Raw(Vec<u8>, Vec<(&'static str, &'static str)>),
    /// Nothing, for ever.
    Silence,
}

impl Said {
    /// A leaf of a world, with a bundle map that holds the world's root.
    pub fn identity(world: &World, leaf: &Leaf) -> Self {
        let root: String = world
            .root
            .cert_pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        Self::Identity {
            chain_pem: leaf.chain_pem.clone(),
            key_pem: leaf.key_pem.clone(),
            bundles_json: format!(
                r#"{{"trust_domains": {{"{}": {{"keys": [{{"use": "x509-svid", "kty": "EC", "x5c": ["{root}"]}}]}}}}}}"#,
                world.root.trust_domain
            ),
        }
    }
}

impl Service {
    /// At an address.
    pub fn start_at(address: SocketAddr, said: Said) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let said = Arc::new(Mutex::new(said));
        let shared = Arc::clone(&said);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            said,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// On a free port of 127.0.0.1.
    pub fn start(said: Said) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), said)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers so from now on.
    pub fn say(&self, said: Said) {
        *self.said.lock().unwrap() = said;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn accept(listener: std::net::TcpListener, said: Arc<Mutex<Said>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let said = Arc::clone(&said);
        drop(tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| {
                    let said = said.lock().unwrap().clone();
                    answer(request, said)
                }),
            ),
        ));
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, said: Said) -> Result<Response<Body>, Infallible> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
    };
    let method = request.uri().path().strip_prefix(SERVICE).map(str::to_owned);
    let strict = request.method() == "POST"
        && header("content-type").as_deref() == Some("application/grpc")
        && header("te").as_deref() == Some("trailers");
    let question = request.into_body().collect().await.unwrap().to_bytes();
    // INVALID_ARGUMENT: not one empty message.
    let said = if strict && question[..] == [0; 5] {
        said
    } else {
        Said::Refusal(3, "not%20strict")
    };
    Ok(match (said, method.as_deref()) {
        (Said::Silence, _) => std::future::pending().await,
        (Said::Refusal(code, message), _) => refused(code, message),
        (Said::Raw(body, trailers), _) => answered(body, &trailers),
        (
            Said::Identity {
                chain_pem, key_pem, ..
            },
            Some("GetWorkloadCertificates"),
        ) => answered(
            framed(&[(1, chain_pem.as_bytes()), (2, key_pem.as_bytes())]),
            &[("grpc-status", "0")],
        ),
        (Said::Identity { bundles_json, .. }, Some("GetWorkloadTrustBundles")) => {
            answered(framed(&[(1, bundles_json.as_bytes())]), &[("grpc-status", "0")])
        }
        (Said::Identity { .. }, _) => refused(12, "no%20such%20method"),
    })
}

fn refused(code: u8, message: &'static str) -> Response<Body> {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code.to_string())
        .header("grpc-message", message)
        .body(Full::default().boxed())
        .unwrap()
}

fn answered(body: Vec<u8>, trailers: &[(&'static str, &'static str)]) -> Response<Body> {
    let trailers: HeaderMap = trailers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
    let body = Full::new(Bytes::from(body)).with_trailers(std::future::ready(Some(Ok(trailers))));
    Response::builder()
        .header("content-type", "application/grpc")
        .body(body.boxed())
        .unwrap()
}

/// A message of length-delimited fields behind gRPC's five bytes.
pub fn framed(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for (number, bytes) in fields.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        message.push(number << 3 | 2);
        let mut length = bytes.len();
        while length > 0x7f {
            message.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap());
        message.extend_from_slice(bytes);
    }
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], &message].concat()
}
