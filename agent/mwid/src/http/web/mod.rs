//! One request to a server on the web.
//!
//! In: the provider of cryptography, a clock and a request. Out: the whole answer, bounded in time and size, wiped when it is dropped. https
//! with the system's roots, through the proxy that `HTTPS_PROXY` names; plain http only to this machine. Never follows a redirect (a token
//! must not be sent to where an answer points), never retries, keeps no connection and no session: a token an hour needs none.

mod connect;
mod error;
mod form;
#[cfg(test)]
mod tests;
pub(crate) mod url;

pub(crate) use error::WebError;
pub(crate) use form::{Form, path_part};
pub(crate) use url::Url;

use super::client::{TalkError, talk};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::client::proxy::matcher::Matcher;
use mtls_identity::Clock;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

const AGENT: &str = concat!("mwid/", env!("CARGO_PKG_VERSION"));

/// The usual time for everything together: what Google's clients give a token endpoint is of this order.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Tokens are some kilobytes.
const LARGEST_BODY: usize = 256 * 1024;

/// Asks servers on the web. Cheap to clone; root certificates are read at the first question, and none is kept open after it.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    provider: Arc<CryptoProvider>,
    clock: Clock,
    proxies: Matcher,
    roots: Roots,
    tls: OnceCell<Arc<ClientConfig>>,
}

/// What the environment says about proxies, as curl reads it; read by the wiring.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    /// `HTTPS_PROXY`, else `https_proxy`, else `ALL_PROXY`.
    pub(crate) https: Option<String>,
    /// `NO_PROXY`, else `no_proxy`.
    pub(crate) no: Option<String>,
}

/// Closed: a proxy's address may hold a password.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies")
            .field("https", &self.https.is_some())
            .field("no", &self.no)
            .finish()
    }
}

/// Who is believed.
pub(crate) enum Roots {
    /// Those of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    System,
    #[cfg(test)]
    These(Vec<pki_types::CertificateDer<'static>>),
}

/// What to ask.
pub(crate) struct Call<'a> {
    pub(crate) url: &'a Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// A POST's; none: a GET.
    pub(crate) body: Option<Body>,
    /// For everything together.
    pub(crate) within: Duration,
}

/// What is sent, and its type. Wiped once it is written.
pub(crate) struct Body {
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(url: &'a Url) -> Self {
        Self {
            url,
            headers: vec![],
            body: None,
            within: ANSWER_WITHIN,
        }
    }

    pub(crate) fn form(url: &'a Url, form: &Form) -> Self {
        Self::post(url, "application/x-www-form-urlencoded", form.encode())
    }

    pub(crate) fn json(url: &'a Url, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self::post(url, "application/json", bytes)
    }

    fn post(url: &'a Url, content_type: &'static str, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self {
            body: Some(Body { content_type, bytes }),
            ..Self::get(url)
        }
    }
}

/// What was answered, whatever the status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// May hold a token: wiped.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Client {
    pub(crate) fn new(provider: Arc<CryptoProvider>, clock: Clock, proxies: &Proxies, roots: Roots) -> Self {
        let proxies = Matcher::builder()
            .https(proxies.https.clone().unwrap_or_default())
            .no(proxies.no.clone().unwrap_or_default())
            .build();
        Self(Arc::new(Inner {
            provider,
            clock,
            proxies,
            roots,
            tls: OnceCell::new(),
        }))
    }

    /// Asks once. Any status is an answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, WebError> {
        let (url, after) = (call.url, call.within);
        match timeout(after, self.exchange(call)).await {
            Ok(done) => done,
            Err(_) => Err(WebError::TimedOut {
                url: url.clone(),
                after,
            }),
        }
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, WebError> {
        let url = call.url;
        let request = request(call)?;
        let answer = if url.is_https() {
            let config = self.tls().await?;
            let stream = connect::tcp(url, self.0.proxies.intercept(url.uri())).await?;
            talk(connect::tls(url, stream, config).await?, request, LARGEST_BODY).await
        } else {
            talk(connect::tcp(url, None).await?, request, LARGEST_BODY).await
        };
        answer.map(Answer::of).map_err(|error| match error {
            TalkError::Http(source) => WebError::Http {
                url: url.clone(),
                source,
            },
            TalkError::Body(source) => WebError::Body {
                url: url.clone(),
                source,
            },
        })
    }

    /// Made at the first need; a failure is not kept, so that roots which are installed later are found.
    async fn tls(&self) -> Result<Arc<ClientConfig>, WebError> {
        let made = self.0.tls.get_or_try_init(|| async {
            let inner = Arc::clone(&self.0);
            let making = tokio::task::spawn_blocking(move || {
                connect::config(
                    &inner.roots,
                    Arc::clone(&inner.provider),
                    Arc::clone(&inner.clock),
                )
            });
            making
                .await
                .unwrap_or_else(|_stopping| Err(WebError::NoRoots { source: None }))
        });
        made.await.cloned()
    }
}

impl Answer {
    fn of(answer: Response<Bytes>) -> Self {
        let (head, body) = answer.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: wiped(body),
        }
    }
}

/// Neither headers nor body: those may hold what is nobody's business.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

fn request(call: Call<'_>) -> Result<Request<Full<Bytes>>, WebError> {
    let url = call.url;
    let method = if call.body.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let uri = url.uri();
    let mut request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |target| target.as_str()))
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.1"))
        .header(USER_AGENT, HeaderValue::from_static(AGENT))
        .header(CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    let mut bytes = Bytes::new();
    if let Some(body) = call.body {
        request = request.header(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        bytes = Bytes::from_owner(body.bytes);
    }
    request
        .body(Full::new(bytes))
        .map_err(|source| WebError::Request {
            url: url.clone(),
            source,
        })
}

/// A copy that is wiped when it is dropped; the original is wiped now, where nobody shares it.
fn wiped(bytes: Bytes) -> Zeroizing<Vec<u8>> {
    let copy = Zeroizing::new(bytes.to_vec());
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
    copy
}
