//! Answers as the metadata server writes them. In: a status, a type and a body. Out: the answer with the server's headers.
use aws_lc_rs::digest::{SHA256, digest};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CONTENT_TYPE, ETAG, HOST, HeaderName, HeaderValue, LOCATION, SERVER, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

pub(super) type Reply = Response<Full<Bytes>>;

/// Texts of keys and listings.
pub(super) const TEXT: &str = "application/text";
pub(super) const JSON: &str = "application/json";
/// ID tokens; and the pages of errors, with their character set.
pub(super) const HTML: &str = "text/html";
const PAGE: &str = "text/html; charset=UTF-8";

/// Why there is no answer with status 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What was asked for makes no sense.
    BadRequest(&'static str),
    Forbidden(&'static str),
    NotFound,
    Method,
    /// Ours to mend.
    Broken,
}

pub(super) fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, content_type, body)
}

pub(super) fn json(value: &serde_json::Value) -> Reply {
    ok(JSON, value.to_string())
}

/// A page as the server's.
pub(super) fn page(status: StatusCode, text: &str) -> Reply {
    let (code, name) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    reply(
        status,
        PAGE,
        format!(
            "<!DOCTYPE html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Error {code} ({name})</title>\n<p><b>{code}.</b> \
             <ins>That's an error.</ins>\n<p>{text}\n"
        ),
    )
}

impl Refusal {
    /// As it is told to who asked for `path`.
    pub(super) fn told(self, path: &str) -> Reply {
        let path = escaped(path);
        match self {
            Self::BadRequest(why) => reply(StatusCode::BAD_REQUEST, HTML, format!("{why}\n")),
            Self::Forbidden(why) => page(
                StatusCode::FORBIDDEN,
                &format!(
                    "Your client does not have permission to get URL <code>{path}</code> from this server. {why}"
                ),
            ),
            Self::NotFound => page(
                StatusCode::NOT_FOUND,
                &format!(
                    "The requested URL <code>{path}</code> was not found on this server.  <ins>That's all we know.</ins>"
                ),
            ),
            Self::Method => page(
                StatusCode::METHOD_NOT_ALLOWED,
                "The request method is inappropriate for the URL.",
            ),
            Self::Broken => page(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The server has no key or no time.",
            ),
        }
    }
}

/// To a directory's name with its slash.
pub(super) fn moved(head: &Parts) -> Reply {
    let path = head.uri.path();
    let mut reply = reply(StatusCode::MOVED_PERMANENTLY, PAGE, format!("{path}/\n"));
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let query = head.uri.query().map(|query| format!("?{query}"));
    let (host, query) = (host.unwrap_or_default(), query.unwrap_or_default());
    if let Ok(location) = HeaderValue::try_from(format!("http://{host}{path}/{query}")) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

/// Changes when the body does.
pub(super) fn etag(body: &[u8]) -> String {
    let sum = digest(&SHA256, body);
    sum.as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(super) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let body: Bytes = body.into();
    let etag = (status == StatusCode::OK).then(|| HeaderValue::try_from(etag(&body)));
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    for (name, value) in [
        (HeaderName::from_static("metadata-flavor"), "Google"),
        (SERVER, "Metadata Server for VM"),
        (CONTENT_TYPE, content_type),
        (X_XSS_PROTECTION, "0"),
        (X_FRAME_OPTIONS, "SAMEORIGIN"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(Ok(etag)) = etag {
        headers.insert(ETAG, etag);
    }
    reply
}

fn escaped(path: &str) -> String {
    path.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
