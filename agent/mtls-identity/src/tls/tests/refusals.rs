//! Each fault in a peer's certificate is refused, by its name and with a fitting alert, on TLS 1.3 and 1.2.

use super::strangers::{self, BOTH};
use super::{HERE, Outcome, Side, handshake};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use testkit::pki::{Leaf, LeafSpec, Validity, World};

const TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];

struct Fault {
    name: &'static str,
    leaf: Leaf,
    reason: &'static str,
    alert: &'static str,
}

fn fault(name: &'static str, leaf: Leaf, reason: &'static str, alert: &'static str) -> Fault {
    Fault {
        name,
        leaf,
        reason,
        alert,
    }
}

fn leaf(world: &World, change: impl FnOnce(&mut LeafSpec)) -> Leaf {
    let mut spec = LeafSpec::new("spiffe://here.test/peer");
    change(&mut spec);
    world.leaf_of(&spec)
}

/// Chains that do not reach a root of the trust domain in their name. `there` is a domain that is trusted, for its own names.
fn untrusted(here: &World, there: &World) -> Vec<Fault> {
    let impostor = World::new(HERE);
    let stranger = World::new("stranger.test");
    let named = |id: &str| leaf(here, |spec| spec.uris = vec![id.to_owned()]);
    let with_chain = |others: &str| {
        let mut leaf = leaf(here, |_| {});
        leaf.chain_pem = format!("{}{others}", leaf.leaf_pem);
        leaf
    };
    let unknown = |name, leaf| fault(name, leaf, "unknown_issuer", "UnknownCA");
    vec![
        fault(
            "root of the same name, other key",
            leaf(&impostor, |_| {}),
            "bad_signature",
            "DecryptError",
        ),
        unknown("root of another trusted domain", leaf(there, |_| {})),
        unknown("root of a domain nobody knows", leaf(&stranger, |_| {})),
        unknown(
            "our root, but a name of another trusted domain",
            named("spiffe://there.test/peer"),
        ),
        unknown("intermediate not sent", with_chain("")),
        unknown(
            "intermediate of others",
            with_chain(&stranger.intermediate.cert_pem),
        ),
        fault(
            "our root, but a name of a domain without a bundle",
            named("spiffe://stranger.test/peer"),
            "unknown_trust_domain",
            "CertificateUnknown",
        ),
    ]
}

