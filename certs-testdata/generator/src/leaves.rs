//! Leaves with one fault each; chain, key and bundle are good.
use crate::kit::{DOMAIN, ID, Kit, openssl};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SubjectPublicKeyInfo};
use testkit::pki::LeafSpec;

type Change = fn(&mut LeafSpec);

const FAULTS: &[(&str, Change)] = &[
    ("good-p256", |_| {}),
    ("good-dns-san", |leaf| leaf.dns = vec!["payments.internal".into()]),
    ("good-no-eku", |leaf| leaf.ekus.clear()),
    ("no-uri-san", |leaf| {
        leaf.uris.clear();
        leaf.dns = vec!["payments.internal".into()];
    }),
    ("two-uri-sans", |leaf| leaf.uris.push(format!("{ID}-2"))),
    ("two-uri-sans-one-spiffe", |leaf| {
        leaf.uris.push("https://payments.internal/".into());
    }),
    ("not-spiffe-uri", |leaf| {
        leaf.uris = vec!["https://payments.internal/ns/shop".into()];
    }),
    ("scheme-in-capitals", |leaf| {
        leaf.uris = vec![ID.replace("spiffe", "SPIFFE")];
    }),
    ("trust-domain-in-capitals", |leaf| {
        leaf.uris = vec![ID.replace("pool", "Pool")];
    }),
    ("port-in-id", |leaf| {
        leaf.uris = vec![ID.replace(".goog/", ".goog:443/")];
    }),
    ("query-in-id", |leaf| leaf.uris = vec![format!("{ID}?admin")]),
    ("spiffe-id-without-path", |leaf| {
        leaf.uris = vec![format!("spiffe://{DOMAIN}")];
    }),
    ("trailing-slash", |leaf| leaf.uris = vec![format!("{ID}/")]),
    ("percent-encoded-path", |leaf| {
        leaf.uris = vec![ID.replace("shop", "sh%6Fp")];
    }),
    ("dots-segment", |leaf| leaf.uris = vec![ID.replace("shop", "..")]),
    ("leaf-is-ca", |leaf| {
        leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }),
    ("leaf-with-keycertsign", |leaf| {
        leaf.key_usages.push(KeyUsagePurpose::KeyCertSign);
    }),
    ("leaf-with-crlsign", |leaf| {
        leaf.key_usages.push(KeyUsagePurpose::CrlSign);
    }),
    ("no-key-usage", |leaf| leaf.key_usages.clear()),
    ("no-digital-signature", |leaf| {
        leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    }),
    ("eku-client-only", |leaf| {
        leaf.ekus = vec![ExtendedKeyUsagePurpose::ClientAuth];
    }),
    ("eku-server-only", |leaf| {
        leaf.ekus = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }),
    ("eku-any-only", |leaf| {
        leaf.ekus = vec![ExtendedKeyUsagePurpose::Any];
    }),
];

pub(crate) fn write(kit: &Kit) {
    for (name, change) in FAULTS {
        let mut leaf = LeafSpec::new(ID);
        change(&mut leaf);
        kit.with_chain(name, &kit.chain(&leaf));
    }
    // Nothing in the certificate is wrong; the test expects another one.
    kit.with_chain("unexpected-id", &kit.good_chain());
    short_rsa(kit);
}

/// No library here makes such a key any more; openssl does when asked for it.
fn short_rsa(kit: &Kit) {
    let key = openssl(
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
            "-quiet",
        ],
        "",
    );
    let public = openssl(&["pkey", "-pubout"], &key);
    let public = SubjectPublicKeyInfo::from_pem(&public).unwrap();
    let chain = kit.chain_for(&LeafSpec::new(ID), &public);
    kit.folder("rsa-1024", &chain, &key, &kit.good_bundle());
}
