//! The checks that make a candidate an identity.
use crate::candidate::Candidate;
use crate::peer::IdPattern;
use crate::snapshot::IdentitySnapshot;
use pki_types::UnixTime;
use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// Proves candidates.
#[derive(Clone, Debug)]
pub struct Prover {
    provider: Arc<CryptoProvider>,
    expect: Option<IdPattern>,
}

impl Prover {
    /// A prover that accepts any identity.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            expect: None,
        }
    }
    /// Refuse any other identity.
    #[must_use]
    pub fn expecting(mut self, expect: Option<IdPattern>) -> Self {
        self.expect = expect;
        self
    }
    /// Proves a candidate.
    pub fn prove(&self, _candidate: &Candidate, _now: UnixTime) -> Result<IdentitySnapshot, Refusal> {
        let _ = (&self.provider, &self.expect);
        todo!()
    }
}

/// Why a candidate is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A certificate is not valid yet; worth trying again at that time.
    #[error("not valid before {not_before:?}")]
    NotYetValid {
        /// When it becomes valid.
        not_before: UnixTime,
    },
}

impl Refusal {
    /// A short, bounded name for metrics (`not_yet_valid`).
    pub fn reason(&self) -> &'static str {
        todo!()
    }
    /// When it may be worth proving the same candidate again.
    pub fn retry_at(&self) -> Option<UnixTime> {
        todo!()
    }
}
