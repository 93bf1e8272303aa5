//! Who a peer is, and whether it may.
mod pattern;

use crate::spiffe_id::SpiffeId;
use pki_types::CertificateDer;
use std::sync::Arc;

pub use pattern::{IdPattern, PatternError};

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
