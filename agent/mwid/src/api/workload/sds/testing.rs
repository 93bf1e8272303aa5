//! What the tests stand on: identities of one trust domain that knows another.
use super::secrets::{Form, Secrets};
use mtls_identity::candidate::CandidateBundles;
use mtls_identity::{Candidate, IdentitySnapshot, Prover, TrustBundle, TrustBundles, TrustDomain, UnixTime};
use pki_types::CertificateDer;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use std::sync::Arc;
use testkit::pki::{self, Leaf};

pub(super) const OWN: &str = "spiffe://example.org/ns/shop/sa/payments";

/// A trust domain and the root of another.
pub(super) struct World {
    own: pki::World,
    other: pki::Ca,
    prover: Prover,
}

/// An identity, and what it was proven from.
pub(super) struct Issued {
    pub(super) identity: Arc<IdentitySnapshot>,
    leaf: Leaf,
    bundles: TrustBundles,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            own: pki::World::new("example.org"),
            other: pki::Ca::root("other.example"),
            prover: Prover::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider())),
        }
    }

    /// A new leaf with the bundles of both domains.
    pub(super) fn payments(&self) -> Issued {
        self.issue(&[
            (&self.own.root.trust_domain, &self.own.root.cert_der),
            self.others(),
        ])
    }

    /// A new leaf with the own domain's bundle alone.
    pub(super) fn alone(&self) -> Issued {
        self.issue(&[(&self.own.root.trust_domain, &self.own.root.cert_der)])
    }

    /// A new leaf with the bundles of both domains, and one of a third that trusts nobody.
    pub(super) fn with_empty(&self, third: &str) -> Issued {
        let own = (&*self.own.root.trust_domain, &*self.own.root.cert_der);
        self.issue(&[own, self.others(), (third, &[])])
    }

    fn others(&self) -> (&str, &[u8]) {
        (&self.other.trust_domain, &self.other.cert_der)
    }

    fn issue(&self, roots: &[(&str, &[u8])]) -> Issued {
        let mut bundles = TrustBundles::default();
        for (domain, root) in roots {
            let roots = Some(*root).filter(|root| !root.is_empty());
            let roots = roots.map(|root| CertificateDer::from(root.to_vec()));
            let domain = TrustDomain::parse(domain).unwrap();
            let bundle = TrustBundle::from_roots(domain, roots.into_iter().collect()).unwrap();
            bundles.insert(bundle).unwrap();
        }
        let leaf = self.own.leaf("/ns/shop/sa/payments");
        let identity = self.prove(&leaf, &bundles);
        Issued {
            identity,
            leaf,
            bundles,
        }
    }

    fn prove(&self, leaf: &Leaf, bundles: &TrustBundles) -> Arc<IdentitySnapshot> {
        let candidate = Candidate {
            certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
            private_key_pem: leaf.key_pem.clone().into_bytes().into(),
            bundles: CandidateBundles::Parsed(bundles.clone()),
        };
        Arc::new(self.prover.prove(&candidate, now()).unwrap())
    }

    /// Another snapshot of the same identity, as after a restart.
    pub(super) fn again(&self, issued: &Issued) -> Arc<IdentitySnapshot> {
        self.prove(&issued.leaf, &issued.bundles)
    }
}

pub(super) fn now() -> UnixTime {
    DefaultTimeProvider.current_time().unwrap()
}

impl Issued {
    pub(super) fn secrets(&self, form: Form) -> Secrets {
        Secrets::new(Arc::clone(&self.identity), Arc::default(), form)
    }
}
