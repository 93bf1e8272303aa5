//! The identity in words, for `mwid identity`. In: a proven identity. Out: what its certificates say. Never the key.
use crate::health::status::timestamp;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use mtls_identity::IdentitySnapshot;
use serde::{Deserialize, Serialize};
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::der_parser::oid;
use x509_parser::prelude::{ExtendedKeyUsage, FromDer, GeneralName, KeyUsage, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The identity in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdentityDetail {
    pub(crate) spiffe_id: String,
    pub(crate) generation: u64,
    pub(crate) not_after: Timestamp,
    pub(crate) leaf: Described,
    /// Without the leaf and the root.
    pub(crate) chain: Vec<Described>,
    pub(crate) bundles: Vec<BundleDetail>,
}

/// The roots of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BundleDetail {
    pub(crate) trust_domain: String,
    pub(crate) roots: Vec<Described>,
}

/// A certificate, if it can be read. Of other domains' roots only rustls's reading was proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Described {
    Readable(Box<CertificateDetail>),
    Unreadable { sha256: String, trouble: String },
}

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CertificateDetail {
    /// Empty for CA Service's leaves.
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Lower-case hex.
    pub(crate) serial: String,
    pub(crate) uris: Vec<String>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) ca: bool,
    /// `ECDSA P-256`.
    pub(crate) key: String,
    pub(crate) usages: Vec<String>,
    pub(crate) extended_usages: Vec<String>,
    /// Of the whole certificate, lower-case hex.
    pub(crate) sha256: String,
}

impl IdentityDetail {
    pub(crate) fn of(identity: &IdentitySnapshot) -> Self {
        let mut chain = identity.chain().iter().map(|der| Described::of(der));
        let leaf = chain.next().unwrap_or_else(|| Described::Unreadable {
            sha256: String::new(),
            trouble: "there is no leaf".to_owned(),
        });
        Self {
            spiffe_id: identity.id().as_str().to_owned(),
            generation: identity.generation(),
            not_after: timestamp(identity.not_after()),
            leaf,
            chain: chain.collect(),
            bundles: identity
                .bundles()
                .iter()
                .map(|bundle| BundleDetail {
                    trust_domain: bundle.trust_domain().as_str().to_owned(),
                    roots: bundle.roots().iter().map(|der| Described::of(der)).collect(),
                })
                .collect(),
        }
    }
}

impl Described {
    pub(super) fn of(der: &[u8]) -> Self {
        let sha256 = hex(digest(&SHA256, der).as_ref());
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Self::Readable(Box::new(describe(&certificate, sha256))),
            Err(error) => Self::Unreadable {
                sha256,
                trouble: error.to_string(),
            },
        }
    }
}

fn describe(certificate: &X509Certificate<'_>, sha256: String) -> CertificateDetail {
    let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
            _ => {}
        }
    }
    let validity = certificate.validity();
    CertificateDetail {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: hex(unsigned(certificate.raw_serial())),
        uris,
        dns_names,
        not_before: seconds(validity.not_before.timestamp()),
        not_after: seconds(validity.not_after.timestamp()),
        ca: certificate.is_ca(),
        key: key(certificate.public_key()),
        usages: certificate
            .key_usage()
            .ok()
            .flatten()
            .map_or_else(Vec::new, |usage| usages(usage.value)),
        extended_usages: certificate
            .extended_key_usage()
            .ok()
            .flatten()
            .map_or_else(Vec::new, |usage| extended_usages(usage.value)),
        sha256,
    }
}

fn seconds(time: i64) -> Timestamp {
    let end = if time < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(time).unwrap_or(end)
}

/// Curves that CA Service and its kind use (RFC 5480, 2.1.1.1), and Ed25519 (RFC 8410, 3).
const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
const P384: Oid<'static> = oid!(1.3.132.0.34);
const P521: Oid<'static> = oid!(1.3.132.0.35);
const ED25519: Oid<'static> = oid!(1.3.101.112);

fn key(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == ED25519 {
        return "Ed25519".to_owned();
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(_)) => match algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()) {
            Some(curve) if curve == P256 => "ECDSA P-256".to_owned(),
            Some(curve) if curve == P384 => "ECDSA P-384".to_owned(),
            Some(curve) if curve == P521 => "ECDSA P-521".to_owned(),
            _ => "ECDSA".to_owned(),
        },
        _ => algorithm.algorithm.to_id_string(),
    }
}

/// In the words of RFC 5280, 4.2.1.3.
fn usages(usage: &KeyUsage) -> Vec<String> {
    let all = [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ];
    all.into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// In the words of RFC 5280, 4.2.1.12; others by number.
fn extended_usages(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let all = [
        (usage.any, "any"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ];
    let known = all
        .into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, name)| name.to_owned());
    known.chain(usage.other.iter().map(Oid::to_id_string)).collect()
}

/// Without the byte that DER puts before a number whose first bit is set, as every other place here tells serial numbers.
fn unsigned(serial: &[u8]) -> &[u8] {
    match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
