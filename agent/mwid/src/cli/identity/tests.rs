//! An identity as people see it.
use super::*;
use crate::api::admin::identity::{BundleDetail, CertificateDetail, Described};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn certificate(subject: &str, issuer: &str) -> CertificateDetail {
    CertificateDetail {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        serial: "0a".to_owned(),
        uris: vec!["spiffe://a.example/x".to_owned()],
        dns_names: vec![],
        not_before: at(-60),
        not_after: at(3_600),
        ca: false,
        key: "ECDSA P-256".to_owned(),
        usages: vec!["digitalSignature".to_owned()],
        extended_usages: vec!["serverAuth".to_owned()],
        sha256: "ff".to_owned(),
    }
}

fn readable(detail: CertificateDetail) -> Described {
    Described::Readable(Box::new(detail))
}

#[test]
fn the_whole_identity_in_words() {
    let root = CertificateDetail {
        ca: true,
        uris: vec![],
        usages: vec!["keyCertSign".to_owned()],
        extended_usages: vec![],
        ..certificate("CN=ro\x1bot", "CN=ro\x1bot")
    };
    let detail = IdentityDetail {
        spiffe_id: "spiffe://a.example/x".to_owned(),
        generation: 3,
        not_after: at(3_600),
        leaf: readable(certificate("", "CN=sub")),
        chain: vec![],
        bundles: vec![
            BundleDetail {
                trust_domain: "a.example".to_owned(),
                roots: vec![readable(root)],
            },
            BundleDetail {
                trust_domain: "b.example".to_owned(),
                roots: vec![],
            },
        ],
    };
    assert_eq!(
        render::text(&detail, at(0), Paint(false)),
        "spiffe://a.example/x\n\
         generation 3, ends in 1h\n\
         \nleaf\n  subject   (empty)\n  uri       spiffe://a.example/x\n  issuer    CN=sub\n  serial    0a\n  \
         from      2023-11-14T22:12:20Z (1m ago)\n  until     2023-11-14T23:13:20Z (in 1h)\n  key       ECDSA P-256\n  \
         for       digitalSignature, serverAuth\n  sha256    ff\n\
         \nroot of a.example\n  subject   CN=ro\\u{1b}ot\n  serial    0a\n  \
         from      2023-11-14T22:12:20Z (1m ago)\n  until     2023-11-14T23:13:20Z (in 1h)\n  key       ECDSA P-256\n  \
         for       CA, keyCertSign\n  sha256    ff\n\
         \ntrust domain b.example has no roots: nobody of it is trusted\n"
    );
    assert!(render::text(&detail, at(3_660), Paint(false)).contains("generation 3, expired 1m ago\n"));
}