/// Leaves of the right root that are no X.509-SVID of a workload.
fn not_svids(here: &World) -> Vec<Fault> {
    let named = |ids: &[&str]| {
        leaf(here, |spec| {
            spec.uris = ids.iter().map(|&id| id.to_owned()).collect();
        })
    };
    let dns_only = leaf(here, |spec| {
        spec.uris.clear();
        spec.dns = vec!["peer.here.test".to_owned()];
    });
    let ca = leaf(here, |spec| {
        spec.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let no_svid = |name, leaf| fault(name, leaf, "not_an_svid", "CertificateUnknown");
    vec![
        no_svid(
            "two URI SANs",
            named(&["spiffe://here.test/peer", "spiffe://here.test/other"]),
        ),
        no_svid("DNS name only", dns_only),
        no_svid("a URI that is no SPIFFE ID", named(&["https://here.test/peer"])),
        no_svid(
            "a trust domain's own ID, without a path",
            named(&["spiffe://here.test"]),
        ),
        no_svid("a CA as leaf", ca),
    ]
}

fn not_now(here: &World) -> Vec<Fault> {
    let valid = |from, to| leaf(here, |spec| spec.validity = Validity { from, to });
    vec![
        fault("expired", valid(-7200, -3600), "expired", "CertificateExpired"),
        fault(
            "not yet valid",
            valid(3600, 7200),
            "not_yet_valid",
            "CertificateExpired",
        ),
    ]
}

/// A stranger client with `peer` at our server.
fn at_our_server(
    ours: &Side,
    peer: &Leaf,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Outcome {
    handshake(&strangers::client(Some(peer), versions), &ours.server())
}

/// Our client at a stranger server with `peer`.
fn at_our_client(
    ours: &Side,
    peer: &Leaf,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Outcome {
    handshake(&ours.client(), &strangers::server(peer, versions))
}

#[test]
fn every_fault_is_refused_by_both_sides_with_its_reason_and_alert() {
    let (here, there) = (World::new(HERE), World::new("there.test"));
    let ours = Side::new(&here, "/ours", &[&here, &there]).with_tls12(true);
    // Without a fault these strangers pass, so that each refusal below is the fault's.
    at_our_server(&ours, &leaf(&here, |_| {}), BOTH).works();
    at_our_client(&ours, &leaf(&here, |_| {}), BOTH).works();
    let faults = untrusted(&here, &there)
        .into_iter()
        .chain(not_svids(&here))
        .chain(not_now(&here));
    for Fault {
        name,
        leaf,
        reason,
        alert,
    } in faults
    {
        for versions in [BOTH, TLS12] {
            let refused = at_our_server(&ours, &leaf, versions);
            assert_eq!(
                refused.server_refused(),
                (reason, alert.to_owned()),
                "server, {name}"
            );
            let refused = at_our_client(&ours, &leaf, versions);
            assert_eq!(
                refused.client_refused(),
                (reason, alert.to_owned()),
                "client, {name}"
            );
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let here = World::new(HERE);
    let ours = Side::new(&here, "/ours", &[&here]).with_tls12(true);
    for versions in [BOTH, TLS12] {
        let refused = handshake(&strangers::client(None, versions), &ours.server());
        assert_eq!(
            refused.server_refused(),
            ("no_certificate", "CertificateRequired".to_owned())
        );
    }
}

/// X509-SVID section 4.4: the extension is optional, but half of it is not allowed.
#[test]
fn an_extended_key_usage_must_allow_both_sides() {
    let here = World::new(HERE);
    let ours = Side::new(&here, "/ours", &[&here]);
    for half in [
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ] {
        let peer = leaf(&here, |spec| spec.ekus = vec![half]);
        let wrong = ("wrong_usage", "UnsupportedCertificate".to_owned());
        assert_eq!(at_our_client(&ours, &peer, BOTH).client_refused(), wrong);
        assert_eq!(at_our_server(&ours, &peer, BOTH).server_refused(), wrong);
    }
    let none = leaf(&here, |spec| spec.ekus = vec![]);
    at_our_server(&ours, &none, BOTH).works();
    at_our_client(&ours, &none, BOTH).works();
}

/// The leaf's own usage always allows both sides; its issuer's may not, and then counts for the side that the peer is on.
#[test]
fn an_issuer_that_is_for_one_side_only_vouches_for_no_other() {
    let mut here = World::new(HERE);
    let long = Validity {
        from: -3600,
        to: 24 * 3600,
    };
    let ours = Side::new(&here, "/ours", &[&here]);
    here.intermediate = here.root.intermediate_with(long, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let peer = leaf(&here, |_| {});
    at_our_server(&ours, &peer, BOTH).works();
    assert_eq!(
        at_our_client(&ours, &peer, BOTH).client_refused().0,
        "bad_certificate"
    );
    here.intermediate = here.root.intermediate_with(long, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let peer = leaf(&here, |_| {});
    at_our_client(&ours, &peer, BOTH).works();
    assert_eq!(
        at_our_server(&ours, &peer, BOTH).server_refused().0,
        "bad_certificate"
    );
}

/// An issuer's key usage may be absent, but if it is there it must allow to sign certificates.
#[test]
fn an_issuer_whose_key_usage_lacks_key_cert_sign_vouches_for_nobody() {
    let mut here = World::new(HERE);
    let ours = Side::new(&here, "/ours", &[&here]);
    let long = Validity {
        from: -3600,
        to: 24 * 3600,
    };
    let mut issued_with = |usages: &[KeyUsagePurpose]| {
        here.intermediate = here
            .root
            .intermediate_with(long, |params| params.key_usages = usages.to_vec());
        leaf(&here, |_| {})
    };
    let peer = issued_with(&[KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature]);
    let wrong = ("bad_certificate", "CertificateUnknown".to_owned());
    assert_eq!(at_our_server(&ours, &peer, BOTH).server_refused(), wrong);
    assert_eq!(at_our_client(&ours, &peer, BOTH).client_refused(), wrong);
    let peer = issued_with(&[]);
    at_our_server(&ours, &peer, BOTH).works();
    at_our_client(&ours, &peer, BOTH).works();
}

#[test]
fn a_peers_chain_has_a_bounded_length() {
    let here = World::new(HERE);
    let ours = Side::new(&here, "/ours", &[&here]);
    let of_length = |certificates: usize| {
        let mut leaf = leaf(&here, |_| {});
        leaf.chain_pem += &here.intermediate.cert_pem.repeat(certificates - 2);
        leaf
    };
    let longest = of_length(crate::check::MAX_CHAIN);
    at_our_server(&ours, &longest, BOTH).works();
    at_our_client(&ours, &longest, BOTH).works();
    let longer = of_length(crate::check::MAX_CHAIN + 1);
    let wrong = ("chain_too_long", "CertificateUnknown".to_owned());
    assert_eq!(at_our_server(&ours, &longer, BOTH).server_refused(), wrong);
    assert_eq!(at_our_client(&ours, &longer, BOTH).client_refused(), wrong);
}

#[test]
fn validity_is_judged_by_the_clock_that_was_passed_in() {
    let here = World::new(HERE);
    let ours = Side::new(&here, "/ours", &[&here]);
    let soon = leaf(&here, |spec| spec.validity = Validity { from: 600, to: 1200 });
    assert_eq!(
        at_our_server(&ours, &soon, BOTH).server_refused().0,
        "not_yet_valid"
    );
    ours.clock.forward(900);
    at_our_server(&ours, &soon, BOTH).works();
    at_our_client(&ours, &soon, BOTH).works();
    ours.clock.forward(600);
    assert_eq!(at_our_server(&ours, &soon, BOTH).server_refused().0, "expired");
    assert_eq!(at_our_client(&ours, &soon, BOTH).client_refused().0, "expired");
}

#[test]
fn a_stolen_certificate_without_its_key_is_refused() {
    let here = World::new(HERE);
    let ours = Side::new(&here, "/ours", &[&here]).with_tls12(true);
    // The thief has the certificate, but signs with a key of his own.
    let thief = strangers::Thief {
        shown: here.leaf("/victim"),
        key: here.leaf("/thief"),
    };
    for versions in [BOTH, TLS12] {
        let refused = handshake(&thief.client(versions), &ours.server());
        assert_eq!(
            refused.server_refused(),
            ("bad_signature", "DecryptError".to_owned())
        );
        let refused = handshake(&ours.client(), &thief.server(versions));
        assert_eq!(
            refused.client_refused(),
            ("bad_signature", "DecryptError".to_owned())
        );
    }
}
