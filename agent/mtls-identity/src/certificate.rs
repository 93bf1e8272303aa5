//! One X.509 certificate: read strictly, named in errors.
//!
//! In: DER. Out: a parsed view and a name that fits in a log line. Never decides whether a certificate is trusted.

use pki_types::UnixTime;
use std::fmt;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// Subjects are written by others; this much of one is shown.
const SHOWN: usize = 128;

/// What a certificate is in its chain or bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateRole {
    /// The first of a chain.
    Leaf,
    /// Another of a chain; the one after the leaf is 1.
    Intermediate(usize),
    /// One of a trust bundle.
    Root,
}

impl CertificateRole {
    /// The role of a chain's certificate; the leaf is 0.
    pub(crate) fn in_chain(position: usize) -> Self {
        match position {
            0 => Self::Leaf,
            n => Self::Intermediate(n),
        }
    }
}

/// Names a certificate in errors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateName {
    /// Where it stands.
    pub role: CertificateRole,
    /// Its subject, at most 128 characters of it; empty for most leaves.
    pub subject: String,
    /// Its serial number, lower-case hex.
    pub serial: String,
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            CertificateRole::Leaf => f.write_str("leaf certificate")?,
            CertificateRole::Intermediate(n) => write!(f, "intermediate certificate {n}")?,
            CertificateRole::Root => f.write_str("root certificate")?,
        }
        write!(f, " (serial {}", self.serial)?;
        if !self.subject.is_empty() {
            write!(f, ", subject {:?}", self.subject)?;
        }
        f.write_str(")")
    }
}

/// Why bytes are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The DER does not hold a certificate of RFC 5280.
    #[error("not a DER X.509 certificate")]
    Der,
    /// Bytes after the certificate.
    #[error("{count} bytes follow the certificate in its block")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// An extension is there twice or cannot be read.
    #[error("its {extension} extension is doubled or malformed")]
    Extension {
        /// The extension.
        extension: &'static str,
    },
}

/// Reads one certificate that fills `der`.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(CertificateError::TrailingBytes { count: rest.len() }),
        Err(_) => Err(CertificateError::Der),
    }
}

pub(crate) fn name(certificate: &X509Certificate<'_>, role: CertificateRole) -> CertificateName {
    CertificateName {
        role,
        subject: shorten(&certificate.subject().to_string()),
        serial: serial(certificate),
    }
}

/// The serial number in lower-case hex, without the sign byte.
pub(crate) fn serial(certificate: &X509Certificate<'_>) -> String {
    let bytes = match certificate.raw_serial() {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    // RFC 5280 section 4.1.2.2: at most 20 bytes; more is shown shortened, not refused.
    bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// From when until when, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

impl Validity {
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Self {
        Self {
            not_before: unix(certificate.validity().not_before),
            not_after: unix(certificate.validity().not_after),
        }
    }

    /// What both have in common; nothing holds in it where that is nothing.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }

    pub(crate) fn holds(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

/// Times before 1970 count as 1970: no check cares how long ago it was.
fn unix(time: ASN1Time) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0)))
}

/// `cA` of the basic constraints.
pub(crate) fn is_ca(certificate: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    let extension = CertificateError::Extension {
        extension: "basicConstraints",
    };
    let oid = x509_parser::oid_registry::OID_X509_EXT_BASIC_CONSTRAINTS;
    // The typed getter takes an unreadable extension for an absent one.
    let present = certificate
        .get_extension_unique(&oid)
        .map_err(|_| extension)?
        .is_some();
    match certificate.basic_constraints().map_err(|_| extension)? {
        Some(constraints) => Ok(constraints.value.ca),
        None if present => Err(extension),
        None => Ok(false),
    }
}

/// Whether it is a CA that, as far as its key usage says anything, may sign certificates.
pub(crate) fn may_sign(certificate: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    let usage = certificate.key_usage().map_err(|_| CertificateError::Extension {
        extension: "keyUsage",
    })?;
    let signs = usage.is_none_or(|usage| usage.value.key_cert_sign());
    Ok(is_ca(certificate)? && signs)
}

/// Whether it names itself as its issuer. When a root changes its key, the old key signs the new one under the same name: such
/// a certificate belongs to chains, and the key identifiers tell it from a root (RFC 5280 section 4.2.1.1).
pub(crate) fn is_root(certificate: &X509Certificate<'_>) -> bool {
    let (mut subject_key, mut issuer_key) = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => subject_key = Some(id),
            ParsedExtension::AuthorityKeyIdentifier(id) => issuer_key = id.key_identifier.as_ref(),
            _ => {}
        }
    }
    let same_key = match (subject_key, issuer_key) {
        (Some(subject), Some(issuer)) => subject == issuer,
        _ => true,
    };
    same_key && certificate.subject().as_raw() == certificate.issuer().as_raw()
}
