//! Why a peer is refused in the handshake. In: what the verifier or rustls found. Out: a typed reason, and the rustls error that sends a
//! fitting alert. Never tells the peer more than the alert.

use super::usable::IdentityUnusable;
use crate::check::chain::ChainError;
use crate::check::{CertificateName, ChainFault, Refusal};
use crate::spiffe_id::SpiffeId;
use pki_types::UnixTime;
use rustls::{CertificateError, OtherError};
use std::error::Error as StdError;
use std::sync::Arc;

/// Why a peer's certificate is refused.
///
/// [`PeerRefusal::of`] finds it in the error of a failed handshake. Reasons that have an alert of their own travel as rustls's own error, so
/// that the peer is told `unknown_ca` or `certificate_expired`; the others as `certificate_unknown`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerRefusal {
    /// The client sent no certificate.
    #[error("the peer showed no certificate; mutual TLS wants one, so give the peer an identity")]
    NoCertificate,
    /// The leaf is no X.509-SVID that may be used by a workload.
    #[error(
        "the peer's leaf certificate is not an X.509-SVID; have it issued with exactly one SPIFFE ID and for a workload"
    )]
    NotAnSvid {
        /// What is wrong with the leaf.
        #[source]
        source: Arc<Refusal>,
    },
    /// We have no trust bundle for the peer's trust domain.
    #[error(
        "there is no trust bundle for the trust domain of peer {id}; federate with that domain if it should be trusted"
    )]
    UnknownTrustDomain {
        /// What the peer claims to be; nothing proves it.
        id: SpiffeId,
    },
    /// The chain does not reach a root of the peer's own trust domain.
    #[error(
        "the peer's chain does not reach a root in the trust bundle of its own trust domain; \
         compare its issuer with the bundle, which may be out of date"
    )]
    UnknownIssuer,
    /// A certificate of the chain has ended.
    #[error("the peer's certificate expired at Unix time {}; have the peer renew it, or set the clock", not_after.as_secs())]
    Expired {
        /// When it was judged.
        at: UnixTime,
        /// When it ended.
        not_after: UnixTime,
    },
    /// A certificate of the chain has not begun.
    #[error("the peer's certificate is not valid before Unix time {}; compare the clocks of both sides", not_before.as_secs())]
    NotYetValid {
        /// When it was judged.
        at: UnixTime,
        /// When it begins.
        not_before: UnixTime,
    },
    /// The extended key usage does not allow this side of the handshake.
    #[error(
        "the peer's certificate is not for this use; its extended key usage must allow both server and client authentication"
    )]
    WrongUsage,
    /// A signature in the chain, or the one over the handshake, is wrong.
    #[error("a signature of the peer is wrong: its certificate does not belong to its issuer or to its key")]
    BadSignature,
    /// Only a root past its time would have vouched for the peer.
    #[error(
        "the {root}, which would vouch for the peer, expired at Unix time {}; get the newest trust bundle of its domain",
        not_after.as_secs()
    )]
    RootExpired {
        /// The root in our trust bundle.
        root: CertificateName,
        /// When it ended.
        not_after: UnixTime,
    },
    /// The peer sent more certificates than we look at.
    #[error(
        "the peer sent {found} certificates; a chain has at most {}",
        crate::check::MAX_CHAIN
    )]
    ChainTooLong {
        /// How many it sent.
        found: usize,
    },
    /// The chain fails for a rarer reason.
    #[error("the peer's certificate chain cannot be verified; look at the chain that the peer sends")]
    Chain {
        /// What is wrong.
        #[source]
        source: ChainFault,
    },
    /// rustls refuses the certificate for a rarer reason.
    #[error("the peer's certificate cannot be used for TLS; look at the chain that the peer sends")]
    BadCertificate {
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// It is not the peer: we have nothing to show, and mutual TLS needs both sides.
    #[error("no peer is trusted while we have no valid identity ourselves")]
    OurIdentity {
        /// Why not.
        #[source]
        source: IdentityUnusable,
    },
}

