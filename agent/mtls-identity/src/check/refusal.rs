//! Why a candidate is refused.

use super::{CertificateError, CertificateName, ChainFault, PemError};
use crate::bundle::BundleError;
use crate::peer::IdPattern;
use crate::spiffe_id::{SpiffeId, SpiffeIdError, TrustDomain};
use crate::time::Rfc3339;
use pki_types::UnixTime;

/// Why a candidate is refused: one variant a check. [`Refusal::reason`] is its name for metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The certificate file is larger than any honest chain.
    #[error("the certificates are {found} bytes large; at most {limit} are read")]
    CertificatesTooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The certificate file is cut short or holds no PEM.
    #[error("the certificates are not whole PEM; if the file is being written now, the next read heals it")]
    CertificatesPem(#[source] PemError),
    /// The certificate file holds no certificate.
    #[error("there is no CERTIFICATE block in the certificates; wanted the leaf, then its chain")]
    CertificatesEmpty,
    /// More certificates than a chain has.
    #[error("the chain has {found} certificates; at most {limit} are allowed: is it a bundle of roots?")]
    ChainTooLong {
        /// Certificates found.
        found: usize,
        /// Certificates allowed.
        limit: usize,
    },
    /// One of the certificates cannot be read.
    #[error("certificate {position} of the chain cannot be read")]
    Certificate {
        /// Which one; the leaf is 1.
        position: usize,
        /// What is wrong with it.
        #[source]
        source: CertificateError,
    },
    /// An extension that a check needs is doubled or malformed.
    #[error("the {certificate} cannot be judged; have it issued anew")]
    Extension {
        /// The certificate.
        certificate: CertificateName,
        /// Which extension.
        #[source]
        source: CertificateError,
    },
    /// The first certificate is a CA and the leaf comes later.
    #[error(
        "the chain begins with a CA ({first}) and has the leaf as certificate {leaf_position}; write the leaf first, then its issuers"
    )]
    LeafNotFirst {
        /// The first certificate.
        first: CertificateName,
        /// Where the leaf is, counted from 1.
        leaf_position: usize,
    },
    /// X509-SVID section 2: exactly one URI SAN.
    #[error(
        "the leaf has no URI in its subject alternative name; a workload's certificate has exactly one, its SPIFFE ID"
    )]
    NoUriSan,
    /// X509-SVID section 2: exactly one URI SAN.
    #[error(
        "the leaf has {count} URIs in its subject alternative name ({found:?}); exactly one is allowed, its SPIFFE ID"
    )]
    ManyUriSans {
        /// How many.
        count: usize,
        /// The first of them, shortened.
        found: Vec<String>,
    },
    /// The URI SAN is no SPIFFE ID.
    #[error("the leaf's URI {found:?} is no SPIFFE ID")]
    NotSpiffeId {
        /// The URI, shortened.
        found: String,
        /// Why not.
        #[source]
        source: SpiffeIdError,
    },
    /// X509-SVID section 3.1: a leaf's ID has a path.
    #[error("the leaf's SPIFFE ID {found} has no path; that is a trust domain's own ID, not a workload's")]
    IdWithoutPath {
        /// The ID.
        found: SpiffeId,
    },
    /// X509-SVID section 4.1.
    #[error("the {certificate} is a CA; a workload's certificate must not be one")]
    LeafIsCa {
        /// The leaf.
        certificate: CertificateName,
    },
    /// X509-SVID section 4.3.
    #[error("the leaf's key usage holds {found}, which only a CA may have; have it issued without")]
    LeafSigns {
        /// `keyCertSign` or `cRLSign`.
        found: &'static str,
    },
    /// X509-SVID section 4.3.
    #[error("the leaf has no key usage extension; have it issued with digitalSignature")]
    KeyUsageMissing,
    /// X509-SVID section 4.3.
    #[error(
        "the leaf's key usage lacks digitalSignature, without which it cannot prove itself in TLS; have it issued with it"
    )]
    DigitalSignatureMissing,
    /// X509-SVID section 4.4.
    #[error(
        "the leaf's extended key usage lacks {missing}; have it issued with both serverAuth and clientAuth, or without the extension"
    )]
    ExtendedKeyUsage {
        /// What is missing.
        missing: &'static str,
    },
    /// X509-SVID section 3.2.
    #[error("the {certificate} is no CA; after the leaf come only the CAs that issued it")]
    IntermediateNotCa {
        /// The certificate.
        certificate: CertificateName,
    },
    /// X509-SVID section 4.3.
    #[error("the {certificate} lacks keyCertSign in its key usage, so it may issue nothing")]
    IntermediateMayNotSign {
        /// The certificate.
        certificate: CertificateName,
    },
    /// The configuration wants another identity.
    #[error(
        "the identity is {found}, but {expected} is expected; correct the VM's identity or the expectation"
    )]
    UnexpectedId {
        /// The leaf's ID.
        found: SpiffeId,
        /// What was expected.
        expected: IdPattern,
    },
    /// No key at all.
    #[error("the private key is empty: the platform may withhold it, or the file is being written now")]
    KeyEmpty,
    /// The key file is larger than any key.
    #[error("the private key is {found} bytes large; at most {limit} are read")]
    KeyTooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The key file is cut short or holds no PEM.
    #[error("the private key is not whole PEM; if the file is being written now, the next read heals it")]
    KeyPem(#[source] PemError),
    /// No private key block.
    #[error("there is no private key block in the private key's PEM")]
    NoKey,
    /// More than one private key block.
    #[error("there are {found} private keys; wanted exactly one, the leaf's")]
    ManyKeys {
        /// Keys found.
        found: usize,
    },
    /// The key is encrypted.
    #[error(
        "the private key (line {line}) is encrypted; write it unencrypted, with a mode that lets only its readers in"
    )]
    KeyEncrypted {
        /// Where its block begins.
        line: usize,
    },
    /// A private key of a form that we do not read.
    #[error(
        "the private key is in a {found:?} block; wanted PRIVATE KEY (PKCS#8), EC PRIVATE KEY or RSA PRIVATE KEY"
    )]
    KeyLabel {
        /// The block's label.
        found: String,
    },
    /// The key's DER cannot be read.
    #[error("the private key is no PKCS#8, SEC1 or PKCS#1 structure, whatever its label says")]
    KeyMalformed,
    /// The leaf's key is of an unknown kind.
    #[error("the leaf's key algorithm {found} is not supported; use RSA, ECDSA P-256 or P-384, or Ed25519")]
    KeyAlgorithm {
        /// Its object identifier.
        found: String,
    },
    /// The leaf's key is on a curve that we do not use.
    #[error("the leaf's key is on curve {found}; use P-256 or P-384")]
    KeyCurve {
        /// The curve.
        found: &'static str,
    },
    /// The leaf's RSA key is too short.
    #[error("the leaf's RSA key has {bits} bits; at least {wanted} are wanted")]
    KeyTooShort {
        /// Bits found.
        bits: usize,
        /// Bits wanted.
        wanted: usize,
    },
    /// The crypto provider does not load the key.
    #[error("the crypto provider does not take the private key")]
    KeyUnusable(#[source] rustls::Error),
    /// The key is another certificate's.
    #[error(
        "the private key is not the leaf's: files of two rotations are mixed, or the wrong file was given"
    )]
    KeyMismatch,
    /// The crypto provider cannot tell whose key it is.
    #[error("the crypto provider cannot tell whether the private key is the leaf's, so it is not used")]
    KeyNotComparable(#[source] rustls::Error),
    /// The trust bundles cannot be read.
    #[error("the trust bundles that came with the identity are refused")]
    Bundles(#[source] BundleError),
    /// No trust bundle for the leaf's own domain.
    #[error(
        "there is no trust bundle for the leaf's own trust domain {trust_domain}, only for {found:?}; roots of another domain do not count"
    )]
    NoOwnBundle {
        /// The leaf's trust domain.
        trust_domain: TrustDomain,
        /// The first trust domains that have a bundle.
        found: Vec<TrustDomain>,
    },
    /// The own trust domain's bundle is empty.
    #[error("the trust bundle of {trust_domain} has no X.509 root: the platform has taken its trust back")]
    OwnBundleEmpty {
        /// The leaf's trust domain.
        trust_domain: TrustDomain,
    },
    /// A certificate is past its time.
    #[error("the {certificate} expired at {}; it is {} now", Rfc3339(*not_after), Rfc3339(*now))]
    Expired {
        /// The certificate.
        certificate: CertificateName,
        /// Its end.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// A certificate is not valid yet; worth trying again at that time.
    #[error(
        "the {certificate} is not valid before {}; it is {} now: is the clock right?",
        Rfc3339(*not_before),
        Rfc3339(*now)
    )]
    NotYetValid {
        /// The certificate.
        certificate: CertificateName,
        /// When it becomes valid.
        not_before: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// Only a root past its time would have verified the chain.
    #[error(
        "the chain reaches only the {root} of {trust_domain}, which expired at {}; it is {} now: the trust bundle needs a new root",
        Rfc3339(*not_after),
        Rfc3339(*now)
    )]
    RootExpired {
        /// The leaf's trust domain.
        trust_domain: TrustDomain,
        /// The root.
        root: CertificateName,
        /// Its end.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The chain leads to no root of its own trust domain.
    #[error(
        "the chain reaches no root of its own trust domain {trust_domain}: an intermediate is missing, or bundle and chain are not of the same CA"
    )]
    UnknownIssuer {
        /// The leaf's trust domain.
        trust_domain: TrustDomain,
    },
    /// An issuer of the right name did not make the signature.
    #[error(
        "an issuer named in the chain is there for {trust_domain}, but its key did not sign: bundle and chain are not of the same CA, or a certificate was altered"
    )]
    BadSignature {
        /// The leaf's trust domain.
        trust_domain: TrustDomain,
    },
    /// The chain breaks another rule of RFC 5280.
    #[error("the chain does not verify against the roots of {trust_domain}")]
    Chain {
        /// The leaf's trust domain.
        trust_domain: TrustDomain,
        /// The rule.
        #[source]
        source: ChainFault,
    },
}

