//! Whether a chain reaches a root of one trust domain. The same for our own chain and for a peer's.
//!
//! In: a leaf, what came with it, one trust bundle, the time. Out: verified, or the reason why not. Never looks into the
//! bundle of another trust domain, and never takes a root outside of its own validity (webpki does not look at that).

use super::issuers::Issuers;
use super::{CertificateName, CertificateRole, MAX_CHAIN, Refusal};
use crate::bundle::TrustBundle;
use crate::certificate::{self, Validity};
use crate::spiffe_id::TrustDomain;
use pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::crypto::WebPkiSupportedAlgorithms;
use std::borrow::Cow;
use webpki::{EndEntityCert, KeyUsage};

/// What the certificate is used as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usage {
    /// A server's certificate.
    Server,
    /// A client's certificate.
    Client,
}

/// A chain that reaches a root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verified {
    /// From when until when the root that it reaches holds.
    pub(crate) root: Validity,
}

/// Why a chain reaches no root.
#[derive(Debug)]
pub(crate) enum ChainError {
    /// A certificate of the chain is past its time.
    Expired {
        certificate: CertificateName,
        not_after: UnixTime,
        now: UnixTime,
    },
    /// A certificate of the chain, or the root, is of the future.
    NotYetValid {
        certificate: CertificateName,
        not_before: UnixTime,
        now: UnixTime,
    },
    /// Only a root past its time would have verified the chain.
    RootExpired {
        root: CertificateName,
        not_after: UnixTime,
        now: UnixTime,
    },
    /// No root of the bundle, and no certificate that came along, issued it. An empty bundle ends here too.
    UnknownIssuer,
    /// There is an issuer of the right name, but its key did not make the signature.
    BadSignature,
    /// More certificates than we look at.
    TooLong { found: usize },
    /// Anything else that webpki refuses.
    Other(ChainFault),
}

/// What webpki found wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault(webpki::Error);

impl std::fmt::Display for ChainFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use webpki::Error as E;
        match &self.0 {
            E::NameConstraintViolation | E::MalformedNameConstraint => {
                f.write_str("a CA's name constraints do not allow it (constraints on URIs are not supported)")
            }
            E::PathLenConstraintViolated => {
                f.write_str("a CA's path length constraint does not allow so many CAs below it")
            }
            E::RequiredEkuNotFoundContext(_) => {
                f.write_str("a CA's extended key usage does not allow this use")
            }
            E::UnsupportedSignatureAlgorithmContext(_) => {
                f.write_str("the crypto provider does not verify its signature algorithm")
            }
            E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                f.write_str("its signature algorithm does not belong to its issuer's key")
            }
            E::UnsupportedCriticalExtension => {
                f.write_str("it has a critical extension that is not understood")
            }
            E::EndEntityUsedAsCa => {
                f.write_str("one of its issuers is no CA, or its key usage lacks keyCertSign")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::error::Error for ChainFault {}

/// Verifies a chain against the bundle of one trust domain. `intermediates` may come in any order.
pub(crate) fn verify(
    algorithms: &WebPkiSupportedAlgorithms,
    issuers: &Issuers,
    roots: &TrustBundle,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    usage: Usage,
) -> Result<Verified, ChainError> {
    if intermediates.len() >= MAX_CHAIN {
        return Err(ChainError::TooLong {
            found: intermediates.len() + 1,
        });
    }
    let search = Search {
        algorithms,
        issuers,
        leaf,
        intermediates,
        now,
        usage,
    };
    let all_hold = roots.validities().iter().all(|validity| validity.holds(now));
    let anchors: Cow<'_, [TrustAnchor<'_>]> = if all_hold {
        roots.anchors().into()
    } else {
        pick(roots, |validity| validity.holds(now)).into()
    };
    match search.anchor(&anchors) {
        Ok(anchor) => Ok(Verified {
            root: lasting_longest(roots, &anchor, now),
        }),
        Err(error) if all_hold => Err(search.explain(error)),
        Err(error) => Err(search.other_time(roots).unwrap_or_else(|| search.explain(error))),
    }
}

fn pick(roots: &TrustBundle, wanted: impl Fn(&Validity) -> bool) -> Vec<TrustAnchor<'_>> {
    let all = roots.anchors().iter().zip(roots.validities());
    all.filter(|(_, validity)| wanted(validity))
        .map(|(anchor, _)| anchor.clone())
        .collect()
}