impl PeerRefusal {
    /// A short, bounded name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::NotAnSvid { .. } => "not_an_svid",
            Self::UnknownTrustDomain { .. } => "unknown_trust_domain",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::WrongUsage => "wrong_usage",
            Self::BadSignature => "bad_signature",
            Self::RootExpired { .. } => "root_expired",
            Self::ChainTooLong { .. } => "chain_too_long",
            Self::Chain { .. } | Self::BadCertificate { .. } => "bad_certificate",
            Self::OurIdentity { source } => source.reason(),
        }
    }

    /// The refusal behind the error of a handshake on *this* side, if it is one. An alert that the peer sent is none.
    pub fn of(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::NoCertificatesPresented => Some(Self::NoCertificate),
            rustls::Error::InvalidCertificate(error) => Some(Self::of_certificate(error)),
            rustls::Error::Other(OtherError(inner)) => inner.downcast_ref().cloned(),
            _ => None,
        }
    }

    pub(super) fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::ExpiredContext { time, not_after } => Self::Expired {
                at: *time,
                not_after: *not_after,
            },
            CertificateError::NotValidYetContext { time, not_before } => Self::NotYetValid {
                at: *time,
                not_before: *not_before,
            },
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongUsage
            }
            CertificateError::BadSignature => Self::BadSignature,
            CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<Self>() {
                Some(refusal) => refusal.clone(),
                None => Self::BadCertificate {
                    source: error.clone().into(),
                },
            },
            other => Self::BadCertificate {
                source: other.clone().into(),
            },
        }
    }
}

impl From<PeerRefusal> for rustls::Error {
    fn from(refusal: PeerRefusal) -> Self {
        let certificate = match refusal {
            PeerRefusal::NoCertificate => return Self::NoCertificatesPresented,
            // The alert is handshake_failure: the peer's certificate is not to blame.
            PeerRefusal::OurIdentity { .. } => return Self::Other(other(refusal)),
            PeerRefusal::UnknownIssuer => CertificateError::UnknownIssuer,
            PeerRefusal::Expired { at, not_after } => {
                CertificateError::ExpiredContext { time: at, not_after }
            }
            PeerRefusal::NotYetValid { at, not_before } => {
                CertificateError::NotValidYetContext { time: at, not_before }
            }
            PeerRefusal::WrongUsage => CertificateError::InvalidPurpose,
            PeerRefusal::BadSignature => CertificateError::BadSignature,
            PeerRefusal::BadCertificate { source } => return source,
            PeerRefusal::NotAnSvid { .. }
            | PeerRefusal::UnknownTrustDomain { .. }
            | PeerRefusal::RootExpired { .. }
            | PeerRefusal::ChainTooLong { .. }
            | PeerRefusal::Chain { .. } => CertificateError::Other(other(refusal)),
        };
        Self::InvalidCertificate(certificate)
    }
}

impl From<ChainError> for PeerRefusal {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Expired { not_after, now, .. } => Self::Expired { at: now, not_after },
            ChainError::NotYetValid { not_before, now, .. } => Self::NotYetValid { at: now, not_before },
            ChainError::RootExpired { root, not_after, .. } => Self::RootExpired { root, not_after },
            ChainError::UnknownIssuer => Self::UnknownIssuer,
            ChainError::BadSignature => Self::BadSignature,
            ChainError::TooLong { found } => Self::ChainTooLong { found },
            ChainError::Other(source) => Self::Chain { source },
        }
    }
}

impl From<Refusal> for PeerRefusal {
    /// From the checks of a leaf.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ExtendedKeyUsage { .. } => Self::WrongUsage,
            source => Self::NotAnSvid {
                source: Arc::new(source),
            },
        }
    }
}

fn other(refusal: PeerRefusal) -> OtherError {
    OtherError(Arc::new(refusal) as Arc<dyn StdError + Send + Sync>)
}