impl Refusal {
    /// A short name for metrics (`not_yet_valid`), one of a fixed set. A released name does not change.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::CertificatesTooLarge { .. } => "certificates_too_large",
            Self::CertificatesPem(_) => "certificates_pem",
            Self::CertificatesEmpty => "certificates_empty",
            Self::ChainTooLong { .. } => "chain_too_long",
            Self::Certificate { .. } => "certificate",
            Self::Extension { .. } => "extension",
            Self::LeafNotFirst { .. } => "leaf_not_first",
            Self::NoUriSan => "no_uri_san",
            Self::ManyUriSans { .. } => "many_uri_sans",
            Self::NotSpiffeId { .. } => "not_spiffe_id",
            Self::IdWithoutPath { .. } => "id_without_path",
            Self::LeafIsCa { .. } => "leaf_is_ca",
            Self::LeafSigns { .. } => "leaf_signs",
            Self::KeyUsageMissing => "key_usage_missing",
            Self::DigitalSignatureMissing => "digital_signature_missing",
            Self::ExtendedKeyUsage { .. } => "extended_key_usage",
            Self::IntermediateNotCa { .. } => "intermediate_not_ca",
            Self::IntermediateMayNotSign { .. } => "intermediate_may_not_sign",
            Self::UnexpectedId { .. } => "unexpected_id",
            Self::KeyEmpty => "key_empty",
            Self::KeyTooLarge { .. } => "key_too_large",
            Self::KeyPem(_) => "key_pem",
            Self::NoKey => "no_key",
            Self::ManyKeys { .. } => "many_keys",
            Self::KeyEncrypted { .. } => "key_encrypted",
            Self::KeyLabel { .. } => "key_label",
            Self::KeyMalformed => "key_malformed",
            Self::KeyAlgorithm { .. } => "key_algorithm",
            Self::KeyCurve { .. } => "key_curve",
            Self::KeyTooShort { .. } => "key_too_short",
            Self::KeyUnusable(_) => "key_unusable",
            Self::KeyMismatch => "key_mismatch",
            Self::KeyNotComparable(_) => "key_not_comparable",
            Self::Bundles(_) => "bundles",
            Self::NoOwnBundle { .. } => "no_own_bundle",
            Self::OwnBundleEmpty { .. } => "own_bundle_empty",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::RootExpired { .. } => "root_expired",
            Self::UnknownIssuer { .. } => "unknown_issuer",
            Self::BadSignature { .. } => "bad_signature",
            Self::Chain { .. } => "chain",
        }
    }

    /// When it may be worth proving the same candidate again: when a certificate of the future becomes valid.
    pub fn retry_at(&self) -> Option<UnixTime> {
        match self {
            Self::NotYetValid { not_before, .. } => Some(*not_before),
            _ => None,
        }
    }
}
