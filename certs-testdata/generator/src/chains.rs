//! Chains with one fault each: the other certificates, their order, their times, the file's form.
use crate::kit::{ANY_TIME, DOMAIN, ID, Kit, bundle_map, long, pem, years};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
};
use testkit::pki::{Ca, LeafSpec};

pub(crate) fn write(kit: &Kit) {
    form(kit);
    intermediates(kit);
    times(kit);
    like_ca_service(kit);
}

fn form(kit: &Kit) {
    let good = kit.good_chain();
    let (leaf, intermediate) = good.split_at(good.len() - kit.intermediate.cert_pem.len());
    kit.with_chain("wrong-chain-order", &format!("{intermediate}{leaf}"));
    kit.with_chain("missing-intermediate", leaf);
    kit.with_chain("leaf-twice", &format!("{leaf}{good}"));
    kit.with_chain("good-root-in-chain", &format!("{good}{}", kit.root.cert_pem));
    kit.with_chain("good-crlf", &good.replace('\n', "\r\n"));
    kit.with_chain(
        "good-combined-file",
        &format!("{}{good}", kit.key.serialize_pem()),
    );
    kit.with_chain("truncated-pem", &good[..leaf.len() + intermediate.len() / 2]);
    kit.with_chain("malformed-base64", &good.replacen("MII", "M!I", 1));
    kit.with_chain("not-a-certificate", &pem("CERTIFICATE", b"\x30\x03\x02\x01\x00"));
    kit.with_chain("empty-certificates", "");
    kit.with_chain("too-many-certificates", &good.repeat(6));
}

fn intermediates(kit: &Kit) {
    let below = |name: &str, change: fn(&mut CertificateParams)| {
        let odd = kit.root.intermediate_with(ANY_TIME, |params| {
            long()(params);
            change(params);
        });
        let leaf = odd.certify(&LeafSpec::new(ID), &kit.key, long());
        kit.with_chain(name, &format!("{}{}", leaf.pem(), odd.cert_pem));
    };
    below("intermediate-not-ca", |params| params.is_ca = IsCa::ExplicitNoCa);
    below("intermediate-without-keycertsign", |params| {
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
    });
    below("intermediate-for-clients-only", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    below("intermediate-for-servers-only", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    below("uri-name-constraint", |params| {
        params.custom_extensions = vec![uri_name_constraint()];
    });

    let short = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let first = kit.root.intermediate_with(ANY_TIME, |params| {
        long()(params);
        short(params);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "path length 0");
    });
    let second = first.intermediate_with(ANY_TIME, long());
    let leaf = second.certify(&LeafSpec::new(ID), &kit.key, long());
    kit.with_chain(
        "path-length",
        &format!("{}{}{}", leaf.pem(), second.cert_pem, first.cert_pem),
    );
}

/// `nameConstraints` (RFC 5280 section 4.2.1.10), critical: permitted URIs of the trust domain's host.
fn uri_name_constraint() -> CustomExtension {
    let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let subtree = element(0x30, &element(0x86, DOMAIN.as_bytes()));
    let constraints = element(0x30, &element(0xa0, &subtree));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], constraints);
    extension.set_criticality(true);
    extension
}

fn times(kit: &Kit) {
    let leaf = |name: &str, from, to| {
        let leaf = kit
            .intermediate
            .certify(&LeafSpec::new(ID), &kit.key, years(from, to));
        kit.with_chain(name, &format!("{}{}", leaf.pem(), kit.intermediate.cert_pem));
    };
    leaf("expired-leaf", 2026, 2027);
    leaf("not-yet-valid-leaf", 2040, 2125);

    let below = |name: &str, from, to| {
        let odd = kit.root.intermediate_with(ANY_TIME, years(from, to));
        let leaf = odd.certify(&LeafSpec::new(ID), &kit.key, long());
        kit.with_chain(name, &format!("{}{}", leaf.pem(), odd.cert_pem));
    };
    below("expired-intermediate", 2026, 2027);
    // Not on the way to the root, but handed to every peer.
    let beside = kit.root.intermediate_with(ANY_TIME, years(2026, 2027));
    kit.with_chain(
        "expired-certificate-beside-the-path",
        &format!("{}{}", kit.good_chain(), beside.cert_pem),
    );
    below("not-yet-valid-intermediate", 2040, 2125);

    let root = |name: &str, from, to| {
        let odd = Ca::root_with(DOMAIN, ANY_TIME, years(from, to));
        let leaf = odd.certify(&LeafSpec::new(ID), &kit.key, long());
        kit.folder(
            name,
            &leaf.pem(),
            &kit.key.serialize_pem(),
            &bundle_map(&[(DOMAIN, &[&odd])]),
        );
    };
    root("expired-root", 2026, 2027);
    root_with_new_key(kit);
    root("not-yet-valid-root", 2040, 2125);
}

/// A root's new key, signed by the old one under the same name: it must not be taken for a root and dropped.
fn root_with_new_key(kit: &Kit) {
    let renewed = kit.root.intermediate_with(ANY_TIME, |params| {
        long()(params);
        params.distinguished_name.push(rcgen::DnType::CommonName, "root");
    });
    let leaf = renewed.certify(&LeafSpec::new(ID), &kit.key, long());
    kit.with_chain(
        "good-root-with-new-key",
        &format!("{}{}", leaf.pem(), renewed.cert_pem),
    );
}

/// The shape of what Certificate Authority Service issues to Compute Engine: empty subject, critical SAN, an issuer's
/// address, a SEC1 key, a blank line between the blocks, no root.
fn like_ca_service(kit: &Kit) {
    let address = b"http://privateca.internal/ca.crt";
    let element = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    const CA_ISSUERS: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
    let description = element(0x30, &[CA_ISSUERS, &element(0x86, address)].concat());
    let mut leaf = LeafSpec::new(ID);
    leaf.extensions = vec![CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 5, 5, 7, 1, 1],
        element(0x30, &description),
    )];
    let chain = kit.chain(&leaf).replace(
        "-----END CERTIFICATE-----\n-----BEGIN",
        "-----END CERTIFICATE-----\n\n-----BEGIN",
    );
    let key = crate::private_keys::sec1(&kit.key);
    kit.folder("good-ca-service", &chain, &key, &kit.good_bundle());
}
