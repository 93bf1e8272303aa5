//! The secrets of one generation, in one form.
//!
//! In: a proven identity, the names in force, and whether Envoy's SPIFFE validator is to be used. Out: for a name, the encoded secret and its
//! version. Each is encoded once, when it is first asked for, and shared by all streams. Never merges the bundles of two domains, never
//! gives an empty one: Envoy would take that for no verification at all.
mod encode;
#[cfg(test)]
mod tests;

use super::names::{Asked, asked};
use crate::config::SdsSettings;
use hyper::body::Bytes;
use mtls_identity::{IdentitySnapshot, TrustBundle, TrustDomain};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How peers are to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// By Envoy's SPIFFE validator: each peer with the roots of its own domain.
    Spiffe,
    /// By Envoy's default validator, with the roots of one domain.
    Plain,
}

/// One encoded secret without its name, which differs from stream to stream.
pub(super) struct Secret {
    /// Equal for equal secrets, also after a restart. Made of certificates alone.
    pub(super) version: Arc<str>,
    /// The fields of the message `Secret` after `name`, which all messages share. Wiped when the last is gone, since one may be a key.
    pub(super) body: Bytes,
    pub(super) holds_key: bool,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Why there is no secret for a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    #[error(
        "no such secret; there are `{default}` and {id} (certificate and key), `{root}`, `{all}` and spiffe://TRUST_DOMAIN (trust bundles)"
    )]
    Unknown {
        default: String,
        id: String,
        root: String,
        all: String,
    },
    #[error("the trust domain {trust_domain} is not known here; known are {known}")]
    Domain {
        trust_domain: TrustDomain,
        known: String,
    },
    #[error("the trust domain {trust_domain} has no roots at present: it trusts nobody")]
    NoRoots { trust_domain: TrustDomain },
    #[error(
        "bundles of all trust domains cannot be one trusted_ca, for then each domain could speak for every other; ask for `{root}` or one \
         spiffe://TRUST_DOMAIN, or leave the SPIFFE validator on (api.workload.sds.spiffe_validator, and disable_spiffe_cert_validation in \
         the node's metadata)"
    )]
    Merged { root: String },
}

impl Missing {
    /// No other generation will change it.
    pub(super) fn is_for_good(&self) -> bool {
        matches!(self, Self::Merged { .. })
    }
}

/// So many domains are named to who asks for another.
const NAMED: usize = 5;

/// All secrets of one generation.
pub(super) struct Secrets {
    identity: Arc<IdentitySnapshot>,
    names: Arc<SdsSettings>,
    form: Form,
    /// Of everything: what people compare to see that two Envoys have the same.
    version: Arc<str>,
    own: OnceLock<Arc<Secret>>,
    bundles: BTreeMap<TrustDomain, OnceLock<Arc<Secret>>>,
    all: OnceLock<Arc<Secret>>,
}

impl Secrets {
    pub(super) fn new(identity: Arc<IdentitySnapshot>, names: Arc<SdsSettings>, form: Form) -> Self {
        let bundles = identity
            .bundles()
            .iter()
            .filter(|bundle| !bundle.roots().is_empty())
            .map(|bundle| (bundle.trust_domain().clone(), OnceLock::new()))
            .collect();
        Self {
            version: encode::version_of_all(&identity, form),
            identity,
            names,
            form,
            own: OnceLock::new(),
            bundles,
            all: OnceLock::new(),
        }
    }

    /// Whether they are these. The same identity proven anew is another one here, with the same versions.
    pub(super) fn are_of(&self, identity: &Arc<IdentitySnapshot>, names: &Arc<SdsSettings>) -> bool {
        Arc::ptr_eq(&self.identity, identity) && Arc::ptr_eq(&self.names, names)
    }

    /// What they are of.
    pub(super) fn identity(&self) -> &Arc<IdentitySnapshot> {
        &self.identity
    }

    /// The names and the form of them.
    pub(super) fn kind(&self) -> (Arc<SdsSettings>, Form) {
        (Arc::clone(&self.names), self.form)
    }

    pub(super) fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Each thing once, under the name that is the same on every VM: what a request without names asks for.
    pub(super) fn everything(&self) -> impl Iterator<Item = Arc<str>> {
        let own = Arc::from(self.identity.id().as_str());
        std::iter::once(own).chain(self.bundles.keys().map(|domain| Arc::from(domain.id())))
    }

    pub(super) fn find(&self, name: &str) -> Result<Arc<Secret>, Missing> {
        match asked(&self.names, name) {
            Asked::Own => Ok(self.own()),
            Asked::Id(id) if id == self.identity.id().as_str() => Ok(self.own()),
            Asked::OwnBundle => self.bundle(self.identity.id().trust_domain()),
            Asked::Bundle(domain) => self.bundle(&domain),
            Asked::AllBundles => self.all(),
            Asked::Id(_) | Asked::Nothing => Err(self.unknown()),
        }
    }

    fn own(&self) -> Arc<Secret> {
        let own = self.own.get_or_init(|| Arc::new(encode::own(&self.identity)));
        Arc::clone(own)
    }

    fn bundle(&self, domain: &TrustDomain) -> Result<Arc<Secret>, Missing> {
        let Some(bundle) = self.identity.bundles().get(domain) else {
            return Err(self.no_domain(domain));
        };
        let Some(encoded) = self.bundles.get(domain) else {
            return Err(Missing::NoRoots {
                trust_domain: domain.clone(),
            });
        };
        let encode = || match self.form {
            Form::Spiffe => encode::spiffe(std::iter::once(&**bundle)),
            Form::Plain => encode::plain(bundle),
        };
        Ok(Arc::clone(encoded.get_or_init(|| Arc::new(encode()))))
    }

    fn all(&self) -> Result<Arc<Secret>, Missing> {
        if self.form == Form::Plain {
            return Err(Missing::Merged {
                root: self.names.root.clone(),
            });
        }
        let with_roots = |bundle: &&TrustBundle| !bundle.roots().is_empty();
        let all = self.all.get_or_init(|| {
            let bundles = self.identity.bundles().iter().map(|bundle| &**bundle);
            Arc::new(encode::spiffe(bundles.filter(with_roots)))
        });
        Ok(Arc::clone(all))
    }

    fn unknown(&self) -> Missing {
        Missing::Unknown {
            default: self.names.default.clone(),
            id: self.identity.id().to_string(),
            root: self.names.root.clone(),
            all: self.names.all.clone(),
        }
    }

    fn no_domain(&self, domain: &TrustDomain) -> Missing {
        let mut known: Vec<String> = self.bundles.keys().take(NAMED).map(ToString::to_string).collect();
        let more = self.bundles.len() - known.len();
        if more > 0 {
            known.push(format!("{more} more"));
        }
        Missing::Domain {
            trust_domain: domain.clone(),
            known: known.join(", "),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("version", &self.version)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}
