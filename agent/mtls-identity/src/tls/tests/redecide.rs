//! A live connection's peer is decided again: what closes it and what does not.

use super::{HERE, MovedClock, Side, bundles, handshake, provider};
use crate::bundle::{TrustBundle, TrustBundles};
use crate::peer::{Peer, PeerPolicy};
use crate::spiffe_id::{SpiffeId, TrustDomain};
use crate::tls::{NoLonger, Redecide, RootsTaken};
use pki_types::CertificateDer;
use rcgen::DnType;
use testkit::pki::{Ca, LeafSpec, Validity, World};

fn policy() -> PeerPolicy {
    PeerPolicy::nobody().allow(TrustDomain::parse(HERE).unwrap())
}

/// The peer of a finished handshake, on each side, valid for an hour.
fn peers(world: &World) -> [Peer; 2] {
    let mut spec = LeafSpec::new("spiffe://here.test/peer");
    spec.validity = Validity { from: -60, to: 3600 };
    let mut side = Side::empty();
    side.adopt(&world.leaf_of(&spec), &[world]);
    let outcome = handshake(&side.client(), &side.server());
    [
        Peer::client_of(&outcome.server).unwrap(),
        Peer::server_of(&outcome.client).unwrap(),
    ]
}

#[test]
fn a_peer_is_decided_by_todays_bundles_policy_and_time() {
    let (here, other) = (World::new(HERE), World::new("other.test"));
    let renewed = World::new(HERE);
    let id = SpiffeId::parse("spiffe://here.test/peer").unwrap();
    let trusted = bundles(&[&here, &other]);
    let without_domain = bundles(&[&other]);
    let other_root = bundles(&[&renewed, &other]);
    let denied = policy().deny(id);
    // bundles, policy, seconds passed, close_expired, result
    let table = [
        (&trusted, policy(), 0, false, "holds"),
        (&trusted, policy(), 0, true, "holds"),
        (&without_domain, policy(), 0, false, "no_longer_trusted"),
        (&other_root, policy(), 0, true, "no_longer_trusted"),
        (&trusted, PeerPolicy::nobody(), 0, false, "no_longer_allowed"),
        (&trusted, denied.clone(), 0, true, "no_longer_allowed"),
        (&trusted, policy(), 7200, false, "holds"),
        (&trusted, policy(), 7200, true, "expired"),
        (&without_domain, policy(), 7200, false, "no_longer_trusted"),
        (&without_domain, policy(), 7200, true, "no_longer_trusted"),
        (&other_root, policy(), 7200, false, "no_longer_trusted"),
        (&trusted, denied.clone(), 7200, false, "no_longer_allowed"),
        // The clock was set back to before the peer's certificate.
        (&trusted, policy(), -7200, false, "holds"),
        (&trusted, policy(), -7200, true, "holds"),
        (&other_root, policy(), -7200, false, "no_longer_trusted"),
        (&without_domain, policy(), -7200, true, "no_longer_trusted"),
        (&trusted, denied, -7200, true, "no_longer_allowed"),
    ];
    let clock = MovedClock::default();
    let start = clock.now();
    for peer in peers(&here) {
        for (row, (bundles, policy, passed, close_expired, wanted)) in table.iter().enumerate() {
            let now = pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(
                start.as_secs().saturating_add_signed(*passed),
            ));
            let redecide = Redecide::new(&provider()).closing_expired(*close_expired);
            let result = redecide.peer(&peer, bundles, policy, now);
            let got = result.as_ref().map_or_else(NoLonger::reason, |()| "holds");
            assert_eq!(got, *wanted, "row {row}, {:?}: {result:?}", peer.role());
        }
    }
}

#[test]
fn the_reason_names_the_peer_and_the_cause() {
    let here = World::new(HERE);
    let [peer, _] = peers(&here);
    let now = MovedClock::default().now();
    let no_longer = Redecide::new(&provider())
        .peer(&peer, &bundles(&[&World::new(HERE)]), &policy(), now)
        .unwrap_err();
    assert!(
        no_longer.to_string().contains("spiffe://here.test/peer"),
        "{no_longer}"
    );
    assert!(std::error::Error::source(&no_longer).is_some());
}

#[test]
fn a_change_may_concern_those_whose_root_it_takes_and_no_others() {
    let (here, renewed, other) = (World::new(HERE), World::new(HERE), World::new("other.test"));
    let validity = Validity { from: -60, to: 3600 };
    let unrelated = Ca::root_with(HERE, validity, |params| {
        params.distinguished_name.push(DnType::CommonName, "unrelated");
    });
    let roots = |ders: &[&[u8]]| {
        let ders = ders
            .iter()
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect();
        TrustBundles::of(TrustBundle::from_roots(TrustDomain::parse(HERE).unwrap(), ders).unwrap())
    };
    let (own, new, far) = (here.root_der(), renewed.root_der(), &*unrelated.cert_der);
    let nothing = TrustBundles::default();
    // before, after, whether it may concern a peer of `here`
    let table = [
        (roots(&[own]), roots(&[own]), false),
        (roots(&[own]), roots(&[new, own]), false),
        (roots(&[own, far]), roots(&[own]), false),
        (roots(&[own, far]), roots(&[far]), true),
        (roots(&[own]), roots(&[new]), true),
        // By its name alone it may have been either.
        (roots(&[own, new]), roots(&[own]), true),
        (roots(&[own]), bundles(&[&other]), true),
        (roots(&[own]), nothing.clone(), true),
        (nothing, roots(&[own]), true),
    ];
    for peer in peers(&here) {
        for (row, (before, after, wanted)) in table.iter().enumerate() {
            let taken = RootsTaken::between(before, after);
            assert_eq!(taken.may_concern(&peer), *wanted, "row {row}");
        }
    }
}
