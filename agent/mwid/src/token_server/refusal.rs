//! How requests are turned away. In: what is wrong. Out: a reply in the metadata server's words, with ours where its own say too little for a person
//! to act on. Never repeats a token.
use super::query::QueryError;
use super::words::{self, HTML};
use crate::http::reply::Reply;
use crate::report::Causes;
use crate::tokens::{Failure, TokenError};
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue};

/// The page of every refusal of the door.
fn forbidden(path: &str, why: &str) -> Reply {
    let path = words::escaped(path);
    let page = format!(
        "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 403 (Forbidden)!!1</title>\n  \
         <p><b>403.</b> <ins>That's an error.</ins>\n  <p>Your client does not have permission to get URL \
         <code>{path}</code> from this server. {why}  <ins>That's all we know.</ins>\n"
    );
    words::reply(StatusCode::FORBIDDEN, HTML, page)
}

pub(super) fn no_flavor(path: &str) -> Reply {
    forbidden(path, "Missing Metadata-Flavor:Google header.")
}

/// Who is reached through a proxy could not be told from who asks.
pub(super) fn forwarded(path: &str) -> Reply {
    forbidden(path, "Requests with the header X-Forwarded-For are not answered.")
}

pub(super) fn foreign_host(path: &str) -> Reply {
    forbidden(
        path,
        "Ask with the Host localhost, 127.0.0.1, [::1], metadata.google.internal or 169.254.169.254.",
    )
}

pub(super) fn no_host() -> Reply {
    words::refused(
        StatusCode::BAD_REQUEST,
        "a request of HTTP/1.1 has one header Host",
    )
}

pub(super) fn wrong_method(allowed: &'static str) -> Reply {
    let mut reply = words::refused(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("this is not the method for that; there are {allowed}"),
    );
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

pub(super) fn bad(why: &str) -> Reply {
    words::refused(StatusCode::BAD_REQUEST, why)
}

/// With the reason: what is missing here can be set up, other than on the platform.
fn no_account(path: &str, error: &TokenError) -> Reply {
    let page = words::not_found_page(path) + &words::escaped(&format!("  mwid: {}\n", Causes(error)));
    words::reply(StatusCode::NOT_FOUND, HTML, page)
}

/// `path` is the whole one.
pub(super) fn no_token(path: &str, error: &TokenError) -> Reply {
    let why = || Causes(error).to_string();
    match error.failure() {
        Failure::NoAccount => no_account(path, error),
        Failure::BadRequest => bad(&why()),
        Failure::Refused => words::refused(StatusCode::FORBIDDEN, &why()),
        Failure::Unavailable { retry_after } => words::unavailable(&why(), retry_after),
    }
}

/// A reply as an error: boxed, because results are moved more often than requests are refused.
pub(super) type Refused = Box<Reply>;

impl From<QueryError> for Refused {
    fn from(error: QueryError) -> Self {
        Box::new(bad(&error.to_string()))
    }
}
