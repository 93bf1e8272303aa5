//! The server's side of [`super`].

use super::{ConnectionError, HANDSHAKE_TIMEOUT, close_gently};
use crate::Clock;
use crate::peer::{NotAllowed, Peer, PeerPolicy};
use crate::store::Reader;
use crate::tls::usable::usable;
use crate::tls::{TlsConfigError, TlsOptions, server_config};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Accepts mutual TLS connections from peers that a policy allows. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    reader: Reader,
    clock: Clock,
    policy: Arc<PeerPolicy>,
    timeout: Duration,
}

impl Acceptor {
    /// Follows the store behind `reader`, and lets in whom `policy` allows. A handshake may take 10 s.
    ///
    /// # Errors
    /// When the provider cannot speak the wanted TLS versions.
    pub fn new(
        reader: Reader,
        options: &TlsOptions,
        policy: impl Into<Arc<PeerPolicy>>,
    ) -> Result<Self, TlsConfigError> {
        Ok(Self {
            tls: TlsAcceptor::from(server_config(reader.clone(), options)?),
            reader,
            clock: Arc::clone(&options.clock),
            policy: policy.into(),
            timeout: HANDSHAKE_TIMEOUT,
        })
    }

    /// Limits the time of a handshake.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with another policy, for the connections that come from now on.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<Arc<PeerPolicy>>) -> Self {
        self.policy = policy.into();
        self
    }

    /// Does the handshake and decides by the policy.
    ///
    /// # Errors
    /// The step that failed and why; the stream is closed then. A refused peer is given up to half a second to read the alert.
    pub async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, Peer), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_by(stream, |peer| self.policy.decide(peer.id())).await
    }

    /// As [`accept`](Self::accept), but `decide` decides instead of the policy: to ask more of a peer than its ID, or to
    /// log what a new policy would refuse before it is in force.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn accept_by<S, D>(&self, stream: S, decide: D) -> Result<(TlsStream<S>, Peer), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        D: FnOnce(&Peer) -> Result<(), NotAllowed>,
    {
        // The handshake goes on without an identity, and fails: so the client gets an alert, and our caller the true reason.
        let own = usable(&self.reader, &self.clock);
        let stream = match timeout(self.timeout, self.tls.accept(stream).into_fallible()).await {
            Err(_elapsed) => return Err(ConnectionError::Timeout { after: self.timeout }),
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                close_gently(stream).await;
                return Err(match own {
                    Ok(_) => ConnectionError::of_handshake(error),
                    Err(source) => ConnectionError::OurIdentity { source },
                });
            }
        };
        let peer = Peer::client_of(stream.get_ref().1)?;
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

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor")
            .field("policy", &self.policy)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
