//! Each fault in a peer's certificate is refused, by its name and with a fitting alert, on TLS 1.3 and 1.2.

use super::strangers::{self, BOTH};
use super::{HERE, Outcome, Side, handshake};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa};
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

/// Certificates that no side may accept. `there` is a domain that is trusted, for its own names.
fn faults(here: &World, there: &World) -> Vec<Fault> {
    let impostor = World::new(HERE);
    let stranger = World::new("stranger.test");
    let unnamed = |spec: &mut LeafSpec| spec.uris.clear();
    let mut without_intermediate = leaf(here, |_| {});
    without_intermediate
        .chain_pem
        .clone_from(&without_intermediate.leaf_pem);
    let mut wrong_intermediate = leaf(here, |_| {});
    wrong_intermediate.chain_pem = format!(
        "{}{}",
        wrong_intermediate.leaf_pem, stranger.intermediate.cert_pem
    );
    vec![
        fault(
            "root of the same name, other key",
            leaf(&impostor, |_| {}),
            "bad_signature",
            "DecryptError",
        ),
        fault(
            "root of another trusted domain",
            leaf(there, |_| {}),
            "unknown_issuer",
            "UnknownCA",
        ),
        fault(
            "root of a domain nobody knows",
            leaf(&stranger, |_| {}),
            "unknown_issuer",
            "UnknownCA",
        ),
        fault(
            "our root, but a name of another trusted domain",
            leaf(here, |spec| spec.uris = vec!["spiffe://there.test/peer".into()]),
            "unknown_issuer",
            "UnknownCA",
        ),
        fault(
            "our root, but a name of a domain without a bundle",
            leaf(here, |spec| {
                spec.uris = vec!["spiffe://stranger.test/peer".into()]
            }),
            "unknown_trust_domain",
            "CertificateUnknown",
        ),
        fault(
            "intermediate not sent",
            without_intermediate,
            "unknown_issuer",
            "UnknownCA",
        ),
        fault(
            "intermediate of others",
            wrong_intermediate,
            "unknown_issuer",
            "UnknownCA",
        ),
        fault(
            "two URI SANs",
            leaf(here, |spec| spec.uris.push("spiffe://here.test/other".into())),
            "not_an_svid",
            "CertificateUnknown",
        ),
        fault(
            "DNS name only",
            leaf(here, |spec| {
                unnamed(spec);
                spec.dns = vec!["peer.here.test".into()];
            }),
            "not_an_svid",
            "CertificateUnknown",
        ),
        fault(
            "a URI that is no SPIFFE ID",
            leaf(here, |spec| spec.uris = vec!["https://here.test/peer".into()]),
            "not_an_svid",
            "CertificateUnknown",
        ),
        fault(
            "a trust domain's own ID, without a path",
            leaf(here, |spec| spec.uris = vec!["spiffe://here.test".into()]),
            "not_an_svid",
            "CertificateUnknown",
        ),
        fault(
            "a CA as leaf",
            leaf(here, |spec| {
                spec.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
            }),
            "not_an_svid",
            "CertificateUnknown",
        ),
        fault(
            "expired",
            leaf(here, |spec| {
                spec.validity = Validity {
                    from: -7200,
                    to: -3600,
                }
            }),
            "expired",
            "CertificateExpired",
        ),
        fault(
            "not yet valid",
            leaf(here, |spec| spec.validity = Validity { from: 3600, to: 7200 }),
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
    for Fault {
        name,
        leaf,
        reason,
        alert,
    } in faults(&here, &there)
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
