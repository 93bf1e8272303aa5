//! What the model has for its callers at one time: a generation.
use super::flaw::Flaw;
use super::pki::{Authority, DOMAIN, FOREIGN, Leaf, Maker};
use super::tokens::TokenKey;
use crate::messages::workload::{X509BundlesResponse, X509Svid, X509SvidResponse};
use crate::reading::id::Parts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What lives longer than a generation.
pub(super) struct Authorities {
    pub(super) root: Authority,
    pub(super) foreign: Authority,
    /// Of the same name as the root, with another key.
    pub(super) stranger: Authority,
    intermediate: Authority,
    odd_root: Vec<u8>,
    crl: Vec<u8>,
    pub(super) signer: TokenKey,
    pub(super) spare: TokenKey,
    pub(super) wit: TokenKey,
}

/// One identity.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) id: String,
    pub(super) leaf: Leaf,
    pub(super) hint: &'static str,
}

/// A generation.
pub(super) struct World {
    pub(super) generation: u64,
    pub(super) flaw: Flaw,
    pub(super) now: Duration,
    pub(super) authorities: Arc<Authorities>,
    /// The default one first.
    pub(super) identities: [Identity; 2],
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World {}", self.generation)
    }
}

/// The ID of the first identity.
fn first_id(flaw: Flaw) -> String {
    let long = "a".repeat(2100);
    for (check, id) in [
        ("id.scheme", "https://model.test/workload"),
        ("id.trust-domain", "spiffe:///workload"),
        ("id.no-query", "spiffe://model.test/workload?x=1"),
        ("id.only-host", "spiffe://user@model.test:8443/workload"),
        ("id.lower-case", "spiffe://Model.test/workload"),
        ("id.host-letters", "spiffe://model!test/workload"),
        ("id.host-percent", "spiffe://model%2dtest/workload"),
        ("id.path-percent", "spiffe://model.test/work%6Coad"),
        ("id.path-empty-segment", "spiffe://model.test/work//load"),
        ("id.path-relative", "spiffe://model.test/../workload"),
        ("id.path-slash", "spiffe://model.test/workload/"),
        ("id.path-letters", "spiffe://model.test/work!load"),
        ("leaf.path", "spiffe://model.test"),
    ] {
        if flaw.is(check) {
            return id.to_owned();
        }
    }
    if flaw.is("id.length") {
        return format!("spiffe://{DOMAIN}/{long}");
    }
    if flaw.is("id.host-length") {
        return format!("spiffe://{}/workload", &long[..256]);
    }
    format!("spiffe://{DOMAIN}/workload")
}

fn pem(der: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
}

/// PEM of several.
pub(super) fn pems(ders: &[&[u8]]) -> Vec<u8> {
    ders.iter().flat_map(|der| pem(der)).collect()
}

