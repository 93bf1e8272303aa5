//! Certificates for tests: a root, an intermediate and leaves of one trust domain, odd in any way that a test asks for.
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SignatureAlgorithm,
};
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;

/// A certificate authority and its certificate.
#[derive(Debug)]
pub struct Ca {
    /// The trust domain whose URI SAN it carries.
    pub trust_domain: String,
    /// The certificate.
    pub cert_pem: String,
    /// The certificate.
    pub cert_der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// From when until when a certificate is valid, relative to the moment of making it. Seconds; negative is the past.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    /// Start, in seconds from now.
    pub from: i64,
    /// End, in seconds from now.
    pub to: i64,
}

/// What a leaf looks like; `LeafSpec::new` is a good one.
#[derive(Debug)]
pub struct LeafSpec {
    /// URI SANs, in order.
    pub uris: Vec<String>,
    /// DNS SANs.
    pub dns: Vec<String>,
    /// Validity.
    pub validity: Validity,
    /// Basic constraints.
    pub is_ca: IsCa,
    /// Key usage.
    pub key_usages: Vec<KeyUsagePurpose>,
    /// Extended key usage; empty: no extension.
    pub ekus: Vec<ExtendedKeyUsagePurpose>,
    /// Key type.
    pub algorithm: &'static SignatureAlgorithm,
    /// Extensions that rcgen does not know.
    pub extensions: Vec<CustomExtension>,
}

/// A leaf with its chain and key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The leaf, then the intermediate (if any); no root.
    pub chain_pem: String,
    /// The leaf alone.
    pub leaf_pem: String,
    /// The leaf alone.
    pub leaf_der: Vec<u8>,
    /// PKCS#8.
    pub key_pem: String,
    /// PKCS#8.
    pub key_der: Vec<u8>,
}

/// One trust domain: root, intermediate, leaves.
#[derive(Debug)]
pub struct World {
    /// Root CA.
    pub root: Ca,
    /// Issuing CA.
    pub intermediate: Ca,
}

const DAY: i64 = 86_400;

fn at(offset: i64) -> OffsetDateTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "certificates for real handshakes are made for now"
    )]
    let now = OffsetDateTime::from(SystemTime::now());
    now + Duration::from_secs(0) + time::Duration::seconds(offset)
}

fn ca_params(trust_domain: &str, name: &str, validity: Validity) -> CertificateParams {
    let mut p = CertificateParams::default();
    p.distinguished_name.push(DnType::OrganizationName, trust_domain);
    p.distinguished_name.push(DnType::CommonName, name);
    p.subject_alt_names = vec![SanType::URI(
        format!("spiffe://{trust_domain}").try_into().unwrap(),
    )];
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    p.not_before = at(validity.from);
    p.not_after = at(validity.to);
    p
}

impl Ca {
    /// A self-signed P-256 root of the trust domain, valid from a day ago for ten years.
    pub fn root(trust_domain: &str) -> Self {
        Self::root_valid(
            trust_domain,
            Validity {
                from: -DAY,
                to: 3650 * DAY,
            },
        )
    }

    /// A self-signed root with its own validity.
    pub fn root_valid(trust_domain: &str, validity: Validity) -> Self {
        Self::root_with(trust_domain, validity, |_| {})
    }

    /// A self-signed root, bent by `change`.
    pub fn root_with(
        trust_domain: &str,
        validity: Validity,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params(trust_domain, "root", validity);
        change(&mut params);
        let cert = params.self_signed(&key).unwrap();
        Self {
            trust_domain: trust_domain.to_owned(),
            cert_pem: cert.pem(),
            cert_der: cert.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// This root anew: the same key and name, another validity.
    pub fn renewed(&self, validity: Validity) -> Self {
        let key = KeyPair::try_from(self.issuer.key().serialize_der()).unwrap();
        let params = ca_params(&self.trust_domain, "root", validity);
        let cert = params.self_signed(&key).unwrap();
        Self {
            trust_domain: self.trust_domain.clone(),
            cert_pem: cert.pem(),
            cert_der: cert.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// An intermediate below this CA, valid from a day ago for a year.
    pub fn intermediate(&self) -> Self {
        self.intermediate_with(
            Validity {
                from: -DAY,
                to: 365 * DAY,
            },
            |_| {},
        )
    }

    /// An intermediate below this CA, bent by `change`.
    pub fn intermediate_with(&self, validity: Validity, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params(&self.trust_domain, "intermediate", validity);
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            trust_domain: self.trust_domain.clone(),
            cert_pem: cert.pem(),
            cert_der: cert.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A leaf signed by this CA; `chain_pem` is the leaf alone.
    pub fn leaf(&self, spec: &LeafSpec) -> Leaf {
        let key = KeyPair::generate_for(spec.algorithm).unwrap();
        let cert = self.certify(spec, &key, |_| {});
        Leaf {
            chain_pem: cert.pem(),
            leaf_pem: cert.pem(),
            leaf_der: cert.der().to_vec(),
            key_pem: key.serialize_pem(),
            key_der: key.serialize_der(),
        }
    }

    /// A leaf for a key that the caller holds, bent by `change`.
    pub fn certify(
        &self,
        spec: &LeafSpec,
        key: &impl PublicKeyData,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let mut p = CertificateParams::default();
        p.distinguished_name = rcgen::DistinguishedName::new(); // empty, as CA Service issues: the SAN becomes critical
        p.subject_alt_names = spec
            .uris
            .iter()
            .map(|u| SanType::URI(u.as_str().try_into().unwrap()))
            .chain(
                spec.dns
                    .iter()
                    .map(|d| SanType::DnsName(d.as_str().try_into().unwrap())),
            )
            .collect();
        p.is_ca = spec.is_ca;
        p.key_usages = spec.key_usages.clone();
        p.extended_key_usages = spec.ekus.clone();
        p.custom_extensions = spec.extensions.clone();
        p.not_before = at(spec.validity.from);
        p.not_after = at(spec.validity.to);
        p.use_authority_key_identifier_extension = true;
        change(&mut p);
        p.signed_by(key, &self.issuer).unwrap()
    }
}

impl LeafSpec {
    /// A good P-256 leaf with one URI SAN, valid from an hour ago for a day.
    pub fn new(spiffe_id: &str) -> Self {
        Self {
            uris: vec![spiffe_id.to_owned()],
            dns: vec![],
            validity: Validity { from: -3600, to: DAY },
            is_ca: IsCa::ExplicitNoCa,
            key_usages: vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement],
            ekus: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
            algorithm: &rcgen::PKCS_ECDSA_P256_SHA256,
            extensions: vec![],
        }
    }
}

impl World {
    /// A trust domain with a root and an intermediate.
    pub fn new(trust_domain: &str) -> Self {
        let root = Ca::root(trust_domain);
        let intermediate = root.intermediate();
        Self { root, intermediate }
    }

    /// A good leaf for `/path` (with leading slash) of this trust domain, with its chain.
    pub fn leaf(&self, path: &str) -> Leaf {
        self.leaf_of(&LeafSpec::new(&format!(
            "spiffe://{}{path}",
            self.root.trust_domain
        )))
    }

    /// A leaf by spec, with its chain.
    pub fn leaf_of(&self, spec: &LeafSpec) -> Leaf {
        let mut leaf = self.intermediate.leaf(spec);
        leaf.chain_pem = format!("{}{}", leaf.leaf_pem, self.intermediate.cert_pem);
        leaf
    }

    /// The root as a SPIFFE bundle map needs it: base64 is the caller's; this is DER.
    pub fn root_der(&self) -> &[u8] {
        &self.root.cert_der
    }
}
