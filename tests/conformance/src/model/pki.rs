//! Certificates of the model: two leaves below an intermediate, odd where the flaw says so.
use super::flaw::Flaw;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use std::time::Duration;
use time::OffsetDateTime;

/// The model's trust domain.
pub(super) const DOMAIN: &str = "model.test";
/// The one it is federated with.
pub(super) const FOREIGN: &str = "other.test";

/// A CA that can sign.
pub(super) struct Authority {
    pub(super) der: Vec<u8>,
    key: KeyPair,
    issuer: CertificateParams,
}

/// A leaf's DER and its key's.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) der: Vec<u8>,
    pub(super) key_pkcs8: Vec<u8>,
    pub(super) key_pem: String,
    pub(super) key_sec1: Vec<u8>,
}

fn san(uri: &str) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(uri.try_into()?))
}

fn params(now: Duration, uris: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::UNIX_EPOCH + now;
    params.not_before = now - Duration::from_secs(3600);
    params.not_after = now + Duration::from_secs(3600);
    params.distinguished_name = DistinguishedName::new();
    for uri in uris {
        params.subject_alt_names.push(san(uri)?);
    }
    Ok(params)
}

/// The key usage extension by hand, where rcgen would be right.
fn key_usage(bits: u8) -> CustomExtension {
    let unused = u8::try_from(bits.trailing_zeros()).unwrap_or(0);
    CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, unused, bits])
}

/// Makes certificates.
pub(super) struct Maker {
    pub(super) flaw: Flaw,
    pub(super) now: Duration,
}

impl Maker {
    fn ca(&self, name: &str, uri: Option<&str>) -> Result<CertificateParams, rcgen::Error> {
        let mut params = params(self.now, uri.as_slice())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    fn signed_by_itself(params: CertificateParams) -> Result<Authority, rcgen::Error> {
        let key = KeyPair::generate()?;
        let der = params.self_signed(&key)?.der().to_vec();
        Ok(Authority {
            der,
            key,
            issuer: params,
        })
    }

    pub(super) fn root(&self, domain: &str) -> Result<Authority, rcgen::Error> {
        let id = format!("spiffe://{domain}");
        Self::signed_by_itself(self.ca(&format!("root of {domain}"), Some(&id))?)
    }

    /// The same root as the X.509-SVIDs' bundle has it.
    pub(super) fn odd_root(&self, root: &Authority) -> Result<Vec<u8>, rcgen::Error> {
        let id = format!("spiffe://{DOMAIN}");
        let name = format!("root of {DOMAIN}");
        let mut params = if self.flaw.is("signing.svid") {
            self.ca(&name, None)?
        } else if self.flaw.is("signing.no-path") {
            self.ca(&name, Some(&format!("{id}/authority")))?
        } else if self.flaw.is("signing.same-domain") {
            self.ca(&name, Some("spiffe://elsewhere.test"))?
        } else {
            self.ca(&name, Some(&id))?
        };
        if self.flaw.is("signing.ca") {
            params.is_ca = IsCa::ExplicitNoCa;
        }
        if self.flaw.is("signing.cert-sign") {
            params.key_usages = vec![KeyUsagePurpose::CrlSign];
        }
        if self.flaw.is("signing.key-usage") {
            params.key_usages = vec![];
            params.custom_extensions.push(key_usage(0b0000_0110));
        }
        Ok(params.self_signed(&root.key)?.der().to_vec())
    }

    pub(super) fn intermediate(&self, root: &Authority) -> Result<Authority, rcgen::Error> {
        let params = self.ca("intermediate", Some(&format!("spiffe://{DOMAIN}")))?;
        let key = KeyPair::generate()?;
        let issuer = Issuer::from_params(&root.issuer, &root.key);
        let der = params.signed_by(&key, &issuer)?.der().to_vec();
        Ok(Authority {
            der,
            key,
            issuer: params,
        })
    }

    /// A leaf; only the first one is odd.
    pub(super) fn leaf(&self, by: &Authority, id: &str, odd: bool) -> Result<Leaf, rcgen::Error> {
        let flaw = if odd { self.flaw } else { Flaw::none() };
        let second = format!("spiffe://{DOMAIN}/too-much");
        let two = [id, second.as_str()];
        let mut params = params(self.now, if flaw.is("leaf.one-uri") { &two } else { &two[..1] })?;
        params.is_ca = flaw.or(
            "leaf.not-ca",
            IsCa::ExplicitNoCa,
            IsCa::Ca(BasicConstraints::Unconstrained),
        );
        params.key_usages = leaf_usages(flaw);
        if flaw.is("leaf.key-usage-critical") {
            params.custom_extensions.push(key_usage(0b1000_0000));
        }
        if flaw.is("leaf.san-critical") {
            params.subject_alt_names.clear();
            params.custom_extensions.push(plain_san(id));
        }
        let both = [
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let count = if flaw.is("leaf.extended-usage") {
            0
        } else {
            flaw.or("leaf.server-and-client", 2, 1)
        };
        params.extended_key_usages = both[..count].to_vec();
        let key = KeyPair::generate()?;
        let issuer = Issuer::from_params(&by.issuer, &by.key);
        let key_pkcs8 = key.serialize_der();
        Ok(Leaf {
            der: params.signed_by(&key, &issuer)?.der().to_vec(),
            key_pem: key.serialize_pem(),
            key_sec1: inner_key(&key_pkcs8),
            key_pkcs8,
        })
    }

    /// An empty revocation list.
    pub(super) fn crl(&self, root: &Authority) -> Result<Vec<u8>, rcgen::Error> {
        let now = OffsetDateTime::UNIX_EPOCH + self.now;
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: now + Duration::from_secs(3600),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = Issuer::from_params(&root.issuer, &root.key);
        Ok(params.signed_by(&issuer)?.der().to_vec())
    }
}

fn leaf_usages(flaw: Flaw) -> Vec<KeyUsagePurpose> {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyAgreement, KeyCertSign};
    if flaw.is("leaf.key-usage") || flaw.is("leaf.key-usage-critical") {
        vec![]
    } else if flaw.is("leaf.digital-signature") {
        vec![KeyAgreement]
    } else if flaw.is("leaf.no-cert-sign") {
        vec![DigitalSignature, KeyCertSign]
    } else if flaw.is("leaf.no-crl-sign") {
        vec![DigitalSignature, CrlSign]
    } else {
        vec![DigitalSignature]
    }
}

/// A SAN extension with one URI that is not critical. The URI is shorter than 120 bytes.
fn plain_san(uri: &str) -> CustomExtension {
    let length = u8::try_from(uri.len()).unwrap_or(0);
    let content = [&[0x30, length + 2, 0x86, length], uri.as_bytes()].concat();
    CustomExtension::from_oid_content(&[2, 5, 29, 17], content)
}

/// The key inside a PKCS#8 envelope: SEC1, for rcgen's EC keys. The envelope's head has 26 bytes before the octet string's.
fn inner_key(pkcs8: &[u8]) -> Vec<u8> {
    let octets = pkcs8
        .windows(2)
        .enumerate()
        .skip(10)
        .find(|(at, pair)| pair[0] == 0x04 && usize::from(pair[1]) == pkcs8.len() - at - 2);
    octets.map_or_else(Vec::new, |(at, _)| pkcs8[at + 2..].to_vec())
}
