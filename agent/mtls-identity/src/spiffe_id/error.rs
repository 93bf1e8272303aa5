//! Why a text is no SPIFFE ID. Positions are byte offsets in the text that was given.

/// Why a text is no SPIFFE ID or no trust domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// Nothing there.
    #[error("the SPIFFE ID is empty; write spiffe://trust-domain/path")]
    Empty,
    /// SPIFFE-ID section 2.3.
    #[error("the SPIFFE ID is {length} bytes long; the standard allows 2048")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// Another scheme, or the right one in capitals.
    #[error("a SPIFFE ID begins with spiffe:// in lower case, found {found:?}")]
    Scheme {
        /// The beginning of the text.
        found: String,
    },
    /// A trust domain name given as a whole ID.
    #[error("a trust domain is written as its bare name, without spiffe://")]
    NotBare,
    /// `spiffe:///path`.
    #[error("the trust domain is empty; write spiffe://trust-domain/path")]
    TrustDomainEmpty,
    /// SPIFFE-ID section 2.3.
    #[error("the trust domain is {length} bytes long; the standard allows 255")]
    TrustDomainTooLong {
        /// Bytes found.
        length: usize,
    },
    /// `user@`.
    #[error("'@' at byte {position}: a SPIFFE ID holds no user name; remove everything up to it")]
    UserInfo {
        /// Where the `@` is.
        position: usize,
    },
    /// `:8443`.
    #[error("':' at byte {position}: a SPIFFE ID holds no port; remove it")]
    Port {
        /// Where the `:` is.
        position: usize,
    },
    /// A character that a trust domain name must not have.
    #[error(
        "{character:?} at byte {position} is not allowed in a trust domain; use lower-case letters, digits, '.', '-' and '_'"
    )]
    TrustDomainCharacter {
        /// The character.
        character: char,
        /// Where it is.
        position: usize,
    },
    /// `?`.
    #[error("'?' at byte {position}: a SPIFFE ID holds no query; remove it")]
    Query {
        /// Where the `?` is.
        position: usize,
    },
    /// `#`.
    #[error("'#' at byte {position}: a SPIFFE ID holds no fragment; remove it")]
    Fragment {
        /// Where the `#` is.
        position: usize,
    },
    /// `%2F`.
    #[error("'%' at byte {position}: a SPIFFE ID holds no percent-encoding; write the character itself")]
    PercentEncoding {
        /// Where the `%` is.
        position: usize,
    },
    /// A character that a path segment must not have.
    #[error(
        "{character:?} at byte {position} is not allowed in a path; use letters, digits, '.', '-' and '_', and '/' between segments"
    )]
    PathCharacter {
        /// The character.
        character: char,
        /// Where it is.
        position: usize,
    },
    /// `//`.
    #[error("the path segment at byte {position} is empty; write one '/' between segments")]
    EmptySegment {
        /// Where the segment would begin.
        position: usize,
    },
    /// `.` or `..`.
    #[error("the path segment {segment:?} at byte {position} is relative; name the segment")]
    DotSegment {
        /// The segment.
        segment: &'static str,
        /// Where it begins.
        position: usize,
    },
    /// `/` at the end.
    #[error("the path ends with '/' at byte {position}; remove it")]
    TrailingSlash {
        /// Where the last slash is.
        position: usize,
    },
}
