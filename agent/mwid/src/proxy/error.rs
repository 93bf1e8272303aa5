//! Why routes cannot be put in force.
use crate::http::listener::ListenError;
use mtls_identity::tls::TlsConfigError;

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
    #[error("the route {route}: TLS")]
    Tls {
        route: String,
        #[source]
        source: TlsConfigError,
    },
}
