//! Patterns of SPIFFE IDs, as rules are written with.
//!
//! In: a pattern's text. Out: yes or no for an ID. Never matches over a trust domain's border or within a segment.

use super::path::Segments;
use crate::spiffe_id::{self, SpiffeId, SpiffeIdError, TrustDomain};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A pattern of SPIFFE IDs: `*` is one whole path segment, `**` the rest; the trust domain is exact.
///
/// `**` stands last and for one segment or more. An ID without wildcards is a pattern too, and matches itself alone.
///
/// ```
/// use mtls_identity::{IdPattern, SpiffeId};
///
/// let pattern = IdPattern::parse("spiffe://example.org/ns/shop/sa/*")?;
/// assert!(pattern.matches(&SpiffeId::parse("spiffe://example.org/ns/shop/sa/payments")?));
/// assert!(!pattern.matches(&SpiffeId::parse("spiffe://example.org/ns/shop/sa/payments/batch")?));
/// assert!(!pattern.matches(&SpiffeId::parse("spiffe://example.com/ns/shop/sa/payments")?));
///
/// assert!(IdPattern::parse("spiffe://example.org/ns/shop-*").is_err(), "a part of a segment");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct IdPattern {
    text: Arc<str>,
    trust_domain: TrustDomain,
    segments: Segments,
}

impl IdPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] names the segment and the reason.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let parts = spiffe_id::split(text).map_err(PatternError::Id)?;
        if parts.authority.contains('*') {
            let found = parts.authority.chars().take(64).collect();
            return Err(PatternError::TrustDomain { found });
        }
        let authority_position = parts.path_position - parts.authority.len() - 1;
        spiffe_id::check_authority(parts.authority, authority_position).map_err(PatternError::Id)?;
        let path = parts.path.ok_or(PatternError::NoPath)?;
        Ok(Self {
            text: text.into(),
            trust_domain: TrustDomain::parse(parts.authority).map_err(PatternError::Id)?,
            segments: Segments::parse(path, parts.path_position)?,
        })
    }

    /// Whether an ID matches.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        id.trust_domain() == &self.trust_domain && self.segments.match_path(id.path())
    }

    /// The trust domain, which is always exact.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As text: lists of patterns stand in messages.
impl fmt::Debug for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl FromStr for IdPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

