//! The floor: hyper with one fixed answer, on one thread.
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

pub(crate) const NAME: &str = "hyper";
pub(crate) const ARGUMENT: &str = "--floor";

/// Listens at a path, or on a TCP address. The body is as long as the daemon's, so that both copy the same.
pub(crate) fn run(address: &str, length: usize) {
    let body = Bytes::from("x".repeat(length));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if Path::new(address).is_absolute() {
            let listener = UnixListener::bind(address).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, body.clone()));
            }
        }
        let listener = TcpListener::bind(address).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream, body.clone()));
        }
    });
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, body: Bytes) {
    let answer = service_fn(move |_: Request<Incoming>| {
        let body = body.clone();
        async move {
            let mut response = Response::new(Full::new(body));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok::<_, Infallible>(response)
        }
    });
    // A client that goes away is the end of a case.
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await
        .ok();
}
