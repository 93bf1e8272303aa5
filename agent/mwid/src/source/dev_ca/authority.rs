//! The development CA itself. In: a trust domain, keys for its bundle, the time. Out: leaves shaped like CA Service's. Never writes its keys anywhere.
use super::DevCaError;
use mtls_identity::candidate::CandidateBundles;
use mtls_identity::{Candidate, IdentitySnapshot, TrustBundle, TrustBundles, TrustDomain, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// In the subject of both CAs, so that nobody mistakes them, and that a development identity is known when it is met again.
const MARK: &str = "mwid development CA";

/// Clocks of containers and virtual machines differ a little.
const EARLIER: Duration = Duration::from_secs(30);

const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Whether an identity came from a development CA.
pub(in crate::source) fn is_ours(identity: &IdentitySnapshot) -> bool {
    identity
        .chain()
        .iter()
        .any(|der| der.windows(MARK.len()).any(|w| w == MARK.as_bytes()))
}

pub(super) struct Authority {
    intermediate: Issuer<'static, KeyPair>,
    intermediate_pem: String,
    root: TrustBundle,
}

impl Authority {
    /// A root, whose key is dropped again at once, and an intermediate below it.
    pub(super) fn new(trust_domain: &TrustDomain, now: UnixTime) -> Result<Self, DevCaError> {
        let (intermediate, intermediate_pem, root_pem) =
            Self::chain(trust_domain, now).map_err(DevCaError::Certificate)?;
        let root = TrustBundle::from_pem(trust_domain.clone(), root_pem.as_bytes());
        Ok(Self {
            intermediate,
            intermediate_pem,
            root: root.map_err(DevCaError::Bundle)?,
        })
    }

    /// The intermediate, its certificate and the root's in PEM.
    fn chain(
        trust_domain: &TrustDomain,
        now: UnixTime,
    ) -> Result<(Issuer<'static, KeyPair>, String, String), Error> {
        let root_key = KeyPair::generate()?;
        let root_params = ca(trust_domain, "root", BasicConstraints::Unconstrained, now)?;
        let root_pem = root_params.self_signed(&root_key)?.pem();
        let root = Issuer::new(root_params, root_key);

        let key = KeyPair::generate()?;
        let mut params = ca(trust_domain, "issuing", BasicConstraints::Constrained(0), now)?;
        params.use_authority_key_identifier_extension = true;
        let intermediate_pem = params.signed_by(&key, &root)?.pem();
        Ok((Issuer::new(params, key), intermediate_pem, root_pem))
    }

    /// A leaf with a new key: no subject, hence a critical SAN, with the constraints and usages that strict clients ask for.
    /// Its trust bundle has the root, and these keys for JWT-SVIDs.
    pub(super) fn leaf(
        &self,
        id: &str,
        lifetime: Duration,
        jwt_keys: Vec<Map<String, Value>>,
        now: UnixTime,
    ) -> Result<Candidate, DevCaError> {
        let add = |bundle: TrustBundle, key| bundle.with_jwt_key(key);
        let bundle = jwt_keys.into_iter().try_fold(self.root.clone(), add);
        let (certificates, key) = self.sign(id, lifetime, now).map_err(DevCaError::Certificate)?;
        Ok(Candidate {
            certificates_pem: certificates.into_bytes().into(),
            private_key_pem: Zeroizing::new(key.as_bytes().to_vec()),
            bundles: CandidateBundles::Parsed(TrustBundles::of(bundle.map_err(DevCaError::Bundle)?)),
        })
    }

    /// The chain and the key, in PEM.
    fn sign(
        &self,
        id: &str,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<(String, Zeroizing<String>), Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (earlier(now).into(), (at(now) + lifetime).into());
        let leaf = params.signed_by(&key, &self.intermediate)?;
        let certificates = format!("{}{}", leaf.pem(), self.intermediate_pem);
        Ok((certificates, Zeroizing::new(key.serialize_pem())))
    }
}

fn ca(
    trust_domain: &TrustDomain,
    role: &str,
    constraints: BasicConstraints,
    now: UnixTime,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, trust_domain.as_str());
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{MARK}, {role}"));
    params.subject_alt_names = vec![SanType::URI(trust_domain.id().as_str().try_into()?)];
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (earlier(now).into(), (at(now) + CA_LIFETIME).into());
    Ok(params)
}

fn at(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

fn earlier(time: UnixTime) -> SystemTime {
    at(time).checked_sub(EARLIER).unwrap_or(SystemTime::UNIX_EPOCH)
}
