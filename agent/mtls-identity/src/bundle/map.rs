//! Trust bundles by trust domain, and the SPIFFE bundle map.

use super::{BundleError, MAX_JSON, TrustBundle, jwk, read_json, too_large};
use crate::certificate::shorten;
use crate::spiffe_id::TrustDomain;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

const WRAPPER: &str = "trust_domains";
/// Compute Engine allows 10.
const MAX_DOMAINS: usize = 1024;

/// Trust bundles by trust domain.
///
/// ```
/// use mtls_identity::{TrustBundles, TrustDomain};
///
/// let bundles = TrustBundles::from_map_json(br#"{"trust_domains": {"example.org": {"keys": []}}}"#)?;
/// let domain = TrustDomain::parse("example.org")?;
/// assert!(bundles.get(&domain).is_some_and(|bundle| bundle.roots().is_empty()));
/// assert!(bundles.get(&TrustDomain::parse("example.com")?).is_none());
///
/// let doubled = br#"{"example.org": {"keys": []}, "example.org": {"keys": []}}"#;
/// assert!(TrustBundles::from_map_json(doubled).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundles(BTreeMap<TrustDomain, Arc<TrustBundle>>);

impl TrustBundles {
    /// One bundle.
    pub fn of(bundle: TrustBundle) -> Self {
        Self(BTreeMap::from([(
            bundle.trust_domain().clone(),
            Arc::new(bundle),
        )]))
    }

    /// From a SPIFFE bundle map: SPIFFE bundles by bare trust domain name, with or without the `trust_domains` wrapper.
    ///
    /// All or nothing: one bundle at fault refuses the map, so that nobody runs on half of what was meant. With the
    /// wrapper, other members beside it are skipped.
    ///
    /// # Errors
    /// [`BundleError`]: as [`TrustBundle::from_spiffe_json`], with the trust domain's name; a key that is no trust
    /// domain name; more than 1024 trust domains.
    pub fn from_map_json(json: &[u8]) -> Result<Self, BundleError> {
        too_large(json, MAX_JSON)?;
        let mut document = read_json(json)?;
        let map = match document.remove(WRAPPER) {
            // A trust domain may be called trust_domains: then this is its bundle, and the map has no wrapper.
            Some(Value::Object(bundle)) if bundle.get("keys").is_some_and(Value::is_array) => {
                document.insert(WRAPPER.into(), Value::Object(bundle));
                document
            }
            Some(Value::Object(map)) => map,
            Some(_) => {
                return Err(BundleError::Member {
                    member: WRAPPER,
                    wanted: "a JSON object",
                });
            }
            None => document,
        };
        if map.len() > MAX_DOMAINS {
            return Err(BundleError::TooManyDomains {
                found: map.len(),
                limit: MAX_DOMAINS,
            });
        }
        let mut all = Self::default();
        for (name, bundle) in map {
            let trust_domain = TrustDomain::parse(&name).map_err(|source| BundleError::TrustDomain {
                found: shorten(&name),
                source,
            })?;
            let at_fault = |source| BundleError::InDomain {
                trust_domain: trust_domain.clone(),
                source: Box::new(source),
            };
            let Value::Object(set) = bundle else {
                let wanted = "a JSON object (a JWK set)";
                return Err(at_fault(BundleError::Member {
                    member: "the whole",
                    wanted,
                }));
            };
            let bundle = jwk::read_set(trust_domain.clone(), set).map_err(at_fault)?;
            all.insert(bundle)?;
        }
        Ok(all)
    }

    /// The bundle map document, with the `trust_domains` wrapper. The same bundles always give the same bytes.
    pub fn to_map_json(&self) -> String {
        let map: Map<String, Value> = self
            .0
            .iter()
            .map(|(name, bundle)| (name.as_str().to_owned(), Value::Object(jwk::write_set(bundle))))
            .collect();
        let document = Map::from_iter([(WRAPPER.to_owned(), Value::Object(map))]);
        format!("{:#}\n", Value::Object(document))
    }

    /// A domain's bundle.
    pub fn get(&self, trust_domain: &TrustDomain) -> Option<&Arc<TrustBundle>> {
        self.0.get(trust_domain)
    }

    /// All bundles, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrustBundle>> {
        self.0.values()
    }

    /// How many trust domains there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a domain's bundle.
    ///
    /// # Errors
    /// [`BundleError::SecondBundle`] when there is one for its domain already: bundles are never merged.
    pub fn insert(&mut self, bundle: TrustBundle) -> Result<(), BundleError> {
        match self.0.entry(bundle.trust_domain().clone()) {
            Entry::Occupied(entry) => Err(BundleError::SecondBundle {
                trust_domain: entry.key().clone(),
            }),
            Entry::Vacant(entry) => {
                entry.insert(Arc::new(bundle));
                Ok(())
            }
        }
    }
}
