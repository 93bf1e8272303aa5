//! WebSocket in HTTP/2 (RFC 8441). In: an extended CONNECT of a peer. Out: the application's agreement and a tunnel on that stream, or its refusal. To an
//! application that speaks HTTP/1.1 it is an upgrade, whose key is ours and whose answer is checked (RFC 6455, 4.2.2).
use super::answer::{Front, No, Out, Way, back};
use super::app::{Held, NoAnswer};
use super::body::Passing;
use super::fields::{self, Unfit};
use super::tunnel::Tunnel;
use super::wire::{Asked, Busy};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};

const WEBSOCKET: &str = "websocket";
/// What a server adds to the key (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a CONNECT asks for WebSocket. Any other is not served.
pub(super) fn is_asked(request: &Request<Incoming>) -> Result<(), Unfit> {
    match request.extensions().get::<Protocol>() {
        None => Err(Unfit::Connect),
        Some(protocol) if protocol.as_str() == WEBSOCKET => Ok(()),
        Some(_) => Err(Unfit::Protocol),
    }
}

impl Front {
    pub(super) async fn websocket(
        &self,
        mut request: Request<Incoming>,
        busy: &Busy,
        asked: Asked,
    ) -> Result<Response<Out>, No> {
        let client = hyper::upgrade::on(&mut request);
        let way = self.way(request.version(), request.headers());
        let (mut parts, body) = request.into_parts();
        let host = self.prepare(&mut parts)?;
        for of_http1 in [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_ACCEPT, CONTENT_LENGTH] {
            parts.headers.remove(of_http1);
        }
        let body = Passing::request(body, busy.clone());
        let (mut answer, held) = match way {
            Way::Http1 => {
                let key = as_upgrade(&mut parts, host)?;
                let asked = self.app.ask_alone(Request::from_parts(parts, body)).await;
                let (answer, alone) = asked?;
                if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                    agrees(answer.headers(), &key)?;
                }
                (answer, alone)
            }
            Way::Http2 => {
                parts.uri = fields::absolute_form(&parts.uri, &host)?;
                parts.version = Version::HTTP_2;
                parts.extensions.insert(Protocol::from_static(WEBSOCKET));
                let asked = self.app.ask_alone_http2(Request::from_parts(parts, body)).await;
                asked?
            }
        };
        let agreed = match way {
            Way::Http1 => StatusCode::SWITCHING_PROTOCOLS,
            Way::Http2 => StatusCode::OK,
        };
        if answer.status() != agreed {
            // Any success would be an agreement in HTTP/2.
            if answer.status().is_success() || answer.status().is_informational() {
                return Err(NoAnswer::NoWebSocket.into());
            }
            let busy = busy.clone();
            return Ok(back(answer, |body| {
                Either::Right(Passing::answer(body, busy, asked, Held::Alone(held)))
            }));
        }
        let app = hyper::upgrade::on(&mut answer);
        let tunnel = Tunnel::new(client, app, busy.clone(), asked);
        let half_close = self.route.settings.timeouts.half_close;
        self.app.tasks.run(tunnel.run_on_stream(held, half_close));
        let mut answer = back(answer, |_| Either::Left(Full::default()));
        *answer.status_mut() = StatusCode::OK;
        for of_http1 in [SEC_WEBSOCKET_ACCEPT, CONTENT_LENGTH] {
            answer.headers_mut().remove(of_http1);
        }
        Ok(answer)
    }
}

/// Makes an upgrade of it, and tells its key.
fn as_upgrade(parts: &mut Parts, host: HeaderValue) -> Result<HeaderValue, No> {
    let random = crate::random::bytes::<16>().map_err(|_| NoAnswer::NoRandom)?;
    let key = HeaderValue::try_from(STANDARD.encode(random)).map_err(|_| NoAnswer::NoRandom)?;
    parts.method = Method::GET;
    parts.version = Version::HTTP_11;
    parts.uri = fields::origin_form(&parts.uri)?;
    parts.headers.insert(HOST, host);
    fields::join_cookies(&mut parts.headers);
    fields::set_websocket(&mut parts.headers);
    parts.headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    Ok(key)
}

/// Whether an application that switches protocols has understood what was asked of it.
fn agrees(headers: &HeaderMap, key: &HeaderValue) -> Result<(), NoAnswer> {
    if !fields::is_websocket(headers) {
        return Err(NoAnswer::Switches);
    }
    let wanted = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    let wanted = STANDARD.encode(wanted.as_ref());
    let mut accepts = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    let one = accepts
        .next()
        .is_some_and(|accept| accept.as_bytes() == wanted.as_bytes());
    if one && accepts.next().is_none() {
        return Ok(());
    }
    Err(NoAnswer::Accept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6455, 1.3.
    #[test]
    fn an_agreement_is_one_to_our_key() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let good = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let mut headers = HeaderMap::new();
        fields::set_websocket(&mut headers);
        assert!(matches!(agrees(&headers, &key), Err(NoAnswer::Accept)));
        headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(good));
        assert!(agrees(&headers, &key).is_ok());
        headers.append(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(good));
        assert!(matches!(agrees(&headers, &key), Err(NoAnswer::Accept)), "two");
        headers.insert(
            SEC_WEBSOCKET_ACCEPT,
            HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
        );
        assert!(matches!(agrees(&headers, &key), Err(NoAnswer::Accept)));
        headers.insert(hyper::header::UPGRADE, HeaderValue::from_static("h2c"));
        assert!(matches!(agrees(&headers, &key), Err(NoAnswer::Switches)));
    }
}
