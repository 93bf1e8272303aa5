//! Trust bundles, one a trust domain, never merged.
use crate::spiffe_id::TrustDomain;
use pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The roots of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    trust_domain: TrustDomain,
    roots: Vec<CertificateDer<'static>>,
    jwt_keys: Vec<serde_json::Map<String, serde_json::Value>>,
    sequence: Option<u64>,
    refresh_hint: Option<Duration>,
}

impl TrustBundle {
    /// From certificates in PEM.
    pub fn from_pem(_trust_domain: TrustDomain, _pem: &[u8]) -> Result<Self, BundleError> {
        todo!()
    }
    /// From DER roots.
    pub fn from_roots(
        _trust_domain: TrustDomain,
        _roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, BundleError> {
        todo!()
    }
    /// From a SPIFFE bundle (a JWK set with `use: x509-svid` keys).
    pub fn from_spiffe_json(_trust_domain: TrustDomain, _json: &[u8]) -> Result<Self, BundleError> {
        todo!()
    }
    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
    /// The roots.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }
    /// The JWT keys (`use: jwt-svid`) as they came.
    pub fn jwt_keys(&self) -> &[serde_json::Map<String, serde_json::Value>] {
        &self.jwt_keys
    }
    /// `spiffe_sequence`.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }
    /// `spiffe_refresh_hint`.
    pub fn refresh_hint(&self) -> Option<Duration> {
        self.refresh_hint
    }
    /// The roots in PEM.
    pub fn to_pem(&self) -> String {
        todo!()
    }
    /// The SPIFFE bundle document.
    pub fn to_spiffe_json(&self) -> String {
        todo!()
    }
}

/// Trust bundles by trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundles(BTreeMap<TrustDomain, Arc<TrustBundle>>);

impl TrustBundles {
    /// One bundle.
    pub fn of(_bundle: TrustBundle) -> Self {
        todo!()
    }
    /// From a SPIFFE bundle map, with or without the `trust_domains` wrapper.
    pub fn from_map_json(_json: &[u8]) -> Result<Self, BundleError> {
        todo!()
    }
    /// The bundle map document, with the `trust_domains` wrapper.
    pub fn to_map_json(&self) -> String {
        todo!()
    }
    /// A domain's bundle.
    pub fn get(&self, trust_domain: &TrustDomain) -> Option<&Arc<TrustBundle>> {
        self.0.get(trust_domain)
    }
    /// All bundles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrustBundle>> {
        self.0.values()
    }
    /// Adds a domain's bundle; refuses a second one for the same domain.
    pub fn insert(&mut self, _bundle: TrustBundle) -> Result<(), BundleError> {
        todo!()
    }
}

/// Why bytes are no trust bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// placeholder
    #[error("placeholder")]
    Placeholder,
}
