//! What the head of a call says, before anybody looks at the call itself. In: the head. Out: how long its caller waits, or the refusal.
//! Follows gRPC's "gRPC over HTTP2", sections "Requests" and "Responses".
use crate::grpc::status::{Code, Status};
use h2::Reason;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use std::time::Duration;

const CONTENT: &str = "application/grpc";
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long the caller waits, if it said so; or an answer without a body. `known` is whether there is something at this path.
pub(super) fn check(head: &Parts, known: bool) -> Result<Option<Duration>, Response<()>> {
    if !head.headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
        return Err(plain(match known {
            true => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            false => StatusCode::NOT_FOUND,
        }));
    }
    if head.method != Method::POST {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED);
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(refusal);
    }
    if head.headers.get_all(ENCODING).iter().any(|how| how != "identity") {
        let status = Status::new(
            Code::UNIMPLEMENTED,
            "compressed messages are not taken here: send them with grpc-encoding: identity",
        );
        let mut refusal = refused(&status);
        let identity = HeaderValue::from_static("identity");
        refusal.headers_mut().insert(ACCEPT_ENCODING, identity);
        return Err(refusal);
    }
    let mut timeouts = head.headers.get_all(TIMEOUT).iter();
    let Some(timeout) = timeouts.next() else {
        return Ok(None);
    };
    match duration(timeout.as_bytes()) {
        Some(timeout) if timeouts.next().is_none() => Ok(Some(timeout)),
        _ => Err(refused(&Status::new(
            Code::INVALID_ARGUMENT,
            "grpc-timeout is not one to eight digits and one of H, M, S, m, u, n",
        ))),
    }
}

/// `application/grpc`, alone, with parameters, or with the encoding that is ours.
fn is_grpc(kind: &HeaderValue) -> bool {
    let Some(rest) = kind.as_bytes().strip_prefix(CONTENT.as_bytes()) else {
        return false;
    };
    let rest = rest.strip_prefix(b"+proto").unwrap_or(rest);
    matches!(rest, [] | [b';' | b' ', ..])
}

fn duration(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// For who speaks no gRPC.
fn plain(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

/// The head of an answer.
pub(super) fn answer() -> Response<()> {
    let mut response = Response::new(());
    let content = HeaderValue::from_static(CONTENT);
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}

/// A refusal all in the head ("Trailers-Only").
pub(super) fn refused(status: &Status) -> Response<()> {
    let mut response = answer();
    status.write(response.headers_mut());
    response
}

pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    status.write(&mut trailers);
    trailers
}

/// What clients read as this code: the table "HTTP2 Transport Mapping" of gRPC over HTTP2.
pub(super) fn broken_off(code: Code) -> Reason {
    match code {
        Code::PERMISSION_DENIED => Reason::INADEQUATE_SECURITY,
        Code::UNAVAILABLE => Reason::REFUSED_STREAM,
        Code::RESOURCE_EXHAUSTED => Reason::ENHANCE_YOUR_CALM,
        Code::CANCELLED | Code::DEADLINE_EXCEEDED => Reason::CANCEL,
        _ => Reason::INTERNAL_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_those_of_grpc() {
        for (text, time) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("10m", Some(Duration::from_millis(10))),
            ("0u", Some(Duration::ZERO)),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("1", None),
            ("123456789S", None),
            ("+1S", None),
            ("1 S", None),
            ("1s", None),
        ] {
            assert_eq!(duration(text.as_bytes()), time, "{text:?}");
        }
    }

    #[test]
    fn only_grpc_with_protobuf_is_grpc() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc+json", false),
            ("application/grpc-web", false),
            ("application/json", false),
            ("application/grpc+protobuf", false),
        ] {
            assert_eq!(is_grpc(&HeaderValue::from_static(kind)), is, "{kind}");
        }
    }
}
