//! A SPIFFE ID taken apart without judging it, so that each rule can be looked at by itself (SPIFFE-ID, 2).

/// The parts of a URI as they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The whole text.
    pub whole: &'a str,
    /// Before `://`.
    pub scheme: &'a str,
    /// Between `://` and the path.
    pub authority: &'a str,
    /// From the first slash; empty if there is none.
    pub path: &'a str,
    /// Query and fragment with their marks.
    pub rest: &'a str,
}

impl<'a> Parts<'a> {
    /// Of any text.
    pub fn of(whole: &'a str) -> Self {
        let (scheme, after) = whole.split_once("://").unwrap_or(("", whole));
        let (hierarchy, rest) = after.split_at(after.find(['?', '#']).unwrap_or(after.len()));
        let (authority, path) = hierarchy.split_at(hierarchy.find('/').unwrap_or(hierarchy.len()));
        Self {
            whole,
            scheme,
            authority,
            path,
            rest,
        }
    }

    /// The host in the authority, whatever stands around it.
    pub fn host(&self) -> &'a str {
        let host = self
            .authority
            .rsplit_once('@')
            .map_or(self.authority, |(_, host)| host);
        host.split_once(':').map_or(host, |(host, _)| host)
    }

    /// The name of the trust domain, as it is compared.
    pub fn trust_domain(&self) -> String {
        self.host().to_ascii_lowercase()
    }

    /// The segments of the path; none for no path or for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let path = self.path.strip_prefix('/').unwrap_or(self.path);
        let path = path.strip_suffix('/').unwrap_or(path);
        path.split('/').filter(move |_| !path.is_empty())
    }
}

/// Whether a text is the SPIFFE ID of a trust domain, and nothing more: `spiffe://name`.
pub fn is_trust_domain(text: &str) -> bool {
    let id = Parts::of(text);
    id.scheme == "spiffe"
        && !id.authority.is_empty()
        && id.authority.len() <= 255
        && id
            .authority
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        && id.path.is_empty()
        && id.rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_has_parts() {
        let id = Parts::of("spiffe://user@Example.org:80/a//b/?q#f");
        assert_eq!(
            (id.scheme, id.authority, id.path, id.rest),
            ("spiffe", "user@Example.org:80", "/a//b/", "?q#f")
        );
        assert_eq!(id.host(), "Example.org");
        assert_eq!(id.trust_domain(), "example.org");
        assert_eq!(id.segments().collect::<Vec<_>>(), ["a", "", "b"]);
        assert_eq!(Parts::of("x").scheme, "");
        assert_eq!(Parts::of("spiffe://a/").segments().count(), 0);
    }

    #[test]
    fn a_trust_domain_is_a_name_alone() {
        assert!(is_trust_domain("spiffe://example.org"));
        for text in [
            "example.org",
            "spiffe://",
            "spiffe://Example.org",
            "spiffe://example.org/",
            "spiffe://example.org/a",
            "spiffe://example.org?a",
        ] {
            assert!(!is_trust_domain(text), "{text}");
        }
    }
}
