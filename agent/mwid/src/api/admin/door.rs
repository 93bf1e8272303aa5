//! The door: who asks, what for, and whether that is answered here.
//!
//! In: a connection and its requests. Out: a refusal that says what to do, or the answer. Decides by the kernel's word on a Unix
//! socket; on TCP there is no caller, so only what everybody may know is answered, and only under our own name.
use super::{Inputs, answers};
use crate::caller::{Attestor, Caller};
use crate::http::reply::{self, Reply};
use crate::http::{Answer, Holder, Service, Stream};
use crate::report::Causes;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::UnixStream;

/// Meets connections.
pub(super) struct Door {
    inputs: Arc<Inputs>,
    attestor: Attestor,
}

impl Door {
    pub(super) fn new(inputs: Arc<Inputs>, attestor: Attestor) -> Self {
        Self { inputs, attestor }
    }
}

/// A connection.
pub(super) struct Connection {
    inputs: Arc<Inputs>,
    who: Who,
}

/// Who is at the other end.
enum Who {
    Local(Caller),
    /// With the text for the caller.
    Denied(String),
    /// With our own address.
    Network(Option<SocketAddr>),
}

impl Service<Stream> for Door {
    type Connection = Connection;

    fn connected(&self, stream: &Stream) -> (Connection, Option<Holder>) {
        let (who, holder) = match stream {
            Stream::Unix(stream) => (self.meet(stream), Some(self.holder(stream))),
            Stream::Tcp(stream) => (Who::Network(stream.local_addr().ok()), None),
        };
        let inputs = Arc::clone(&self.inputs);
        (Connection { inputs, who }, holder)
    }
}

impl Door {
    fn meet(&self, stream: &UnixStream) -> Who {
        match self.attestor.attest(stream) {
            Ok(caller) => {
                tracing::debug!(
                    pid = caller.pid,
                    uid = caller.uid,
                    gid = caller.gid,
                    "caller at the admin socket"
                );
                Who::Local(caller)
            }
            Err(denial) => {
                self.inputs.metrics.denials.inc();
                tracing::warn!(
                    error = &denial as &dyn std::error::Error,
                    "denied a caller at the admin socket"
                );
                Who::Denied(format!("denied: {}\n", Causes(&denial)))
            }
        }
    }

    fn holder(&self, stream: &UnixStream) -> Holder {
        let uid = self.attestor.uid(stream);
        // The operator, and the daemon's own user, get in whatever others do.
        let trusted = uid == 0 || uid == nix::unistd::geteuid().as_raw();
        Holder { uid, trusted }
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Healthz,
    Readyz,
    Metrics,
    Status,
    Identity,
    Reload,
}

impl Endpoint {
    fn find(path: &str) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/status" => Self::Status,
            "/identity" => Self::Identity,
            "/reload" => Self::Reload,
            _ => return None,
        })
    }

    /// What anybody who reaches the port may know.
    fn is_public(self) -> bool {
        matches!(self, Self::Healthz | Self::Readyz | Self::Metrics)
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Reload => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }

    fn methods(self) -> HeaderValue {
        HeaderValue::from_static(if self == Self::Reload { "POST" } else { "GET, HEAD" })
    }
}

impl Answer for Connection {
    type Body = Full<Bytes>;

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let caller = match &self.who {
            Who::Local(caller) => Some(*caller),
            Who::Denied(text) => return reply::text(StatusCode::FORBIDDEN, text.clone()),
            Who::Network(local) => {
                if !is_our_name(request.uri(), request.headers(), *local) {
                    return reply::text(StatusCode::FORBIDDEN, WRONG_NAME);
                }
                None
            }
        };
        let endpoint = match Endpoint::find(request.uri().path()) {
            Some(endpoint) if caller.is_some() || endpoint.is_public() => endpoint,
            Some(_) => return reply::text(StatusCode::NOT_FOUND, SOCKET_ONLY),
            None => return reply::text(StatusCode::NOT_FOUND, UNKNOWN),
        };
        if !endpoint.allows(request.method()) {
            let mut refusal = reply::text(
                StatusCode::METHOD_NOT_ALLOWED,
                "this is not the method for that\n",
            );
            refusal.headers_mut().insert(ALLOW, endpoint.methods());
            return refusal;
        }
        let inputs = &*self.inputs;
        match (endpoint, caller) {
            (Endpoint::Healthz, _) => reply::text(StatusCode::OK, "ok\n"),
            (Endpoint::Readyz, _) => answers::readyz(inputs, request.headers()),
            (Endpoint::Metrics, _) => answers::metrics(inputs, request.headers()),
            (Endpoint::Status, Some(_)) => reply::json(StatusCode::OK, &answers::status(inputs)),
            (Endpoint::Identity, Some(_)) => answers::identity(inputs),
            (Endpoint::Reload, Some(caller)) => {
                super::reload::reload(inputs, caller, request.headers()).await
            }
            (Endpoint::Status | Endpoint::Identity | Endpoint::Reload, None) => {
                reply::text(StatusCode::NOT_FOUND, SOCKET_ONLY)
            }
        }
    }
}

const UNKNOWN: &str =
    "not found; there are /healthz, /readyz, /metrics, and on the socket /status, /identity, /reload\n";
const SOCKET_ONLY: &str = "not found; this is answered on the admin socket only\n";
const WRONG_NAME: &str = "refused: ask with `Host: localhost` or with the address itself\n";

/// Whether the client asked for us by `localhost`, by a loopback address or by the very address that it reached. A web page whose
/// name was turned to our address after it was loaded (DNS rebinding) asks for its own name.
fn is_our_name(uri: &Uri, headers: &HeaderMap, local: Option<SocketAddr>) -> bool {
    let in_uri = uri.authority().map(|authority| Some(authority.as_str()));
    let in_headers = headers.get_all(HOST).iter().map(|value| value.to_str().ok());
    // No name at all (HTTP/1.0, as simple probes send it) comes from no browser.
    in_uri
        .into_iter()
        .chain(in_headers)
        .all(|name| name.is_some_and(|name| is_us(name, local)))
}

fn is_us(authority: &str, local: Option<SocketAddr>) -> bool {
    let host = match authority.rsplit_once(':') {
        // An IPv6 address without brackets has colons too, and is no host with port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            if port.parse::<u16>().is_err() {
                return false;
            }
            host
        }
        _ => authority,
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || local.is_some_and(|local| local.ip().to_canonical() == ip),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod door_tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        let local = Some("10.1.2.3:9090".parse().unwrap());
        for good in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:9090",
            "10.1.2.3:9090",
        ] {
            assert!(is_us(good, local), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.1.2.4",
            "localhost:http",
            "",
            "[::1]evil",
            "127.0.0.1:9090@evil.example",
            "0x7f.1",
            "localhost:",
        ] {
            assert!(!is_us(bad, local), "{bad}");
        }
    }
}
