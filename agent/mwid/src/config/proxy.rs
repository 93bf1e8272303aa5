//! The settled routes of the proxy. Plain values; names no room.
use super::Address;
use ipnet::IpNet;
use mtls_identity::PeerPolicy;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All routes, in the order of the file: inbound ones, then outbound ones. No two have one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProxySettings {
    pub(crate) routes: Vec<RouteSettings>,
}

/// One listener, its target, and who may be at the other end of the mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteSettings {
    pub(crate) name: String,
    pub(crate) side: Side,
    pub(crate) listen: ListenSettings,
    /// At least one, each once.
    pub(crate) targets: Vec<Target>,
    /// Whom the other end of the TLS connection must be.
    pub(crate) peers: PeerPolicy,
    /// Decide and tell, but let in whom `peers` refuses.
    pub(crate) dry_run: bool,
    /// Protocols to offer or to accept, best first.
    pub(crate) alpn: Vec<String>,
    pub(crate) tls12: bool,
    /// Close a connection when the peer's own certificate ends.
    pub(crate) close_expired: bool,
    /// What the application is told of the peer before its first byte.
    pub(crate) send_proxy: SendProxy,
    /// Whether each connection begins with a header of a load balancer's.
    pub(crate) accept_proxy: AcceptProxy,
    /// Each request is told of the peer, and asked of the application like this; none: bytes are copied.
    pub(crate) http: Option<HttpTo>,
    pub(crate) max_connections: usize,
    pub(crate) max_handshakes: usize,
    pub(crate) timeouts: Timeouts,
}

impl RouteSettings {
    /// All targets, in words.
    pub(crate) fn targets_text(&self) -> String {
        let all: Vec<String> = self.targets.iter().map(Target::to_string).collect();
        all.join(", ")
    }
}

/// The PROXY protocol towards the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendProxy {
    None,
    /// Addresses.
    V2,
    /// Addresses, the TLS connection, the peer's certificate and SPIFFE ID.
    V2Tls,
}

/// Who says in a PROXY header whom a connection is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AcceptProxy {
    /// Nobody: there is no header.
    No,
    /// Whoever connects.
    FromAnybody,
    /// Load balancers at these addresses; nobody else connects.
    From(Vec<IpNet>),
}

/// The version of HTTP in which the application is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpTo {
    /// HTTP/1.1; gRPC over HTTP/2 as HTTP/2.
    Auto,
    Http1,
    /// HTTP/2 without TLS, with prior knowledge.
    H2c,
}

/// Which side of the proxy speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It listens with TLS and forwards in plain text.
    Inbound,
    /// It listens in plain text and connects with TLS.
    Outbound {
        /// Sent as SNI; none: the target's name, if it has one.
        server_name: Option<String>,
        /// So many of its connections may be one user's.
        per_user: usize,
    },
}

/// Where a route listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenSettings {
    pub(crate) address: Address,
    /// Of a Unix socket.
    pub(crate) mode: u32,
    /// Of a Unix socket; a name or a number, not looked up here.
    pub(crate) owner: Option<String>,
    /// As the owner.
    pub(crate) group: Option<String>,
    /// Of a socket that systemd passes: it need be neither a loopback address nor a Unix socket. What an address is was judged with the file.
    pub(crate) unsafe_listen: bool,
}

/// Where a route goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    /// A DNS name, looked up again while connections are made.
    Name {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How long the parts of a connection may take; none: without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) handshake: Duration,
    pub(crate) connect: Duration,
    /// Without a byte in either direction.
    pub(crate) idle: Option<Duration>,
    /// After one side has ended: without a byte from the other.
    pub(crate) half_close: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    /// With bytes on the way that the other side's system does not acknowledge or has no room for.
    pub(crate) unacknowledged: Option<Duration>,
}
