//! One connection to the model: HTTP/2, headers, and which method it is.
use super::flaw::Flaw;
use super::inbound::Inbound;
use super::reply::{Refusal, Reply};
use super::world::World;
use super::{delta, reflect, sds, wit, workload};
use crate::endpoint::Stream;
use crate::messages::sds as discovery;
use crate::messages::workload as api;
use crate::wire::{Code, SECURITY_HEADER};
use h2::server;
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, watch};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) flaw: Flaw,
    pub(super) slow: Duration,
    pub(super) world: watch::Sender<Arc<World>>,
}

/// What one call is made of.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) denied: bool,
    pub(super) connection: Arc<Counts>,
    /// Which of the connection's calls it is, from 1.
    pub(super) place: usize,
}

impl Context {
    pub(super) fn is(&self, check: &str) -> bool {
        self.shared.flaw.is(check)
    }

    /// Whether everything on this connection was FetchX509SVID: checks that open a connection of their own do so.
    pub(super) fn apart(&self) -> bool {
        self.connection.others.load(Ordering::Relaxed) == 0
    }
}

/// What came on one connection.
#[derive(Default)]
pub(super) struct Counts {
    calls: AtomicUsize,
    others: AtomicUsize,
    pub(super) close: Notify,
}

impl Counts {
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

pub(super) async fn serve(stream: impl Stream + 'static, shared: Arc<Shared>, denied: bool) {
    if shared.flaw.is("endpoint.plaintext") {
        return;
    }
    if shared.flaw.is("framing.preface") {
        return serve_http1_too(stream, shared, denied).await;
    }
    serve_http2(stream, shared, denied).await;
}

/// Looks at the first bytes: whoever begins in HTTP/1.1 is answered in it.
async fn serve_http1_too(stream: impl Stream + 'static, shared: Arc<Shared>, denied: bool) {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut first = [0; 3];
    if read.read_exact(&mut first).await.is_err() {
        return;
    }
    if &first == b"GET" {
        drop(
            write
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await,
        );
        return;
    }
    let again = std::io::Cursor::new(first.to_vec()).chain(read);
    Box::pin(serve_http2(tokio::io::join(again, write), shared, denied)).await;
}

async fn serve_http2(stream: impl Stream, shared: Arc<Shared>, denied: bool) {
    let Ok(mut connection) = server::handshake(stream).await else {
        return;
    };
    let counts = Arc::new(Counts::default());
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = counts.close.notified() => return,
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        let path = request.uri().path().to_owned();
        if path != api::FETCH_X509_SVID {
            counts.others.fetch_add(1, Ordering::Relaxed);
        }
        let context = Context {
            shared: shared.clone(),
            denied,
            connection: counts.clone(),
            place: counts.calls.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let (head, body) = request.into_parts();
        let reply = Reply::new(respond, shared.flaw, &path);
        let inbound = Inbound::new(body, &head.headers, shared.flaw);
        tokio::spawn(async move { route(context, &path, &head.headers, inbound, reply).await });
    }
}

async fn route(context: Context, path: &str, headers: &HeaderMap, mut inbound: Inbound, mut reply: Reply) {
    if context.is("endpoint.grpc") {
        return reply.http(StatusCode::NOT_FOUND);
    }
    let kind = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let is_grpc = kind.is_some_and(|kind| kind.starts_with(b"application/grpc"));
    if !is_grpc && !context.is("grpc.wrong-content-type") {
        return reply.http(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    match dispatch(&context, path, headers, &mut inbound, &mut reply).await {
        Ok(()) => reply.end(),
        Err(refusal) => reply.refuse(refusal),
    }
}

/// Whether a request may come in, before it is read.
fn admit(context: &Context, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let invalid = Err(Refusal(
        Code::INVALID_ARGUMENT,
        "security header missing from request",
    ));
    let values: Vec<&[u8]> = headers
        .get_all(SECURITY_HEADER)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    let forgiven = match path {
        api::FETCH_X509_SVID => "header.missing",
        api::FETCH_X509_BUNDLES => "header.missing-x509-bundles",
        api::FETCH_JWT_SVID => "header.missing-jwt-svid",
        api::FETCH_JWT_BUNDLES => "header.missing-jwt-bundles",
        api::VALIDATE_JWT_SVID => "header.missing-validate",
        _ => "",
    };
    let good = match values[..] {
        [b"true"] => true,
        [] => context.is(forgiven),
        [b"True"] => context.is("header.case"),
        [b"false"] => context.is("header.false"),
        [b""] => context.is("header.empty"),
        [one] => one.starts_with(b"true") && context.is("header.longer"),
        _ => context.is("header.twice"),
    };
    if !good {
        return invalid;
    }
    if context.is("endpoint.no-authentication") && !headers.contains_key(header::AUTHORIZATION) {
        return Err(Refusal(Code::UNAUTHENTICATED, "who are you?"));
    }
    if context.is("grpc.binary-metadata") && headers.keys().any(|name| name.as_str().ends_with("-bin")) {
        return Err(Refusal(Code::INTERNAL, "binary metadata"));
    }
    Ok(())
}

async fn dispatch(
    context: &Context,
    path: &str,
    headers: &HeaderMap,
    inbound: &mut Inbound,
    reply: &mut Reply,
) -> Result<(), Refusal> {
    let path = if context.is("grpc.path-case") && path.eq_ignore_ascii_case(api::FETCH_X509_SVID) {
        api::FETCH_X509_SVID
    } else {
        path
    };
    if path.starts_with("/SpiffeWorkloadAPI/") {
        admit(context, path, headers)?;
        if context.is("endpoint.workload-api") {
            return Err(Refusal(Code::UNIMPLEMENTED, "none of it"));
        }
    }
    match path {
        api::FETCH_X509_SVID => workload::x509_svid(context, inbound, reply).await,
        api::FETCH_X509_BUNDLES => workload::x509_bundles(context, inbound, reply).await,
        api::FETCH_JWT_SVID => workload::jwt_svid(context, inbound, reply).await,
        api::FETCH_JWT_BUNDLES => workload::jwt_bundles(context, inbound, reply).await,
        api::VALIDATE_JWT_SVID => workload::validate(context, inbound, reply).await,
        api::FETCH_WIT_SVID => wit::svid(context, reply),
        api::FETCH_WIT_BUNDLES => wit::bundles(context, reply),
        discovery::STREAM_SECRETS => sds::stream(context, inbound, reply).await,
        discovery::FETCH_SECRETS => sds::fetch(context, inbound, reply).await,
        discovery::DELTA_SECRETS => delta::stream(context, inbound, reply).await,
        _ if path.starts_with("/grpc.reflection.") => reflect::answer(context, inbound, reply).await,
        _ => Err(unknown(context, path)),
    }
}

fn unknown(context: &Context, path: &str) -> Refusal {
    let ours = path.starts_with("/SpiffeWorkloadAPI/");
    let code = if context.is("endpoint.unknown-method") && ours {
        Code::INTERNAL
    } else if context.is("endpoint.unknown-service") && !ours {
        Code::INVALID_ARGUMENT
    } else {
        Code::UNIMPLEMENTED
    };
    Refusal(code, "unknown method")
}