/// A renewed root may share name and key with the one before; the later end counts.
fn lasting_longest(roots: &TrustBundle, anchor: &TrustAnchor<'_>, now: UnixTime) -> Validity {
    let same = roots
        .anchors()
        .iter()
        .zip(roots.validities())
        .filter(|(a, v)| *a == anchor && v.holds(now));
    let longest = same
        .map(|(_, validity)| *validity)
        .max_by_key(|validity| validity.not_after);
    // Never none: the anchor is one of them.
    longest.unwrap_or(Validity {
        not_before: now,
        not_after: now,
    })
}

/// One question to webpki.
struct Search<'a> {
    algorithms: &'a WebPkiSupportedAlgorithms,
    issuers: &'a Issuers,
    leaf: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    now: UnixTime,
    usage: Usage,
}

impl Search<'_> {
    /// The trust anchor that the chain reaches.
    fn anchor(&self, anchors: &[TrustAnchor<'_>]) -> Result<TrustAnchor<'static>, webpki::Error> {
        let usage = match self.usage {
            Usage::Server => KeyUsage::server_auth(),
            Usage::Client => KeyUsage::client_auth(),
        };
        let leaf = EndEntityCert::try_from(self.leaf)?;
        let path = leaf.verify_for_usage(
            self.algorithms.all,
            anchors,
            self.intermediates,
            self.now,
            usage,
            None,
            Some(&|path| self.issuers.all_may_sign(path)),
        )?;
        Ok(path.anchor().to_owned())
    }

    /// Whether a root outside of its validity would have done.
    fn other_time(&self, roots: &TrustBundle) -> Option<ChainError> {
        let now = self.now;
        let anchor = self.anchor(&pick(roots, |validity| !validity.holds(now))).ok()?;
        let mut all = roots.anchors().iter().zip(roots.validities()).zip(roots.roots());
        let ((_, validity), der) = all.find(|((a, _), _)| **a == anchor)?;
        let root = certificate::name(&certificate::parse(der).ok()?, CertificateRole::Root);
        Some(if validity.not_after < now {
            ChainError::RootExpired {
                root,
                not_after: validity.not_after,
                now,
            }
        } else {
            ChainError::NotYetValid {
                certificate: root,
                not_before: validity.not_before,
                now,
            }
        })
    }

    fn explain(&self, error: webpki::Error) -> ChainError {
        let now = self.now;
        match &error {
            webpki::Error::CertExpired { not_after, .. } => {
                match self.name_of(|validity| validity.not_after == *not_after) {
                    Some(certificate) => ChainError::Expired {
                        certificate,
                        not_after: *not_after,
                        now,
                    },
                    None => ChainError::Other(ChainFault(error)),
                }
            }
            webpki::Error::CertNotValidYet { not_before, .. } => {
                match self.name_of(|validity| validity.not_before == *not_before) {
                    Some(certificate) => ChainError::NotYetValid {
                        certificate,
                        not_before: *not_before,
                        now,
                    },
                    None => ChainError::Other(ChainFault(error)),
                }
            }
            webpki::Error::UnknownIssuer => ChainError::UnknownIssuer,
            webpki::Error::InvalidSignatureForPublicKey => ChainError::BadSignature,
            _ => ChainError::Other(ChainFault(error)),
        }
    }

    /// The first certificate of the chain whose validity is meant.
    fn name_of(&self, meant: impl Fn(&Validity) -> bool) -> Option<CertificateName> {
        let chain = std::iter::once(self.leaf).chain(self.intermediates);
        chain.enumerate().find_map(|(position, der)| {
            let parsed = certificate::parse(der).ok()?;
            meant(&Validity::of(&parsed))
                .then(|| certificate::name(&parsed, CertificateRole::in_chain(position)))
        })
    }
}

impl ChainError {
    /// As a refusal of our own chain.
    pub(crate) fn into_refusal(self, trust_domain: &TrustDomain) -> Refusal {
        let trust_domain = trust_domain.clone();
        match self {
            Self::Expired {
                certificate,
                not_after,
                now,
            } => Refusal::Expired {
                certificate,
                not_after,
                now,
            },
            Self::NotYetValid {
                certificate,
                not_before,
                now,
            } => Refusal::NotYetValid {
                certificate,
                not_before,
                now,
            },
            Self::RootExpired { root, not_after, now } => Refusal::RootExpired {
                trust_domain,
                root,
                not_after,
                now,
            },
            Self::UnknownIssuer => Refusal::UnknownIssuer { trust_domain },
            Self::BadSignature => Refusal::BadSignature { trust_domain },
            Self::TooLong { found } => Refusal::ChainTooLong {
                found,
                limit: MAX_CHAIN,
            },
            Self::Other(source) => Refusal::Chain { trust_domain, source },
        }
    }
}
