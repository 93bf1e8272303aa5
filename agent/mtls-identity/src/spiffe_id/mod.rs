//! SPIFFE IDs and trust domains.
use std::sync::Arc;

/// A trust domain's name, `example.org` (without scheme).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Parses a bare name.
    pub fn parse(_name: &str) -> Result<Self, SpiffeIdError> {
        todo!()
    }
    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The trust domain's own SPIFFE ID, `spiffe://name`.
    pub fn id(&self) -> String {
        format!("spiffe://{}", self.0)
    }
}

/// A SPIFFE ID, `spiffe://trust-domain/path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    uri: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Parses a URI.
    pub fn parse(_uri: &str) -> Result<Self, SpiffeIdError> {
        todo!()
    }
    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
    /// The path with its leading slash; empty for a trust domain's own ID.
    pub fn path(&self) -> &str {
        todo!()
    }
    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }
}

/// Why a text is no SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// placeholder
    #[error("placeholder")]
    Placeholder,
}
