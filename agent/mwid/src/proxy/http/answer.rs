//! One request and its answer. In: a request of a peer. Out: the application's answer, or a short page of our own. What goes on says of the peer what was
//! verified, and nothing else of that kind.
use super::super::refusal::Refusal;
use super::super::route::Route;
use super::app::{App, Held, NoAnswer};
use super::body::Passing;
use super::fields::{self, CLIENT_CERT, Unfit};
use super::tunnel::Tunnel;
use super::websocket;
use super::wire::{Asked, Busy, Wire};
use crate::config::HttpTo;
use crate::report::Causes;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, TE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use mtls_identity::Peer;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What answers the requests of one connection.
pub(super) struct Front {
    pub(super) route: Arc<Route>,
    pub(super) wire: Arc<Wire>,
    pub(super) app: Arc<App>,
    /// What the application is told of the peer.
    pub(super) client_cert: Option<HeaderValue>,
    pub(super) peer: Peer,
    pub(super) requests: AtomicU64,
    /// What the connection becomes when its last answer was sent.
    pub(super) tunnel: Mutex<Option<Tunnel>>,
}

/// hyper's way to ask it.
#[derive(Clone)]
pub(super) struct Answers(pub(super) Arc<Front>);

pub(super) type Out = Either<Full<Bytes>, Passing>;

impl hyper::service::Service<Request<Incoming>> for Answers {
    type Response = Response<Out>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Out>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let front = Arc::clone(&self.0);
        // Here, not when it is first polled: the head is whole now.
        let busy = front.wire.busy();
        let asked = front.wire.asked();
        Box::pin(async move {
            front.requests.fetch_add(1, Ordering::Relaxed);
            let answer = front.answer(request, &busy, asked).await;
            front
                .route
                .named
                .record
                .counters
                .answered(answer.status().as_u16());
            Ok(answer)
        })
    }
}

/// In which version the application is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Http1,
    Http2,
}

impl Front {
    async fn answer(&self, request: Request<Incoming>, busy: &Busy, asked: Asked) -> Response<Out> {
        match self.forward(request, busy, asked).await {
            Ok(answer) => answer,
            Err(No::Unfit(unfit)) => self.refuse(unfit),
            Err(No::Answer(why)) => {
                self.note(&why);
                match why {
                    NoAnswer::Full => full(),
                    NoAnswer::Late(_) | NoAnswer::Reach(Refusal::ConnectTimeout { .. }) => page(
                        StatusCode::GATEWAY_TIMEOUT,
                        "the application did not answer in time",
                    ),
                    _ => page(StatusCode::BAD_GATEWAY, "the application does not answer"),
                }
            }
        }
    }

    fn refuse(&self, unfit: Unfit) -> Response<Out> {
        let text = unfit.to_string();
        let record = &self.route.named.record;
        record.unfit(self.route.name(), &self.peer, unfit.reason(), &text);
        let status = match unfit {
            Unfit::Coding | Unfit::Protocol => StatusCode::NOT_IMPLEMENTED,
            Unfit::Connect => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut page = page(status, &text);
        if unfit == Unfit::Connect {
            let others = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
            page.headers_mut().insert(ALLOW, others);
        }
        page
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        busy: &Busy,
        asked: Asked,
    ) -> Result<Response<Out>, No> {
        if request.method() == Method::CONNECT {
            websocket::is_asked(&request)?;
            return self.websocket(request, busy, asked).await;
        }
        let wants = (request.version() == Version::HTTP_11 && fields::is_websocket(request.headers()))
            .then(|| hyper::upgrade::on(&mut request));
        let way = self.way(request.version(), request.headers());
        let (mut parts, body) = request.into_parts();
        let wants = wants.filter(|_| way == Way::Http1);
        let trailers = fields::takes_trailers(&parts.headers);
        let host = self.prepare(&mut parts)?;
        match way {
            Way::Http1 => {
                parts.uri = fields::origin_form(&parts.uri)?;
                parts.version = Version::HTTP_11;
                parts.headers.insert(HOST, host);
                fields::join_cookies(&mut parts.headers);
                if wants.is_some() {
                    fields::set_websocket(&mut parts.headers);
                }
            }
            Way::Http2 => {
                parts.uri = fields::absolute_form(&parts.uri, &host)?;
                parts.version = Version::HTTP_2;
                if trailers {
                    parts.headers.insert(TE, HeaderValue::from_static("trailers"));
                }
            }
        }
        let request = Request::from_parts(parts, Passing::request(body, busy.clone()));
        let (mut answer, held) = match way {
            Way::Http1 => {
                let (answer, lent) = self.app.ask(request).await?;
                (answer, Held::Lent(lent))
            }
            Way::Http2 => (self.app.ask_http2(request).await?, Held::Nothing),
        };
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(client) = wants.filter(|_| fields::is_websocket(answer.headers())) else {
                return Err(No::Answer(NoAnswer::Switches));
            };
            let app = hyper::upgrade::on(&mut answer);
            let tunnel = Tunnel::new(client, app, busy.clone(), asked);
            *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
            held.keep_away();
            let mut answer = back(answer, |_| Either::Left(Full::default()));
            fields::set_websocket(answer.headers_mut());
            return Ok(answer);
        }
        Ok(back(answer, |body| {
            Either::Right(Passing::answer(body, busy.clone(), asked, held))
        }))
    }

    /// Leaves of a request what goes on to any application, and says who the peer is. Tells for whom the request is.
    pub(super) fn prepare(&self, parts: &mut Parts) -> Result<HeaderValue, Unfit> {
        let client_cert = self.client_cert.clone().ok_or(Unfit::Target)?;
        let host = fields::host(parts)?;
        fields::frame(&mut parts.headers)?;
        fields::clean(&mut parts.headers);
        parts.headers.insert(CLIENT_CERT, client_cert);
        parts.headers.remove(HOST);
        parts.extensions.clear();
        Ok(host)
    }

    pub(super) fn way(&self, version: Version, headers: &HeaderMap) -> Way {
        match self.route.settings.http {
            Some(HttpTo::H2c) => Way::Http2,
            Some(HttpTo::Auto) if version == Version::HTTP_2 && is_grpc(headers) => Way::Http2,
            _ => Way::Http1,
        }
    }

    fn note(&self, why: &NoAnswer) {
        let record = &self.route.named.record;
        record.no_answer(self.route.name(), why.reason(), &Causes(why).to_string());
    }
}

/// gRPC needs HTTP/2 from end to end, and its applications speak it without TLS.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

/// Why a request got no answer of the application's.
pub(super) enum No {
    Unfit(Unfit),
    Answer(NoAnswer),
}

impl From<Unfit> for No {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl From<NoAnswer> for No {
    fn from(why: NoAnswer) -> Self {
        Self::Answer(why)
    }
}

pub(super) fn back(answer: Response<Incoming>, body: impl FnOnce(Incoming) -> Out) -> Response<Out> {
    let (mut parts, incoming) = answer.into_parts();
    fields::clean(&mut parts.headers);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Response::from_parts(parts, body(incoming))
}

/// Places come free as answers end.
fn full() -> Response<Out> {
    let mut page = page(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many requests are under way at the application",
    );
    page.headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    page
}

fn page(status: StatusCode, text: &str) -> Response<Out> {
    let mut page = Response::new(Either::Left(Full::from(format!("{text}\n"))));
    *page.status_mut() = status;
    page.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    page
}
