//! Why bytes are no trust bundle.

use crate::certificate::{CertificateError, CertificateName};
use crate::pem::PemError;
use crate::spiffe_id::{SpiffeIdError, TrustDomain};

/// Why bytes are no trust bundle. Positions count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The document is larger than any honest one.
    #[error("the trust bundle is {found} bytes large; at most {limit} are read")]
    TooLarge {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More keys than one trust domain may have.
    #[error("the trust bundle holds {found} keys; at most {limit} are allowed for one trust domain")]
    TooManyKeys {
        /// Keys found.
        found: usize,
        /// Keys allowed.
        limit: usize,
    },
    /// More trust domains than one map may have.
    #[error("the bundle map holds {found} trust domains; at most {limit} are allowed")]
    TooManyDomains {
        /// Trust domains found.
        found: usize,
        /// Trust domains allowed.
        limit: usize,
    },
    /// The PEM is broken.
    #[error("the trust bundle is not whole PEM")]
    Pem(#[source] PemError),
    /// No certificate in a PEM bundle.
    #[error("the trust bundle holds no CERTIFICATE block; at least one root is needed")]
    NoCertificates,
    /// One of the certificates cannot be read.
    #[error("certificate {position} of the trust bundle cannot be read")]
    Certificate {
        /// Which one.
        position: usize,
        /// What is wrong with it.
        #[source]
        source: CertificateError,
    },
    /// One of the certificates may not sign others.
    #[error("certificate {position} of the trust bundle, {certificate}, is no CA that may sign certificates")]
    NotCa {
        /// Which one.
        position: usize,
        /// Its name.
        certificate: CertificateName,
    },
    /// Not JSON.
    #[error("the trust bundle is not JSON")]
    Json(#[source] serde_json::Error),
    /// One object holds a key twice: readers would differ in which one they take.
    #[error(
        "the JSON key {key:?} is there twice in one object, at line {line}; readers differ in which one they take"
    )]
    DuplicateKey {
        /// The key, at most 128 characters of it.
        key: String,
        /// Where the second one is.
        line: usize,
    },
    /// A member has another type than the standard says, or is missing.
    #[error("{member} of the trust bundle must be {wanted}")]
    Member {
        /// The member.
        member: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// A member of one key has another type or value than the standard says, or is missing.
    #[error("{member} of key {position} in the trust bundle must be {wanted}")]
    Key {
        /// Which key.
        position: usize,
        /// The member.
        member: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// A key of the map is no trust domain name.
    #[error("{found:?} in the bundle map is no trust domain; write its bare name")]
    TrustDomain {
        /// The key, at most 128 characters of it.
        found: String,
        /// Why not.
        #[source]
        source: SpiffeIdError,
    },
    /// The bundle of one trust domain in a map is at fault.
    #[error("the bundle of trust domain {trust_domain} is refused, and with it the whole map")]
    InDomain {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// What is wrong with it.
        #[source]
        source: Box<BundleError>,
    },
    /// A second bundle for a trust domain: bundles are never merged.
    #[error(
        "there is a bundle for trust domain {trust_domain} already; bundles are never merged, give one with all roots"
    )]
    SecondBundle {
        /// The trust domain.
        trust_domain: TrustDomain,
    },
}
