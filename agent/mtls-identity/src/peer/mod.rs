//! Who a peer is, and whether it may.
use crate::spiffe_id::{SpiffeId, SpiffeIdError};
use pki_types::CertificateDer;
use std::sync::Arc;

/// A pattern of SPIFFE IDs: `*` is one whole path segment, `**` the rest; the trust domain is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPattern {
    text: Arc<str>,
}

impl IdPattern {
    /// Parses a pattern.
    pub fn parse(_text: &str) -> Result<Self, PatternError> {
        todo!()
    }
    /// Whether an ID matches.
    pub fn matches(&self, _id: &SpiffeId) -> bool {
        todo!()
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The trust domain or a literal segment is not allowed in a SPIFFE ID.
    #[error("not a SPIFFE ID pattern")]
    Id(#[source] SpiffeIdError),
}

/// Who may connect. Empty: nobody.
#[derive(Clone, Debug, Default)]
pub struct PeerPolicy {}

/// A peer whose chain was verified in a handshake.
#[derive(Clone, Debug)]
pub struct Peer {
    id: SpiffeId,
    chain: Arc<[CertificateDer<'static>]>,
}

impl Peer {
    /// Its SPIFFE ID.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }
    /// Its chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}
