//! The fields of requests and answers on their way. In: as they came. Out: as they go on: without those of one hop, and with nothing that an application
//! could take for our word about the peer but our word itself.
use aws_lc_rs::digest::{SHA256, digest};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::http::{request::Parts, uri};
use hyper::{Uri, Version};
use mtls_identity::{Peer, SpiffeId};
use std::fmt::Write as _;

/// What the application reads the peer from, in Envoy's format.
pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static(CLIENT_CERT_NAME);
const CLIENT_CERT_NAME: &str = "x-forwarded-client-cert";
/// Of one hop, also where `Connection` does not name them (RFC 9110, 7.6.1).
const ONE_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What is wrong with a request that goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the request needs one Host, a name or an address with or without a port")]
    Host,
    #[error("the request's target is not one of a proxied request")]
    Target,
    #[error("the request's Content-Length is not one number")]
    Length,
    #[error("of transfer codings only chunked goes through")]
    Coding,
    #[error("CONNECT is not for this server")]
    Connect,
    #[error("of extended CONNECT only WebSocket goes through")]
    Protocol,
}

impl Unfit {
    /// A short, bounded name.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Target => "target",
            Self::Length => "length",
            Self::Coding => "coding",
            Self::Connect => "connect_method",
            Self::Protocol => "connect_protocol",
        }
    }
}

/// What we say of a peer, as Envoy's SANITIZE_SET does: only what the handshake verified. A subject is no part of that: SPIFFE gives it no meaning.
pub(super) fn client_cert(ours: Option<&SpiffeId>, peer: &Peer) -> Option<HeaderValue> {
    let hash = digest(&SHA256, peer.chain().first()?);
    let mut text = String::new();
    if let Some(ours) = ours {
        text.push_str("By=");
        text.push_str(ours.as_str());
        text.push(';');
    }
    text.push_str("Hash=");
    for byte in hash.as_ref() {
        write!(text, "{byte:02x}").ok()?;
    }
    // A SPIFFE ID has none of the characters that have a meaning here.
    text.push_str(";URI=");
    text.push_str(peer.id().as_str());
    HeaderValue::try_from(text).ok()
}

/// Whether an application may take this name for [`CLIENT_CERT`]: CGI and what comes from it know no difference between `-` and `_`, and others none
/// between either and `.`.
fn is_like_ours(name: &HeaderName) -> bool {
    let (name, ours) = (name.as_str().as_bytes(), CLIENT_CERT_NAME.as_bytes());
    let alike = |(&one, &ours): (&u8, &u8)| match ours {
        b'-' => !one.is_ascii_alphanumeric(),
        ours => one.eq_ignore_ascii_case(&ours),
    };
    name.len() == ours.len() && name.iter().zip(ours).all(alike)
}

/// Removes what is not to go on: fields of one hop, and what looks like our word. Also for trailers.
pub(super) fn clean(headers: &mut HeaderMap) {
    let nominated = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let nominated = nominated
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // Without it there would be no telling for whom the request is.
        .filter(|name| *name != HOST);
    let alike = headers.keys().filter(|name| is_like_ours(name)).cloned();
    let gone: Vec<HeaderName> = nominated.chain(alike).chain(ONE_HOP).collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Trailers, which say nothing of framing or of whom the request is for.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    clean(trailers);
    trailers.remove(CONTENT_LENGTH);
    trailers.remove(HOST);
}

/// Asks whether trailers are taken (RFC 9110, 10.1.4): gRPC insists on it.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    has_token(headers, TE, "trailers")
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// Whether this asks for WebSocket, or agrees to it. No other upgrade goes through: behind one to `h2c` a peer could say of itself what it likes.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let one = upgrades
        .next()
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    one && upgrades.next().is_none() && has_token(headers, CONNECTION, "upgrade")
}

/// Says that it is one.
pub(super) fn set_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Makes the framing of the request ours: one length at most, and no other coding.
pub(super) fn frame(headers: &mut HeaderMap) -> Result<(), Unfit> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = codings.next();
    if chunked.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return Err(Unfit::Coding);
    }
    let lengths = headers.get_all(CONTENT_LENGTH).iter();
    let lengths: Vec<HeaderValue> = lengths.cloned().collect();
    headers.remove(CONTENT_LENGTH);
    let Some(length) = lengths.first() else {
        return Ok(());
    };
    let number = length.as_bytes();
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    if !is_number || chunked_too(headers) || lengths.iter().any(|other| other != length) {
        return Err(Unfit::Length);
    }
    headers.insert(CONTENT_LENGTH, length.clone());
    Ok(())
}

fn chunked_too(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
}

/// Makes one field of several of a cookie: only HTTP/2 may have them apart (RFC 9113, 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() < 2 {
        return;
    }
    // Each was one, and so is what they make.
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// For whom the request is: as the target says, else the Host (RFC 9112, 3.2).
pub(super) fn host(parts: &Parts) -> Result<HeaderValue, Unfit> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (parts.uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), _, None) => HeaderValue::from_str(authority.as_str()).map_err(|_| Unfit::Host)?,
        (None, Some(host), None) => host.clone(),
        (None, None, _) if parts.version == Version::HTTP_10 => HeaderValue::from_static(""),
        _ => return Err(Unfit::Host),
    };
    let fits = |text: &[u8]| Authority::try_from(text).is_ok_and(|one| !one.as_str().contains('@'));
    if host.is_empty() || fits(host.as_bytes()) {
        return Ok(host);
    }
    Err(Unfit::Host)
}

/// The target as an origin server gets it in HTTP/1.1.
pub(super) fn origin_form(uri: &Uri) -> Result<Uri, Unfit> {
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(path(uri));
    Uri::from_parts(parts).map_err(|_| Unfit::Target)
}

/// The target as HTTP/2 has it.
pub(super) fn absolute_form(uri: &Uri, host: &HeaderValue) -> Result<Uri, Unfit> {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| Unfit::Host)?);
    parts.path_and_query = Some(path(uri));
    Uri::from_parts(parts).map_err(|_| Unfit::Target)
}

fn path(uri: &Uri) -> PathAndQuery {
    let path = uri.path_and_query().cloned();
    path.unwrap_or_else(|| PathAndQuery::from_static("/"))
}
