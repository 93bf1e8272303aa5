//! Why routes cannot be put in force.
use crate::http::listener::ListenError;
use mtls_identity::tls::TlsConfigError;
use std::io;
use std::net::SocketAddr;

/// Why routes cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the route {route}: listen")]
    Listen {
        route: String,
        #[source]
        source: ListenError,
    },
    #[error(
        "the route {route}: systemd passed no socket named {name}; set FileDescriptorName={name} in the socket unit, and start mwid by it"
    )]
    NotPassed { route: String, name: String },
    #[error("the route {route}: the socket {name} that systemd passed cannot be listened on")]
    Passed {
        route: String,
        name: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "the route {route}: the socket {name} that systemd passed listens on {address}, which is not loopback, and this side is plaintext; set ListenStream= in the socket unit to a loopback address or a path, or say unsafe_listen: true in the route"
    )]
    PassedFar {
        route: String,
        name: String,
        address: SocketAddr,
    },
    #[error(
        "the threads that copy for routes cannot be started; more descriptors (LimitNOFILE=) or threads (TasksMax=) are needed"
    )]
    Copiers(#[source] io::Error),
    #[error("the route {route}: TLS")]
    Tls {
        route: String,
        #[source]
        source: TlsConfigError,
    },
}
