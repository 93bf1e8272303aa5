//! Who a peer is, and whether it may. In: a verified leaf, rules. Out: a [`Peer`], and the decision of a [`PeerPolicy`]. Never verifies
//! a certificate: `tls` does, and it alone makes a [`Peer`].

mod path;
mod pattern;
mod policy;

use crate::spiffe_id::SpiffeId;
use pki_types::{CertificateDer, UnixTime};
use std::fmt;
use std::sync::Arc;

pub use path::PathPattern;
pub use pattern::{IdPattern, PatternError};
pub use policy::{NotAllowed, PeerPolicy, PeerRule};

/// Which side of the handshake a peer was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerRole {
    /// It connected to us.
    Client,
    /// We connected to it.
    Server,
}

/// A peer whose chain was verified in a handshake. There is no other way to make one.
#[derive(Clone)]
pub struct Peer {
    pub(crate) id: SpiffeId,
    pub(crate) chain: Arc<[CertificateDer<'static>]>,
    pub(crate) serial: Arc<str>,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) role: PeerRole,
}

impl Peer {
    /// Its SPIFFE ID.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The chain as the peer sent it, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The leaf's serial number, lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The latest `notBefore` in the chain.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The earliest `notAfter` in the chain.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Which side of the handshake it was on.
    pub fn role(&self) -> PeerRole {
        self.role
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the certificates: several kilobytes of hex say less than this.
        f.debug_struct("Peer")
            .field("id", &self.id.as_str())
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
