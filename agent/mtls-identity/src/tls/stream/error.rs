//! Why a connection was not made. In: what rustls, the stream or the policy said. Out: one error that names the step.

use crate::peer::{NotAllowed, Peer};
use crate::tls::{IdentityUnusable, PeerError, PeerRefusal};
use rustls::AlertDescription;
use std::io;
use std::time::Duration;

/// Why [`Acceptor`](super::Acceptor) or [`Connector`](super::Connector) hands out no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The handshake took too long.
    #[error("no handshake within {} s; the other side is not speaking TLS, or the network is slow", after.as_secs_f32())]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// We have no identity to show, so that every handshake fails.
    #[error("no handshake is possible without a valid identity of our own")]
    OurIdentity {
        /// Why there is none.
        #[source]
        source: IdentityUnusable,
    },
    /// We refused the peer's certificate.
    #[error("we refused the peer in the handshake")]
    PeerRefused {
        /// Why.
        #[source]
        source: PeerRefusal,
    },
    /// The peer ended the handshake with an alert.
    #[error("the peer ended the handshake with the alert {alert:?}; its log says more than that alert does")]
    RefusedByPeer {
        /// The alert.
        alert: AlertDescription,
    },
    /// The handshake failed otherwise: no common version, for example, or no TLS at all.
    #[error("the TLS handshake failed; both sides must speak TLS 1.3, or have TLS 1.2 enabled")]
    Tls {
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// The stream failed during the handshake.
    #[error(
        "the connection broke during the handshake; the other side may have gone away or refused us without an alert"
    )]
    Io {
        /// What the stream says.
        #[source]
        source: io::Error,
    },
    /// The handshake is done but gives no peer.
    #[error("the handshake gives no peer")]
    NoPeer {
        /// Why.
        #[from]
        source: PeerError,
    },
    /// The peer is who it says, but may not.
    #[error("the peer is not allowed")]
    NotAllowed {
        /// The peer.
        peer: Box<Peer>,
        /// What the policy says.
        #[source]
        source: NotAllowed,
    },
}

impl ConnectionError {
    /// At which step it ended: `identity`, `handshake` or `policy`.
    pub fn step(&self) -> &'static str {
        match self {
            Self::OurIdentity { .. } => "identity",
            Self::NotAllowed { .. } => "policy",
            _ => "handshake",
        }
    }

    /// A short, bounded name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::OurIdentity { source } => source.reason(),
            Self::PeerRefused { source } => source.reason(),
            Self::RefusedByPeer { .. } => "refused_by_peer",
            Self::Tls { .. } => "tls",
            Self::Io { .. } => "io",
            Self::NoPeer { .. } => "no_peer",
            Self::NotAllowed { source, .. } => source.reason(),
        }
    }

    pub(super) fn of_handshake(error: io::Error) -> Self {
        let error = match error.downcast::<rustls::Error>() {
            Ok(error) => error,
            Err(source) => return Self::Io { source },
        };
        match (PeerRefusal::of(&error), error) {
            (Some(PeerRefusal::OurIdentity { source }), _) => Self::OurIdentity { source },
            (Some(source), _) => Self::PeerRefused { source },
            (None, rustls::Error::AlertReceived(alert)) => Self::RefusedByPeer { alert },
            (None, source) => Self::Tls { source },
        }
    }
}
