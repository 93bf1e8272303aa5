//! The metadata server's words: its headers, its pages and how it refuses. In: what is to be said. Out: replies. Never decides anything.
//! Follows Google's page "View and query VM metadata" (Compute Engine) and what was captured of the server.
use crate::http::reply::Reply;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, SERVER, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use hyper::{Response, StatusCode};
use std::time::Duration;

/// What a leaf's value is.
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("application/text");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What pages, refusals and ID tokens are.
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");

pub(super) const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: HeaderValue = HeaderValue::from_static("Google");

/// Where all that is served lives.
pub(super) const ROOT: &str = "/computeMetadata/v1/";

/// Any answer, with the headers that every answer of a metadata server has.
pub(super) fn reply(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    // Room for all at once: a token's answer is made of little else.
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(FLAVOR, GOOGLE);
    headers.insert(SERVER, HeaderValue::from_static("Metadata Server for VM"));
    headers.insert(X_XSS_PROTECTION, HeaderValue::from_static("0"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    // Not the server's: a page may repeat what was asked for.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// The same with an ETag.
pub(super) fn tagged(mut reply: Reply, etag: Option<&HeaderValue>) -> Reply {
    if let Some(etag) = etag {
        reply.headers_mut().insert(ETAG, etag.clone());
    }
    reply
}

/// Says no in one line of text.
pub(super) fn refused(status: StatusCode, why: &str) -> Reply {
    reply(status, HTML, format!("{}\n", escaped(why)))
}

/// Later, perhaps.
pub(super) fn unavailable(why: &str, retry_after: Duration) -> Reply {
    let mut reply = refused(StatusCode::SERVICE_UNAVAILABLE, why);
    let seconds = retry_after.as_secs().max(1);
    reply
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

/// The page for a key that is not there. `path` is the whole one.
pub(super) fn not_found(path: &str) -> Reply {
    reply(StatusCode::NOT_FOUND, HTML, not_found_page(path))
}

pub(super) fn not_found_page(path: &str) -> String {
    let path = escaped(path);
    format!(
        "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 404 (Not Found)!!1</title>\n  \
         <p><b>404.</b> <ins>That's an error.</ins>\n  <p>The requested URL <code>{path}</code> was not found on this \
         server.  <ins>That's all we know.</ins>\n"
    )
}

/// A directory is asked for with a slash at its end. `path` is the whole one, `host` the caller's own word for us, already judged.
pub(super) fn moved(host: &str, path: &str, query: &str) -> Reply {
    let mut reply = reply(StatusCode::MOVED_PERMANENTLY, HTML, format!("{path}/\n"));
    let mark = if query.is_empty() { "" } else { "?" };
    // A host that no header can hold gets the path alone (RFC 9110, 10.2.2).
    let location = HeaderValue::try_from(format!("http://{host}{path}/{mark}{query}"))
        .or_else(|_| HeaderValue::try_from(format!("{path}/{mark}{query}")));
    if let Ok(location) = location {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

/// As text within a page.
pub(super) fn escaped(plain: &str) -> String {
    let mut text = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_the_servers_headers() {
        for reply in [
            reply(StatusCode::OK, TEXT, "x"),
            refused(StatusCode::FORBIDDEN, "no"),
            unavailable("later", Duration::from_millis(10)),
            not_found("/computeMetadata/v1/x"),
            moved("h", "/x", ""),
        ] {
            for (name, value) in [
                ("metadata-flavor", "Google"),
                ("server", "Metadata Server for VM"),
                ("x-xss-protection", "0"),
                ("x-frame-options", "SAMEORIGIN"),
            ] {
                assert_eq!(reply.headers()[name], value, "{}", reply.status());
            }
            assert!(reply.headers().contains_key("content-type"));
        }
    }

    #[test]
    fn a_redirect_names_the_callers_host() {
        let at =
            |host, query| moved(host, "/computeMetadata/v1/instance", query).headers()["location"].clone();
        assert_eq!(at("a:81", ""), "http://a:81/computeMetadata/v1/instance/");
        assert_eq!(
            at("a", "recursive=true"),
            "http://a/computeMetadata/v1/instance/?recursive=true"
        );
        assert_eq!(at("a\r\nX: y", ""), "/computeMetadata/v1/instance/");
    }

    #[test]
    fn later_is_never_now() {
        assert_eq!(unavailable("x", Duration::ZERO).headers()["retry-after"], "1");
    }

    #[tokio::test]
    async fn a_page_does_not_repeat_markup() {
        use http_body_util::BodyExt;
        let page = not_found("/<script>&").into_body().collect().await.unwrap();
        let page = String::from_utf8(page.to_bytes().to_vec()).unwrap();
        assert!(page.contains("<code>/&lt;script&gt;&amp;</code>"), "{page}");
    }
}
