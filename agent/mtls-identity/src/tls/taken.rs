//! Which roots a change of trust bundles takes away, and whom that may concern. In: the bundles before and after. Out: a cheap look at a peer, by names alone.
//! Never says that a peer is no longer trusted: [`Redecide`](super::Redecide) does.

use crate::bundle::{TrustBundle, TrustBundles};
use crate::certificate;
use crate::peer::Peer;
use crate::spiffe_id::TrustDomain;
use pki_types::CertificateDer;
use std::collections::BTreeMap;

/// The roots that are no longer there after a change.
#[derive(Clone, Debug, Default)]
pub struct RootsTaken {
    /// The subjects of those, by trust domains that have a bundle before and after.
    subjects: BTreeMap<TrustDomain, Vec<Vec<u8>>>,
}

impl RootsTaken {
    /// Compares the bundles before and after a change.
    pub fn between(before: &TrustBundles, after: &TrustBundles) -> Self {
        let both = before
            .iter()
            .filter_map(|old| Some((old, after.get(old.trust_domain())?)));
        let subjects = both.filter_map(|(old, new)| Some((old.trust_domain().clone(), taken(old, new)?)));
        Self {
            subjects: subjects.collect(),
        }
    }

    /// Whether the change may take the trust in a peer away that the bundles before it vouched for. False only where each root that can have vouched for it
    /// is there still: a chain ends at a root whose subject one of its certificates names as its issuer (RFC 5280 section 6.1). The passing of time is
    /// another question.
    pub fn may_concern(&self, peer: &Peer) -> bool {
        let Some(subjects) = self.subjects.get(peer.id().trust_domain()) else {
            return true;
        };
        !subjects.is_empty() && peer.chain().iter().any(|der| names(der, subjects))
    }
}

/// None: a root cannot be read, which no bundle has.
fn taken(old: &TrustBundle, new: &TrustBundle) -> Option<Vec<Vec<u8>>> {
    let gone = old.roots().iter().filter(|root| !new.roots().contains(root));
    let subject = |root: &CertificateDer<'_>| {
        let parsed = certificate::parse(root).ok()?;
        Some(parsed.subject().as_raw().to_vec())
    };
    gone.map(subject).collect()
}

/// What cannot be read may name anybody.
fn names(der: &CertificateDer<'_>, subjects: &[Vec<u8>]) -> bool {
    certificate::parse(der).map_or(true, |parsed| {
        let issuer = parsed.issuer().as_raw();
        subjects.iter().any(|subject| subject == issuer)
    })
}
