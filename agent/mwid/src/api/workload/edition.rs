//! One generation, written once for all who get it.
//!
//! In: a proven identity. Out: the messages of the Workload API, each encoded once and shared by all its subscribers. What holds the key is wiped
//! when the last of them has sent it. Never merges the bundles of two trust domains.
use crate::grpc::Frame;
use crate::proto::workload::{JwtBundlesResponse, X509BundlesResponse, X509svid, X509svidResponse};
use mtls_identity::{IdentitySnapshot, TrustBundle};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroize as _;

/// A message that all subscribers of one method get.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) frame: Frame,
    /// The first generation that it is of: who has it is told nothing new by a later one with the same page.
    pub(super) since: u64,
}

/// The messages of one generation.
#[derive(Debug)]
pub(super) struct Edition {
    pub(super) identity: Arc<IdentitySnapshot>,
    pub(super) x509_svid: Page,
    pub(super) x509_bundles: Page,
    pub(super) jwt_bundles: Page,
    /// When the hub saw that the store was switched to it.
    switched_at: Instant,
    progress: Progress,
}

/// How far it has come to those who had an earlier one.
#[derive(Debug, Default)]
struct Progress {
    subscribers: AtomicU64,
    slowest_micros: AtomicU64,
}

impl Edition {
    /// Writes what differs from the edition before; the rest is its pages.
    pub(super) fn new(identity: Arc<IdentitySnapshot>, before: Option<&Self>, switched_at: Instant) -> Self {
        let since = identity.generation();
        let page = |frame: Frame, before: Option<&Page>| match before {
            Some(before) if before.frame == frame => before.clone(),
            _ => Page { frame, since },
        };
        Self {
            x509_svid: page(x509_svid(&identity), before.map(|before| &before.x509_svid)),
            x509_bundles: page(x509_bundles(&identity), before.map(|before| &before.x509_bundles)),
            jwt_bundles: page(jwt_bundles(&identity), before.map(|before| &before.jwt_bundles)),
            identity,
            switched_at,
            progress: Progress::default(),
        }
    }

    /// The same generation with other times: a later proof held for longer.
    pub(super) fn retimed(&self, identity: Arc<IdentitySnapshot>) -> Self {
        Self {
            identity,
            x509_svid: self.x509_svid.clone(),
            x509_bundles: self.x509_bundles.clone(),
            jwt_bundles: self.jwt_bundles.clone(),
            switched_at: self.switched_at,
            progress: Progress {
                subscribers: AtomicU64::new(self.subscribers()),
                slowest_micros: AtomicU64::new(self.progress.slowest_micros.load(Ordering::Relaxed)),
            },
        }
    }

    /// The size of the largest message.
    pub(super) fn largest(&self) -> usize {
        let pages = [&self.x509_svid, &self.x509_bundles, &self.jwt_bundles];
        pages.map(|page| page.frame.len()).into_iter().max().unwrap_or(0)
    }

    /// Called when the message of one who had an earlier one is about to be sent; tells how long after the switch that is.
    pub(super) fn reached_one(&self) -> Duration {
        let took = self.switched_at.elapsed();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.progress.subscribers.fetch_add(1, Ordering::Relaxed);
        self.progress.slowest_micros.fetch_max(micros, Ordering::Relaxed);
        took
    }

    /// How many were reached who had an earlier one.
    pub(super) fn subscribers(&self) -> u64 {
        self.progress.subscribers.load(Ordering::Relaxed)
    }

    /// How long after the switch the last of them was.
    pub(super) fn slowest(&self) -> Duration {
        Duration::from_micros(self.progress.slowest_micros.load(Ordering::Relaxed))
    }
}

fn x509_svid(identity: &IdentitySnapshot) -> Frame {
    let own = identity.id().trust_domain();
    let own_bundle = identity.bundles().get(own);
    let mut message = X509svidResponse {
        svids: vec![X509svid {
            spiffe_id: identity.id().as_str().to_owned(),
            x509_svid: identity.chain().concat_der(),
            x509_svid_key: identity.private_key_pkcs8().to_vec(),
            bundle: own_bundle.map_or_else(Vec::new, |bundle| bundle.roots().concat_der()),
            // There is one identity: nothing to tell it from.
            hint: String::new(),
        }],
        crl: vec![],
        federated_bundles: bundles(identity, |bundle| bundle.trust_domain() != own),
    };
    let frame = Frame::secret(&message);
    for svid in &mut message.svids {
        svid.x509_svid_key.zeroize();
    }
    frame
}

fn x509_bundles(identity: &IdentitySnapshot) -> Frame {
    Frame::of(&X509BundlesResponse {
        crl: vec![],
        bundles: bundles(identity, |_| true),
    })
}

/// JWK sets by SPIFFE ID of the trust domain. Our own is always there, as section 6.2.2 of the Workload API wants it: without JWT keys it is an empty
/// set, which says that the domain has no JWT-SVIDs (JWT-SVID section 6.2). An error instead would keep clients waiting that ask for X.509 and JWT
/// bundles together. Other domains are there if they have keys.
fn jwt_bundles(identity: &IdentitySnapshot) -> Frame {
    let own = identity.id().trust_domain();
    let all = identity.bundles().iter();
    let shown = all.filter(|bundle| bundle.trust_domain() == own || !bundle.jwt_keys().is_empty());
    let set = |bundle: &Arc<TrustBundle>| (bundle.trust_domain().id(), bundle.to_jwks_json().into_bytes());
    Frame::of(&JwtBundlesResponse {
        bundles: shown.map(set).collect(),
    })
}

/// By SPIFFE ID of the trust domain. A domain that trusts nobody is left out, which takes back what clients had of it: some of them refuse a whole
/// message for one empty bundle in it.
fn bundles(identity: &IdentitySnapshot, wanted: impl Fn(&TrustBundle) -> bool) -> BTreeMap<String, Vec<u8>> {
    let all = identity.bundles().iter();
    all.filter(|bundle| !bundle.roots().is_empty() && wanted(bundle))
        .map(|bundle| {
            let id = format!("spiffe://{}", bundle.trust_domain().as_str());
            (id, bundle.roots().concat_der())
        })
        .collect()
}

/// Certificates one after another, as the standard has chains and bundles.
trait ConcatDer {
    fn concat_der(&self) -> Vec<u8>;
}

impl ConcatDer for [pki_types::CertificateDer<'static>] {
    fn concat_der(&self) -> Vec<u8> {
        self.iter().flat_map(AsRef::as_ref).copied().collect()
    }
}
