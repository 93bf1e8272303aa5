//! The metadata-compatible API over real sockets, with a source, rules and a platform in the test's hand.
mod accounts;
mod again;
mod crowd;
mod door;
mod hand_out;
mod hosts;
mod platform;
mod source;

use super::*;
use crate::caller::Grant;
use crate::config::{AccessTokens, AudiencePattern, IdTokens};
use crate::http::listener::unix::{Wanted, bind};
use hosts::Doorman;
use source::Scripted;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const ACCOUNT: &str = "/computeMetadata/v1/instance/service-accounts/default";
const FLAVOR: &str = "Metadata-Flavor: Google\r\n";

/// A server with one listener of each kind.
struct House {
    source: Arc<Scripted>,
    doorman: Doorman,
    metrics: Metrics,
    tokens: Tokens,
    tcp: SocketAddr,
    socket: PathBuf,
    shutdown: Shutdown,
    _directory: tempfile::TempDir,
}

/// What was answered.
#[derive(Debug)]
struct Answered {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl House {
    async fn new() -> Self {
        Self::with(None, CONNECTIONS)
    }

    fn with(platform: Option<SocketAddr>, connections: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("metadata.sock");
        let unix = bind(Wanted {
            path: &socket,
            mode: 0o666,
            owner: None,
            group: None,
        });
        let local = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let tcp = local.tcp_address().unwrap();
        let (source, doorman, metrics) = (Scripted::new(), Doorman::default(), Metrics::default());
        let shutdown = Shutdown::default();
        let tokens = Tokens::over(source.clone(), source.clock());
        let platform = platform.map(|address| Platform {
            client: metadata::Client::new(address),
            is_named: false,
        });
        let site = Arc::new(Site::new(tokens.clone(), platform, metrics.clone(), &shutdown));
        let http_metrics = http::Metrics::default();
        for (name, listener) in [("metadata", unix.unwrap()), ("metadata_tcp", local)] {
            let limits = Limits {
                connections,
                ..limits(usize::MAX)
            };
            shutdown.spawn(http::serve(
                listener,
                Arc::new(Door::new(Arc::clone(&site), doorman.clone(), name)),
                limits,
                http_metrics.server(name),
                shutdown.token(),
            ));
        }
        Self {
            source,
            doorman,
            metrics,
            tokens,
            tcp,
            socket,
            shutdown,
            _directory: directory,
        }
    }

    /// GET with the flavor and a good Host, on both kinds of socket; the answers must not differ.
    async fn get(&self, target: &str) -> Answered {
        self.send(&request("GET", target, FLAVOR, "")).await
    }

    async fn post(&self, target: &str, body: &str) -> Answered {
        let json = format!("{FLAVOR}Content-Type: application/json\r\n");
        self.send(&request("POST", target, &json, body)).await
    }

    async fn send(&self, request: &str) -> Answered {
        let tcp = self.send_tcp(request).await;
        let mut unix = UnixStream::connect(&self.socket).await.unwrap();
        let unix = exchange(&mut unix, request).await;
        assert_eq!((unix.status, &unix.body), (tcp.status, &tcp.body));
        tcp
    }

    async fn send_tcp(&self, request: &str) -> Answered {
        let mut stream = TcpStream::connect(self.tcp).await.unwrap();
        exchange(&mut stream, request).await
    }
}

fn request(method: &str, target: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    format!("{method} {target} HTTP/1.1\r\nHost: metadata.google.internal\r\n{headers}{length}\r\n{body}")
}

/// One request on an open connection.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Answered {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_answer(stream, request.starts_with("HEAD")).await
}

async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S, without_body: bool) -> Answered {
    let mut got = Vec::new();
    let end = loop {
        if let Some(at) = got.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "closed: {got:?}");
    };
    let head = String::from_utf8(got[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let length = if without_body { 0 } else { length };
    while got.len() < end + length {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "closed: {got:?}");
    }
    assert_eq!(got.len(), end + length, "more than was said");
    Answered {
        status,
        headers,
        body: String::from_utf8(got[end..].to_vec()).unwrap(),
    }
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    /// What every answer of a metadata server has.
    #[track_caller]
    fn is_the_servers(&self) {
        for (name, value) in [
            ("metadata-flavor", "Google"),
            ("server", "Metadata Server for VM"),
            ("x-xss-protection", "0"),
            ("x-frame-options", "SAMEORIGIN"),
        ] {
            assert_eq!(self.header(name), value, "{self:?}");
        }
        assert!(self.headers.contains_key("content-type"), "{self:?}");
    }
}

fn everything() -> Grant {
    Grant {
        identity: true,
        access_tokens: AccessTokens::All,
        id_tokens: IdTokens::All,
        ..Grant::default()
    }
}

fn scopes(granted: &[&str]) -> Grant {
    Grant {
        access_tokens: AccessTokens::Scopes(granted.iter().map(|s| (*s).to_owned()).collect()),
        id_tokens: IdTokens::Audiences(vec![AudiencePattern("https://*.a.run.app".to_owned())]),
        ..Grant::default()
    }
}
