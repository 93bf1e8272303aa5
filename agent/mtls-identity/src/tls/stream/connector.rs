//! The client's side of [`super`].

use super::{ConnectionError, HANDSHAKE_TIMEOUT, close_gently};
use crate::peer::{NotAllowed, Peer, PeerPolicy};
use crate::store::Reader;
use crate::tls::{TlsConfigError, TlsOptions, client_config};
use pki_types::ServerName;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes mutual TLS connections to peers that a policy allows. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    policy: Arc<PeerPolicy>,
    timeout: Duration,
    server_name: ServerName<'static>,
}

impl Connector {
    /// Follows the store behind `reader`, and talks to whom `policy` allows. A handshake may take 10 s.
    ///
    /// # Errors
    /// When the provider cannot speak the wanted TLS versions.
    pub fn new(
        reader: Reader,
        options: &TlsOptions,
        policy: impl Into<Arc<PeerPolicy>>,
    ) -> Result<Self, TlsConfigError> {
        Ok(Self {
            tls: TlsConnector::from(client_config(reader, options)?),
            policy: policy.into(),
            timeout: HANDSHAKE_TIMEOUT,
            // rustls wants a name. This one is never sent, for SNI carries no addresses (RFC 6066, section 3), and never compared.
            server_name: ServerName::from(std::net::IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        })
    }

    /// Limits the time of a handshake.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with another policy, for the connections that are made from now on.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<Arc<PeerPolicy>>) -> Self {
        self.policy = policy.into();
        self
    }

    /// Sends a DNS name as SNI, for servers and load balancers that choose by it. It is not compared with the certificate.
    #[must_use]
    pub fn with_server_name(mut self, name: ServerName<'static>) -> Self {
        self.server_name = name;
        self
    }

    /// Does the handshake and decides by the policy.
    ///
    /// # Errors
    /// The step that failed and why; the stream is closed then.
    pub async fn connect<S>(&self, stream: S) -> Result<(TlsStream<S>, Peer), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_by(stream, |peer| self.policy.decide(peer.id()))
            .await
    }

    /// As [`connect`](Self::connect), but `decide` decides instead of the policy.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_by<S, D>(
        &self,
        stream: S,
        decide: D,
    ) -> Result<(TlsStream<S>, Peer), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: FnOnce(&Peer) -> Result<(), NotAllowed>,
    {
        let handshake = self.tls.connect(self.server_name.clone(), stream).into_fallible();
        let stream = match timeout(self.timeout, handshake).await {
            Err(_elapsed) => return Err(ConnectionError::Timeout { after: self.timeout }),
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                close_gently(stream).await;
                return Err(ConnectionError::of_handshake(error));
            }
        };
        let peer = Peer::server_of(stream.get_ref().1)?;
        if let Err(source) = decide(&peer) {
            close_gently(stream).await;
            return Err(ConnectionError::NotAllowed {
                peer: Box::new(peer),
                source,
            });
        }
        Ok((stream, peer))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("policy", &self.policy)
            .field("timeout", &self.timeout)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
