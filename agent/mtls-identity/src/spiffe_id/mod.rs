//! SPIFFE IDs and trust domains, as strict as the SPIFFE-ID standard (sections 2.1 to 2.3).
//!
//! In: text that others wrote. Out: values that need no second look. Never repairs, decodes or lower-cases what it reads.

mod error;
#[cfg(test)]
mod tests;

pub use error::SpiffeIdError;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

const SCHEME: &str = "spiffe://";
/// SPIFFE-ID section 2.3: longer IDs must not be made, shorter ones must be understood.
pub(crate) const MAX_ID: usize = 2048;
/// SPIFFE-ID section 2.3, after the host of RFC 3986.
const MAX_TRUST_DOMAIN: usize = 255;

/// A trust domain's name, `example.org` (without scheme).
///
/// ```
/// use mtls_identity::TrustDomain;
///
/// let domain = TrustDomain::parse("pool.global.123.workload.id.goog")?;
/// assert_eq!(domain.id(), "spiffe://pool.global.123.workload.id.goog");
/// assert!(TrustDomain::parse("Example.org").is_err(), "lower case only");
/// # Ok::<(), mtls_identity::spiffe_id::SpiffeIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Parses a bare name: 1 to 255 of `a-z 0-9 . - _` (SPIFFE-ID section 2.1).
    ///
    /// # Errors
    /// [`SpiffeIdError`] says which rule the name breaks and where.
    pub fn parse(name: &str) -> Result<Self, SpiffeIdError> {
        if name.starts_with(SCHEME) {
            return Err(SpiffeIdError::NotBare);
        }
        check_authority(name, 0)?;
        Ok(Self(name.into()))
    }

    /// The bare name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain's own SPIFFE ID, `spiffe://name`.
    pub fn id(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As text: lists of names stand in messages.
impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(name: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(name)
    }
}

/// A SPIFFE ID, `spiffe://trust-domain/path`.
///
/// Two IDs are equal when their bytes are equal: there is one way to write an ID, and no other is accepted.
///
/// ```
/// use mtls_identity::SpiffeId;
///
/// let id = SpiffeId::parse("spiffe://example.org/ns/shop/sa/payments")?;
/// assert_eq!(id.trust_domain().as_str(), "example.org");
/// assert_eq!(id.path(), "/ns/shop/sa/payments");
///
/// let wrong = SpiffeId::parse("spiffe://example.org/ns/%73hop").unwrap_err();
/// assert!(wrong.to_string().contains("percent-encoding"));
/// # Ok::<(), mtls_identity::spiffe_id::SpiffeIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    uri: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Parses a URI. A trust domain's own ID (without a path) is a SPIFFE ID too, but never that of a leaf.
    ///
    /// # Errors
    /// [`SpiffeIdError`] says which rule of the SPIFFE-ID standard the text breaks and where.
    pub fn parse(uri: &str) -> Result<Self, SpiffeIdError> {
        let parts = split(uri)?;
        check_authority(parts.authority, SCHEME.len())?;
        if let Some(path) = parts.path {
            for (segment, position) in segments(path, parts.path_position) {
                check_segment(segment, position, position + segment.len() == uri.len())?;
            }
        }
        Ok(Self {
            uri: uri.into(),
            trust_domain: TrustDomain(parts.authority.into()),
        })
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash; empty for a trust domain's own ID.
    pub fn path(&self) -> &str {
        &self.uri[SCHEME.len() + self.trust_domain.0.len()..]
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// As text: lists of IDs stand in messages.
impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.uri, f)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(uri: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(uri)
    }
}

/// A URI cut into authority and path, neither checked yet.
pub(crate) struct Parts<'a> {
    pub(crate) authority: &'a str,
    /// Without its leading slash; `None` when there is no slash.
    pub(crate) path: Option<&'a str>,
    pub(crate) path_position: usize,
}

/// Checks length, scheme and that there is neither query nor fragment, and cuts at the first slash.
pub(crate) fn split(uri: &str) -> Result<Parts<'_>, SpiffeIdError> {
    if uri.is_empty() {
        return Err(SpiffeIdError::Empty);
    }
    if uri.len() > MAX_ID {
        return Err(SpiffeIdError::TooLong { length: uri.len() });
    }
    let Some(rest) = uri.strip_prefix(SCHEME) else {
        let found = uri.chars().take(SCHEME.len() + 3).collect();
        return Err(SpiffeIdError::Scheme { found });
    };
    match rest.find(['?', '#']).map(|at| (at, rest.as_bytes()[at])) {
        Some((at, b'?')) => {
            return Err(SpiffeIdError::Query {
                position: SCHEME.len() + at,
            });
        }
        Some((at, _)) => {
            return Err(SpiffeIdError::Fragment {
                position: SCHEME.len() + at,
            });
        }
        None => {}
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (rest, None),
    };
    Ok(Parts {
        authority,
        path,
        path_position: SCHEME.len() + authority.len() + 1,
    })
}

/// The segments of a path (given without its leading slash) with their positions in the URI.
pub(crate) fn segments(path: &str, position: usize) -> impl Iterator<Item = (&str, usize)> {
    path.split('/').scan(position, |next, segment| {
        let here = *next;
        *next += segment.len() + 1;
        Some((segment, here))
    })
}

/// SPIFFE-ID section 2.1: a host of lower-case letters, digits, dots, dashes and underscores; no userinfo, no port.
pub(crate) fn check_authority(authority: &str, position: usize) -> Result<(), SpiffeIdError> {
    if authority.is_empty() {
        return Err(SpiffeIdError::TrustDomainEmpty);
    }
    if authority.len() > MAX_TRUST_DOMAIN {
        return Err(SpiffeIdError::TrustDomainTooLong {
            length: authority.len(),
        });
    }
    if let Some(at) = authority.find('@') {
        return Err(SpiffeIdError::UserInfo {
            position: position + at,
        });
    }
    if let Some(at) = authority.find(':') {
        return Err(SpiffeIdError::Port {
            position: position + at,
        });
    }
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
    match authority.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, character)) => Err(SpiffeIdError::TrustDomainCharacter {
            character,
            position: position + at,
        }),
        None => Ok(()),
    }
}

/// SPIFFE-ID section 2.2: letters, digits, dots, dashes and underscores; not empty, not `.` and not `..`.
pub(crate) fn check_segment(segment: &str, position: usize, last: bool) -> Result<(), SpiffeIdError> {
    match segment {
        "" if last => {
            return Err(SpiffeIdError::TrailingSlash {
                position: position - 1,
            });
        }
        "" => return Err(SpiffeIdError::EmptySegment { position }),
        "." => {
            return Err(SpiffeIdError::DotSegment {
                segment: ".",
                position,
            });
        }
        ".." => {
            return Err(SpiffeIdError::DotSegment {
                segment: "..",
                position,
            });
        }
        _ => {}
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match segment.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, '%')) => Err(SpiffeIdError::PercentEncoding {
            position: position + at,
        }),
        Some((at, character)) => Err(SpiffeIdError::PathCharacter {
            character,
            position: position + at,
        }),
        None => Ok(()),
    }
}
