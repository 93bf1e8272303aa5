//! Private keys of every form, and those that are refused; chain and bundle are good.
use crate::kit::{ID, Kit, openssl, pem};
use rcgen::{KeyPair, SignatureAlgorithm};
use testkit::pki::LeafSpec;

pub(crate) fn write(kit: &Kit) {
    let good = kit.key.serialize_pem();
    let other = KeyPair::generate().unwrap();
    kit.with_key("key-mismatch", &other.serialize_pem());
    kit.with_key(
        "key-of-other-kind",
        &KeyPair::generate_for(&rcgen::PKCS_ED25519)
            .unwrap()
            .serialize_pem(),
    );
    kit.with_key("empty-key", "");
    kit.with_key("truncated-key", &good[..good.len() / 2]);
    kit.with_key("two-keys", &format!("{good}{}", other.serialize_pem()));
    kit.with_key("certificate-as-key", &kit.good_chain());
    kit.with_key(
        "unknown-key-label",
        &good.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"),
    );
    kit.with_key("not-a-key", &pem("PRIVATE KEY", b"\x30\x03\x02\x01\x00"));
    kit.with_key(
        "encrypted-key",
        &openssl(
            &["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:odd"],
            &good,
        ),
    );
    kit.with_key(
        "encrypted-key-rfc1421",
        &openssl(&["ec", "-aes-128-cbc", "-passout", "pass:odd"], &good),
    );
    // As `openssl ecparam -genkey` writes it.
    let parameters = pem("EC PARAMETERS", P256);
    kit.with_key("good-sec1", &format!("{parameters}{}", sec1(&kit.key)));

    kinds(kit);
}

fn kinds(kit: &Kit) {
    let kind = |name: &str, algorithm: &'static SignatureAlgorithm, form: fn(&KeyPair) -> String| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        kit.folder(
            name,
            &kit.chain_for(&LeafSpec::new(ID), &key),
            &form(&key),
            &kit.good_bundle(),
        );
    };
    kind(
        "good-p384",
        &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyPair::serialize_pem,
    );
    kind("good-ed25519", &rcgen::PKCS_ED25519, KeyPair::serialize_pem);
    kind("good-rsa", &rcgen::PKCS_RSA_SHA256, KeyPair::serialize_pem);
    kind("good-pkcs1", &rcgen::PKCS_RSA_SHA256, |key| {
        pem("RSA PRIVATE KEY", inner(&key.serialize_der()))
    });
    kind("p521", &rcgen::PKCS_ECDSA_P521_SHA512, KeyPair::serialize_pem);
}

/// The object identifier of P-256, as an element.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A P-256 key as SEC1 with its curve's name, as Go and openssl write it. rcgen's PKCS#8 holds SEC1 without the name.
pub(crate) fn sec1(key: &KeyPair) -> String {
    let pkcs8 = key.serialize_der();
    let nameless = inner(&pkcs8);
    // version and key take 3 + 34 bytes; the curve's name stands between them and the public key
    let (start, public) = nameless[2..].split_at(37);
    let content = [start, &[0xa0, u8::try_from(P256.len()).unwrap()], P256, public].concat();
    pem(
        "EC PRIVATE KEY",
        &[&[0x30, u8::try_from(content.len()).unwrap()], &content[..]].concat(),
    )
}

/// What the octet string of a PKCS#8 holds: it stands last in those that are handed in here.
fn inner(pkcs8: &[u8]) -> &[u8] {
    let start = (0..pkcs8.len() - 8).find(|at| {
        let rest = &pkcs8[*at..];
        let header = if rest[1] < 0x80 {
            2
        } else {
            2 + usize::from(rest[1] & 0x7f)
        };
        rest[0] == 0x04 && rest.get(header) == Some(&0x30) && length(rest) == Some(rest.len() - header)
    });
    let rest = &pkcs8[start.unwrap()..];
    &rest[rest.len() - length(rest).unwrap()..]
}

fn length(element: &[u8]) -> Option<usize> {
    match element[1] {
        short @ 0..=0x7f => Some(usize::from(short)),
        0x81 => Some(usize::from(element[2])),
        0x82 => Some(usize::from(element[2]) << 8 | usize::from(element[3])),
        _ => None,
    }
}
