//! Patterns of paths: what stands behind the trust domain in a SPIFFE ID. In: a pattern's text. Out: yes or no for an ID's path. Never matches within a
//! segment.
use super::PatternError;
use crate::spiffe_id;
use std::fmt;
use std::sync::Arc;

/// A pattern of the path of SPIFFE IDs, in whatever trust domain: `*` is one whole segment, `**` the rest.
///
/// ```
/// use mtls_identity::peer::PathPattern;
///
/// let pattern = PathPattern::parse("/ns/*/sa/web")?;
/// assert!(pattern.matches("/ns/shop/sa/web"));
/// assert!(!pattern.matches("/ns/shop/sa/web/1"));
///
/// assert!(PathPattern::parse("ns/shop").is_err(), "a path begins with a slash");
/// # Ok::<(), mtls_identity::peer::PatternError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Arc<str>,
    segments: Segments,
}

/// A pattern's segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    /// Without a `**` at the end; `None` is `*`.
    wanted: Arc<[Option<Box<str>>]>,
    /// Ends with `**`.
    open: bool,
}

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`PatternError`] names the segment and the reason.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let path = text.strip_prefix('/').ok_or(PatternError::NoSlash)?;
        Ok(Self {
            text: text.into(),
            segments: Segments::parse(path, 1)?,
        })
    }

    /// Whether a path matches, which begins with a slash.
    pub fn matches(&self, path: &str) -> bool {
        self.segments.match_path(path)
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As text, as an ID's pattern.
impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Segments {
    /// Of what follows the first slash; it stands at `position` in the pattern's text and ends with it.
    pub(super) fn parse(path: &str, position: usize) -> Result<Self, PatternError> {
        let end = position + path.len();
        let mut wanted = Vec::new();
        let mut open = false;
        for (segment, position) in spiffe_id::segments(path, position) {
            let last = position + segment.len() == end;
            match segment {
                "*" => wanted.push(None),
                "**" if last => open = true,
                "**" => return Err(PatternError::RestNotLast { position }),
                _ if segment.contains('*') => {
                    return Err(PatternError::PartOfSegment {
                        segment: segment.chars().take(64).collect(),
                        position,
                    });
                }
                _ => {
                    spiffe_id::check_segment(segment, position, last).map_err(PatternError::Id)?;
                    wanted.push(Some(segment.into()));
                }
            }
        }
        Ok(Self {
            wanted: wanted.into(),
            open,
        })
    }

    /// Whether a path matches, its first slash with it.
    pub(super) fn match_path(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut found = path.split('/');
        for wanted in self.wanted.iter() {
            match (found.next(), wanted) {
                (None, _) => return false,
                (Some(_), None) => {}
                (Some(found), Some(wanted)) if **wanted == *found => {}
                (Some(_), Some(_)) => return false,
            }
        }
        found.next().is_some() == self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spiffe_id::SpiffeIdError;

    #[test]
    fn a_path_is_matched_as_behind_a_trust_domain() {
        for (pattern, path, wanted) in [
            ("/a/*", "/a/b", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", false),
            ("/**", "/a/b/c", true),
            ("/**", "", false),
            ("/a", "a", false),
        ] {
            let matches = PathPattern::parse(pattern).unwrap().matches(path);
            assert_eq!(matches, wanted, "{pattern} {path}");
        }
    }

    #[test]
    fn each_fault_of_a_path_has_its_place() {
        for (text, error) in [
            ("a/b", PatternError::NoSlash),
            ("", PatternError::NoSlash),
            ("/**/a", PatternError::RestNotLast { position: 1 }),
            (
                "/",
                PatternError::Id(SpiffeIdError::TrailingSlash { position: 0 }),
            ),
            (
                "/a*",
                PatternError::PartOfSegment {
                    segment: "a*".into(),
                    position: 1,
                },
            ),
        ] {
            assert_eq!(PathPattern::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
