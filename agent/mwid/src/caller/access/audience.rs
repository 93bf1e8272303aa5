//! Whether an audience is one that a rule names. In: a pattern and the audience as the caller wrote it. Out: yes or no. Never repairs,
//! decodes or normalises what was asked for: it goes to the platform as it came, so it must match as it came.
//!
//! The text must be the same, character by character, with two exceptions in patterns that have a scheme (`https://…`): the scheme and the
//! host are compared without regard to ASCII case (RFC 3986, 3.2.2), and a label `*` of the host stands for exactly one DNS label of letters,
//! digits and hyphens (RFC 1035, 2.3.1). Since `*` takes no dot, `@`, `:` or `/`, neither userinfo, nor a port, nor a longer name slips in.
//! An audience without a scheme (a client ID, a resource name) has no host and is compared exactly, `*` included.

/// The longest DNS label (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

pub(super) fn matches(pattern: &str, audience: &str) -> bool {
    let (Some(wanted), Some(asked)) = (Url::split(pattern), Url::split(audience)) else {
        // A star outside of a host promises nothing that could be kept.
        return !pattern.contains('*') && pattern == audience;
    };
    wanted.scheme.eq_ignore_ascii_case(asked.scheme)
        && wanted.rest == asked.rest
        && !wanted.rest.contains('*')
        && hosts_match(wanted.authority, asked.authority)
}

fn hosts_match(wanted: &str, asked: &str) -> bool {
    if wanted.contains('@') {
        // Case counts in userinfo, and a star beside it could be anybody's.
        return wanted == asked && !wanted.contains('*');
    }
    let (mut wanted, mut asked) = (wanted.split('.'), asked.split('.'));
    loop {
        match (wanted.next(), asked.next()) {
            (None, None) => return true,
            (Some("*"), Some(label)) if is_label(label) => {}
            (Some(wanted), Some(label)) if !wanted.contains('*') && wanted.eq_ignore_ascii_case(label) => {}
            _ => return false,
        }
    }
}

fn is_label(text: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// `scheme://authority` and what follows, uninterpreted.
struct Url<'a> {
    scheme: &'a str,
    authority: &'a str,
    rest: &'a str,
}

impl<'a> Url<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (scheme, after) = text.split_once("://")?;
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        Some(Self {
            scheme,
            authority,
            rest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    const RUN: &str = "https://*.a.run.app";

    #[test]
    fn a_star_is_one_label_and_the_rest_is_literal() {
        for (pattern, audience) in [
            (RUN, "https://x.a.run.app"),
            (RUN, "https://my-service-abc123.a.run.app"),
            (RUN, "https://xn--bcher-kva.a.run.app"),
            (RUN, "HTTPS://X.A.Run.App"),
            ("https://x.a.run.app", "https://x.a.run.app"),
            ("https://X.a.run.app/Path?q=1", "https://x.A.run.app/Path?q=1"),
            ("https://*.*.run.app:8443", "https://x.y.run.app:8443"),
            (
                "//iam.googleapis.com/projects/1",
                "//iam.googleapis.com/projects/1",
            ),
            ("123.apps.googleusercontent.com", "123.apps.googleusercontent.com"),
            ("https://user@h.example", "https://user@h.example"),
        ] {
            assert!(matches(pattern, audience), "{pattern} {audience}");
        }
    }

    #[test]
    fn tricks_do_not_match() {
        let long = format!("https://{}.a.run.app", "x".repeat(64));
        for audience in [
            "",
            "https://",
            "https://.a.run.app",
            "https://a.run.app",
            "https://x.y.a.run.app",
            "https://*.a.run.app",
            "https://x.a.run.app.",
            "https://x.a.run.app..",
            "https://x..a.run.app",
            "https://evil@x.a.run.app",
            "https://evil:pw@x.a.run.app",
            "https://x@evil.a.run.app",
            "https://a.run.app.evil.com",
            "https://x.a.run.app.evil.com",
            "https://x.a.run.app:443",
            "https://x.a.run.app:443@evil",
            "https://x.a.run.app@evil.com",
            "https://evil.com/x.a.run.app",
            "https://evil.com/.a.run.app",
            "https://evil.com?.a.run.app",
            "https://evil.com#.a.run.app",
            "https://evil.com\\.a.run.app",
            "https://evil.com%2f.a.run.app",
            "https://x%2e.a.run.app",
            "https://x.a.run.app/",
            "https://x.a.run.app/path",
            "https://x.a.run.app?q",
            "https://x.a.run.app#f",
            "http://x.a.run.app",
            "https:/x.a.run.app",
            "https:///x.a.run.app",
            "x.a.run.app",
            "//x.a.run.app",
            " https://x.a.run.app",
            "https://x.a.run.app ",
            "https://x .a.run.app",
            "https://x\t.a.run.app",
            "https://x\0.a.run.app",
            "https://x.a.run.app\r\nX: y",
            "https://x\r\n.a.run.app",
            "https://x\u{2024}y.a.run.app",
            "https://\u{ff58}.a.run.app",
            "https://x\u{3002}a.run.app",
            "https://\u{430}.a.run.app",
            "https://x.a.run.app\u{200b}",
            "https://-x.a.run.app",
            "https://x-.a.run.app",
            "https://x_y.a.run.app",
            &long,
        ] {
            assert!(!matches(RUN, audience), "{audience:?}");
        }
    }

    #[test]
    fn case_counts_outside_of_scheme_and_host() {
        assert!(!matches("https://x.a.run.app/Path", "https://x.a.run.app/path"));
        assert!(!matches("Client-1", "client-1"));
        assert!(!matches("https://user@h.example", "https://USER@h.example"));
        // The Kelvin sign is no K.
        assert!(!matches("https://k.example", "https://\u{212a}.example"));
    }

    #[test]
    fn a_pattern_that_says_nothing_clear_matches_nothing() {
        for pattern in [
            "*",
            "**",
            "https://a*.run.app",
            "https://**.run.app",
            "https://x/*",
            "x.*",
        ] {
            for audience in [pattern, "x", "https://ab.run.app", "https://x/y", "x.y"] {
                assert!(!matches(pattern, audience), "{pattern} {audience}");
            }
        }
        assert!(!matches("", "x"));
        assert!(!matches("*://x", "https://x"), "no star in a scheme");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_matches_is_the_pattern_with_one_label_in_it(middle in any::<String>()) {
            let audience = format!("https://{middle}.a.run.app");
            prop_assert_eq!(matches(RUN, &audience), is_label(&middle));
        }

        #[test]
        fn nothing_can_be_put_around_it(before in "[ -~\\r\\n]{0,9}", after in "[ -~\\r\\n]{0,9}") {
            let audience = format!("{before}https://x.a.run.app{after}");
            prop_assert!(!matches(RUN, &audience) || (before.is_empty() && after.is_empty()));
        }
    }
}