/// Why a text is no pattern. Positions are byte offsets in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// The trust domain or a literal segment is not allowed in a SPIFFE ID.
    #[error("the pattern is not a SPIFFE ID with `*` and `**` in its path")]
    Id(#[source] SpiffeIdError),
    /// A wildcard in the trust domain.
    #[error(
        "the trust domain {found:?} holds a `*`; a trust domain is always written out, one pattern for each"
    )]
    TrustDomain {
        /// The trust domain as written.
        found: String,
    },
    /// No path: it could match no leaf, because a leaf's ID always has one.
    #[error(
        "the pattern has no path, so it matches no workload; end it with /** for all of the trust domain"
    )]
    NoPath,
    /// The pattern of a path alone, without its first slash.
    #[error("a path begins with /, as in /ns/shop/sa/*")]
    NoSlash,
    /// `shop-*`, `***`.
    #[error(
        "the segment {segment:?} at byte {position} mixes `*` with text; `*` stands for one whole segment"
    )]
    PartOfSegment {
        /// The segment.
        segment: String,
        /// Where it begins.
        position: usize,
    },
    /// `/**/x`.
    #[error("`**` at byte {position} is not the last segment; it stands for all the rest")]
    RestNotLast {
        /// Where it begins.
        position: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, id: &str) -> bool {
        IdPattern::parse(pattern)
            .expect(pattern)
            .matches(&SpiffeId::parse(id).expect(id))
    }

    #[test]
    fn wildcards_stand_for_whole_segments() {
        for (pattern, id, wanted) in [
            ("spiffe://td/a/b", "spiffe://td/a/b", true),
            ("spiffe://td/a/b", "spiffe://td/a", false),
            ("spiffe://td/a/b", "spiffe://td/a/b/c", false),
            ("spiffe://td/a/b", "spiffe://td/a/B", false),
            ("spiffe://td/*", "spiffe://td/a", true),
            ("spiffe://td/*", "spiffe://td/a/b", false),
            ("spiffe://td/*", "spiffe://td", false),
            ("spiffe://td/*/b", "spiffe://td/a/b", true),
            ("spiffe://td/*/b", "spiffe://td/a/c", false),
            ("spiffe://td/**", "spiffe://td/a", true),
            ("spiffe://td/**", "spiffe://td/a/b/c", true),
            ("spiffe://td/**", "spiffe://td", false),
            ("spiffe://td/**", "spiffe://td2/a", false),
            ("spiffe://td/**", "spiffe://x.td/a", false),
            ("spiffe://td/a/**", "spiffe://td/a", false),
            ("spiffe://td/a/**", "spiffe://td/a/b", true),
            ("spiffe://td/a/**", "spiffe://td/ab/b", false),
            ("spiffe://td/a/*/**", "spiffe://td/a/b", false),
            ("spiffe://td/a/*/**", "spiffe://td/a/b/c", true),
        ] {
            assert_eq!(matches(pattern, id), wanted, "{pattern} {id}");
        }
    }

    #[test]
    fn each_fault_has_its_name_and_place() {
        use PatternError as E;
        let cases = [
            ("spiffe://td", E::NoPath),
            ("spiffe://*/a", E::TrustDomain { found: "*".into() }),
            ("spiffe://*.td/a", E::TrustDomain { found: "*.td".into() }),
            (
                "spiffe://td/a*/b",
                E::PartOfSegment {
                    segment: "a*".into(),
                    position: 12,
                },
            ),
            (
                "spiffe://td/***",
                E::PartOfSegment {
                    segment: "***".into(),
                    position: 12,
                },
            ),
            ("spiffe://td/a/**/b", E::RestNotLast { position: 14 }),
            ("spiffe://td/**/", E::RestNotLast { position: 12 }),
            (
                "spiffe://td/*/",
                E::Id(SpiffeIdError::TrailingSlash { position: 13 }),
            ),
            (
                "spiffe://td/a//*",
                E::Id(SpiffeIdError::EmptySegment { position: 14 }),
            ),
            (
                "spiffe://td/../*",
                E::Id(SpiffeIdError::DotSegment {
                    segment: "..",
                    position: 12,
                }),
            ),
            (
                "spiffe://td/[ab]/*",
                E::Id(SpiffeIdError::PathCharacter {
                    character: '[',
                    position: 12,
                }),
            ),
            (
                "spiffe://TD/*",
                E::Id(SpiffeIdError::TrustDomainCharacter {
                    character: 'T',
                    position: 9,
                }),
            ),
            ("td/*", E::Id(SpiffeIdError::Scheme { found: "td/*".into() })),
        ];
        for (text, error) in cases {
            assert_eq!(IdPattern::parse(text).expect_err(text), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            drop(IdPattern::parse(&text));
            drop(IdPattern::parse(&format!("spiffe://td/{text}")));
        }

        #[test]
        fn an_id_matches_itself_its_stars_and_nothing_shorter(path in prop::collection::vec("[a-z]{1,3}", 1..5), star in 0usize..5) {
            let id = SpiffeId::parse(&format!("spiffe://td/{}", path.join("/"))).unwrap();
            let mut starred = path.clone();
            starred[star % path.len()] = "*".into();
            let starred = format!("spiffe://td/{}", starred.join("/"));
            prop_assert!(matches(id.as_str(), id.as_str()));
            prop_assert!(matches(&starred, id.as_str()));
            let longer = [format!("{id}/*"), format!("{id}/**")];
            prop_assert!(!matches(&longer[0], id.as_str()));
            prop_assert!(!matches(&longer[1], id.as_str()));
        }
    }
}
