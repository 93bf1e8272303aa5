//! Decides a live connection's peer again. In: the peer, today's trust bundles, policy and time. Out: it still holds, or why it does not.
//! Never closes anything itself.

use super::refusal::PeerRefusal;
use super::verifier::usage;
use crate::bundle::TrustBundles;
use crate::check::chain;
use crate::check::issuers::Issuers;
use crate::peer::{NotAllowed, Peer, PeerPolicy};
use crate::spiffe_id::SpiffeId;
use pki_types::UnixTime;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use std::sync::Arc;

/// How to decide live connections again, after the trust bundles or the policy changed.
///
/// ```no_run
/// # fn f(peer: mtls_identity::Peer, reader: mtls_identity::Reader, policy: mtls_identity::PeerPolicy,
/// #      provider: &rustls::crypto::CryptoProvider, now: mtls_identity::UnixTime) {
/// use mtls_identity::tls::Redecide;
///
/// let redecide = Redecide::new(provider);
/// if let Some(identity) = reader.current() {
///     if let Err(no_longer) = redecide.peer(&peer, identity.bundles(), &policy, now) {
///         // Close the connection and log `no_longer`.
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Redecide {
    algorithms: WebPkiSupportedAlgorithms,
    issuers: Arc<Issuers>,
    close_expired: bool,
}

impl Redecide {
    /// Judges by trust bundles and policy; that the peer's own certificate ends, or by a clock that was set back has not begun,
    /// does not count.
    pub fn new(provider: &CryptoProvider) -> Self {
        Self {
            algorithms: provider.signature_verification_algorithms,
            issuers: Arc::default(),
            close_expired: false,
        }
    }

    /// Whether the end of the peer's own certificates counts too.
    ///
    /// Off by default: a peer with short-lived certificates renews them and keeps its connections, which the handshake has proven.
    #[must_use]
    pub fn closing_expired(mut self, close_expired: bool) -> Self {
        self.close_expired = close_expired;
        self
    }

    /// Decides one peer again: its ID by the policy, which is cheap, then its chain as [`Redecide::trust`] does.
    ///
    /// # Errors
    /// When the peer would not be let in today.
    pub fn peer(
        &self,
        peer: &Peer,
        bundles: &TrustBundles,
        policy: &PeerPolicy,
        now: UnixTime,
    ) -> Result<(), NoLonger> {
        policy.decide(peer.id())?;
        self.trust(peer, bundles, now)
    }

    /// Decides one peer again by nothing but its chain, against the trust bundle of its trust domain. As dear as in a handshake; what was once read of
    /// an issuer is remembered by this value and its clones.
    ///
    /// # Errors
    /// When the bundles of today do not vouch for the peer.
    pub fn trust(&self, peer: &Peer, bundles: &TrustBundles, now: UnixTime) -> Result<(), NoLonger> {
        match self.verify(peer, bundles, now) {
            Ok(()) => Ok(()),
            Err(PeerRefusal::Expired { .. } | PeerRefusal::RootExpired { .. }) if !self.close_expired => {
                // At the chain's own end all of it is still valid, so what fails now is a root that was taken away.
                self.verify(peer, bundles, now.min(peer.not_after()))
                    .map_err(|source| no_longer_trusted(peer, source))
            }
            Err(PeerRefusal::NotYetValid { .. }) => {
                // The handshake has proven it, so the clock was set back since; that takes nobody's trust away.
                self.verify(peer, bundles, now.max(peer.not_before()))
                    .map_err(|source| no_longer_trusted(peer, source))
            }
            Err(PeerRefusal::Expired { not_after, .. }) => Err(NoLonger::Valid {
                id: peer.id().clone(),
                not_after,
            }),
            Err(source) => Err(no_longer_trusted(peer, source)),
        }
    }

    fn verify(&self, peer: &Peer, bundles: &TrustBundles, at: UnixTime) -> Result<(), PeerRefusal> {
        let [leaf, intermediates @ ..] = peer.chain() else {
            return Err(PeerRefusal::NoCertificate);
        };
        // Its ID was read from this very leaf, in the handshake.
        let Some(roots) = bundles.get(peer.id().trust_domain()) else {
            return Err(PeerRefusal::UnknownTrustDomain {
                id: peer.id().clone(),
            });
        };
        let (algorithms, issuers) = (&self.algorithms, &*self.issuers);
        chain::verify(
            algorithms,
            issuers,
            roots,
            leaf,
            intermediates,
            at,
            usage(peer.role()),
        )?;
        Ok(())
    }
}

fn no_longer_trusted(peer: &Peer, source: PeerRefusal) -> NoLonger {
    NoLonger::Trusted {
        id: peer.id().clone(),
        source,
    }
}

/// Why a live connection should be closed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoLonger {
    /// Today's trust bundles do not vouch for it.
    #[error(
        "peer {id} is no longer trusted; if it should be, put the root of its issuer back into its trust bundle"
    )]
    Trusted {
        /// The peer.
        id: SpiffeId,
        /// What the verification says today.
        #[source]
        source: PeerRefusal,
    },
    /// Today's policy does not allow it.
    #[error("peer is no longer allowed")]
    Allowed {
        /// What the policy says today.
        #[from]
        source: NotAllowed,
    },
    /// Its certificate ended while the connection was open.
    #[error("the certificate of peer {id} expired at Unix time {}; it has to connect again with a new one", not_after.as_secs())]
    Valid {
        /// The peer.
        id: SpiffeId,
        /// When it ended.
        not_after: UnixTime,
    },
}

impl NoLonger {
    /// A short, bounded name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Trusted { .. } => "no_longer_trusted",
            Self::Allowed { .. } => "no_longer_allowed",
            Self::Valid { .. } => "expired",
        }
    }
}
