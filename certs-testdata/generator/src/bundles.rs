//! Trust bundles with one fault each; chain and key are good.
use crate::kit::{ANY_TIME, DOMAIN, Kit, bundle_map, long};
use rcgen::{DnType, IsCa, KeyUsagePurpose};
use testkit::pki::Ca;

const OTHER: &str = "other.global.456.workload.id.goog";

pub(crate) fn write(kit: &Kit) {
    let same_name = Ca::root_with(DOMAIN, ANY_TIME, long());
    let other = Ca::root_with(DOMAIN, ANY_TIME, |params| {
        long()(params);
        params.distinguished_name.push(DnType::CommonName, "another root");
    });
    kit.with_bundle("other-root", &bundle_map(&[(DOMAIN, &[&other])]));
    kit.with_bundle("other-root-of-same-name", &bundle_map(&[(DOMAIN, &[&same_name])]));
    // The right root is there, but for another trust domain: bundles are never merged.
    kit.with_bundle(
        "other-trust-domain",
        &bundle_map(&[(DOMAIN, &[&other]), (OTHER, &[&kit.root])]),
    );
    kit.with_bundle("no-own-bundle", &bundle_map(&[(OTHER, &[&kit.root])]));
    kit.with_bundle(
        "own-bundle-empty",
        &bundle_map(&[(DOMAIN, &[]), (OTHER, &[&kit.root])]),
    );
    kit.with_bundle(
        "good-federated",
        &bundle_map(&[(OTHER, &[&other]), (DOMAIN, &[&other, &kit.root])]),
    );
    kit.with_bundle(
        "leaf-as-root",
        &bundle_map(&[(DOMAIN, &[&kit.root, &no_ca(kit)])]),
    );

    let good = kit.good_bundle();
    kit.with_bundle("empty-bundle", "");
    kit.with_bundle("truncated-bundle", &good[..good.len() / 2]);
    let keys = r#""keys": ["#;
    kit.with_bundle(
        "duplicate-json-keys",
        &good.replacen(keys, &format!(r#""keys": [], {keys}"#), 1),
    );
    let doubled = format!(r#""{DOMAIN}": {{ "keys": [] }}, "{DOMAIN}""#);
    kit.with_bundle(
        "duplicate-trust-domain",
        &good.replacen(&format!("\"{DOMAIN}\""), &doubled, 1),
    );
    kit.with_bundle("x5c-base64url", &good.replace('+', "-").replace('/', "_"));
    kit.with_bundle("good-bare-map", &bare(&good));
}

/// A certificate that may sign nothing, where a root should be.
fn no_ca(kit: &Kit) -> Ca {
    let odd = |params: &mut rcgen::CertificateParams| {
        long()(params);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    };
    kit.root.intermediate_with(ANY_TIME, odd)
}

/// The map without its `trust_domains` wrapper.
fn bare(map: &str) -> String {
    let mut document: serde_json::Value = serde_json::from_str(map).unwrap();
    format!("{:#}\n", document["trust_domains"].take())
}
