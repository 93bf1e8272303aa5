//! From a finished handshake to the peer. In: a rustls connection made with a config of this module. Out: the peer, with its SPIFFE ID and
//! chain. Never before the handshake is done, never decides who may.

use crate::certificate::{self, Validity};
use crate::check::{Refusal, leaf};
use crate::peer::{Peer, PeerRole};
use rustls::CommonState;
use std::sync::Arc;

impl Peer {
    /// The client at the other end of a server's connection.
    ///
    /// The connection must have been made with [`server_config`](crate::tls::server_config): what another config accepts proves nothing here.
    ///
    /// # Errors
    /// [`PeerError::HandshakeNotDone`] too early; the others when the connection was made with another config.
    pub fn client_of(connection: &rustls::ServerConnection) -> Result<Self, PeerError> {
        Self::of(connection, PeerRole::Client)
    }

    /// The server at the other end of a client's connection.
    ///
    /// The connection must have been made with [`client_config`](crate::tls::client_config).
    ///
    /// # Errors
    /// As [`Peer::client_of`].
    pub fn server_of(connection: &rustls::ClientConnection) -> Result<Self, PeerError> {
        Self::of(connection, PeerRole::Server)
    }

    /// The peer of any kind of rustls connection, QUIC too; `role` is the peer's.
    ///
    /// # Errors
    /// As [`Peer::client_of`].
    pub fn of(connection: &CommonState, role: PeerRole) -> Result<Self, PeerError> {
        if connection.is_handshaking() {
            return Err(PeerError::HandshakeNotDone);
        }
        let chain = connection.peer_certificates().ok_or(PeerError::NoCertificate)?;
        let first = chain.first().ok_or(PeerError::NoCertificate)?;
        let id = leaf::spiffe_id_of_der(first).map_err(not_an_svid)?;
        let mut serial = String::new();
        let mut valid: Option<Validity> = None;
        for (position, der) in (1..).zip(chain) {
            let parsed = certificate::parse(der)
                .map_err(|source| not_an_svid(Refusal::Certificate { position, source }))?;
            let own = Validity::of(&parsed);
            if position == 1 {
                serial = certificate::serial(&parsed);
            }
            valid = Some(valid.map_or(own, |all| all.and(own)));
        }
        let valid = valid.ok_or(PeerError::NoCertificate)?;
        Ok(Self {
            id,
            serial: serial.into(),
            not_before: valid.not_before,
            not_after: valid.not_after,
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            role,
        })
    }
}

fn not_an_svid(source: Refusal) -> PeerError {
    PeerError::NotAnSvid {
        source: Arc::new(source),
    }
}

/// Why a connection has no peer to speak of.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The handshake still goes on; nothing is verified yet.
    #[error("the handshake is not done, so nothing about the peer is verified; finish it first")]
    HandshakeNotDone,
    /// The peer showed no certificate.
    #[error(
        "the peer showed no certificate; make the connection with a config of mtls-identity, which demands one"
    )]
    NoCertificate,
    /// The leaf is no X.509-SVID.
    #[error(
        "the peer's leaf is not an X.509-SVID; make the connection with a config of mtls-identity, which refuses such a leaf"
    )]
    NotAnSvid {
        /// What is wrong.
        #[source]
        source: Arc<Refusal>,
    },
}