impl World {
    pub(super) fn new(flaw: Flaw, now: Duration) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let maker = Maker { flaw, now };
        let root = maker.root(DOMAIN)?;
        let authorities = Authorities {
            foreign: maker.root(FOREIGN)?,
            stranger: maker.root(DOMAIN)?,
            intermediate: maker.intermediate(&root)?,
            odd_root: maker.odd_root(&root)?,
            crl: maker.crl(&root)?,
            signer: TokenKey::new("signer")?,
            spare: TokenKey::new(flaw.or("jwks.key-id-unique", "spare", "signer"))?,
            wit: TokenKey::new("wit")?,
            root,
        };
        Self::generation(flaw, now, Arc::new(authorities), 0)
    }

    fn generation(
        flaw: Flaw,
        now: Duration,
        authorities: Arc<Authorities>,
        generation: u64,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let maker = Maker { flaw, now };
        let by = &authorities.intermediate;
        let second = format!("spiffe://{DOMAIN}/second");
        let first = first_id(flaw);
        let identities = [
            Identity {
                leaf: maker.leaf(by, &first, true)?,
                id: first,
                hint: "internal",
            },
            Identity {
                leaf: maker.leaf(by, &second, false)?,
                id: second,
                hint: "external",
            },
        ];
        Ok(Self {
            generation,
            flaw,
            now,
            authorities,
            identities,
        })
    }

    pub(super) fn next(&self) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Self::generation(self.flaw, self.now, self.authorities.clone(), self.generation + 1)
    }

    /// A flaw of the first generation, so that updates are good.
    fn at_first(&self, check: &str) -> bool {
        self.generation == 0 && self.flaw.is(check)
    }

    /// A flaw of updates, so that what comes first is good.
    pub(super) fn later(&self, check: &str) -> bool {
        self.generation > 0 && self.flaw.is(check)
    }

    /// The chain of an identity, DER.
    pub(super) fn chain(&self, identity: &Identity) -> [Vec<u8>; 2] {
        [
            identity.leaf.der.clone(),
            self.authorities.intermediate.der.clone(),
        ]
    }

    /// Whether a name is the trust domain of one of the identities, as an ID.
    pub(super) fn is_domain(&self, name: &str) -> bool {
        self.identities
            .iter()
            .any(|identity| name == format!("spiffe://{}", Parts::of(&identity.id).trust_domain()))
    }

    /// The message of FetchX509SVID.
    pub(super) fn x509(&self) -> X509SvidResponse {
        let flaw = self.flaw;
        let mut svids: Vec<X509Svid> = self.identities.iter().map(|i| self.svid(i)).collect();
        self.break_first(&mut svids[0]);
        if flaw.is("x509.hint-unique") {
            svids[1].hint = svids[0].hint.clone();
        }
        if flaw.is("x509.svids") {
            svids.clear();
        }
        if self.later("rotation.full-set") {
            svids.truncate(1);
        }
        let foreign = &self.authorities.foreign.der;
        let name = flaw.or("x509.federated-keys", "spiffe://other.test", "other.test");
        let bundle = if flaw.is("x509.federated-der") {
            pem(foreign)
        } else {
            foreign.clone()
        };
        let mut federated_bundles = BTreeMap::from([(name.to_owned(), bundle)]);
        if flaw.is("x509.federated-foreign") {
            let own = self.authorities.root.der.clone();
            federated_bundles.insert("spiffe://model.test".to_owned(), own);
        }
        X509SvidResponse {
            svids,
            crl: self.crls("x509.crl"),
            federated_bundles,
        }
    }

    fn crls(&self, check: &str) -> Vec<Vec<u8>> {
        vec![if self.flaw.is(check) {
            b"nothing of the kind".to_vec()
        } else {
            self.authorities.crl.clone()
        }]
    }

    fn svid(&self, identity: &Identity) -> X509Svid {
        X509Svid {
            spiffe_id: identity.id.clone(),
            x509_svid: self.chain(identity).concat(),
            x509_svid_key: identity.leaf.key_pkcs8.clone(),
            bundle: self.authorities.odd_root.clone(),
            hint: identity.hint.to_owned(),
        }
    }

    fn break_first(&self, svid: &mut X509Svid) {
        let flaw = self.flaw;
        let [leaf, above] = self.chain(&self.identities[0]);
        if flaw.is("x509.spiffe-id") {
            svid.spiffe_id.clear();
        }
        if flaw.is("x509.id-of-leaf") {
            "spiffe://model.test/somebody-else".clone_into(&mut svid.spiffe_id);
        }
        if flaw.is("x509.chain") {
            svid.x509_svid.clear();
        }
        if flaw.is("x509.chain-der") {
            svid.x509_svid = pems(&[&leaf, &above]);
        }
        if flaw.is("x509.leaf-first") {
            svid.x509_svid = [above, leaf].concat();
        }
        if flaw.is("x509.key") {
            svid.x509_svid_key.clear();
        }
        if flaw.is("x509.key-pkcs8") {
            svid.x509_svid_key.clone_from(&self.identities[0].leaf.key_sec1);
        }
        if self.at_first("x509.key-of-leaf") || self.later("rotation.pair") {
            svid.x509_svid_key.clone_from(&self.identities[1].leaf.key_pkcs8);
        }
        if flaw.is("x509.bundle") {
            svid.bundle.clear();
        }
        if flaw.is("x509.bundle-der") {
            svid.bundle = pem(&self.authorities.root.der);
        }
        if self.at_first("x509.path") || self.later("rotation.path") {
            svid.bundle.clone_from(&self.authorities.stranger.der);
        }
        if flaw.is("x509.hint-length") {
            svid.hint = "h".repeat(1025);
        }
    }

    /// The message of FetchX509Bundles.
    pub(super) fn bundles(&self) -> X509BundlesResponse {
        let flaw = self.flaw;
        let own = &self.authorities.root.der;
        let bundle = if flaw.is("bundles.der") {
            pem(own)
        } else if flaw.is("bundles.ca") {
            [own.as_slice(), &self.identities[1].leaf.der].concat()
        } else {
            own.clone()
        };
        let name = flaw.or("bundles.keys", "spiffe://model.test", "model.test");
        let foreign = self.authorities.foreign.der.clone();
        let mut bundles = BTreeMap::from([("spiffe://other.test".to_owned(), foreign)]);
        if !flaw.is("bundles.own") {
            bundles.insert(name.to_owned(), bundle);
        }
        if flaw.is("bundles.there") {
            bundles.clear();
        }
        X509BundlesResponse {
            crl: self.crls("bundles.crl"),
            bundles,
        }
    }
}
