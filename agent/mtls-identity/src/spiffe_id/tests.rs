//! What parses and what does not, fault by fault.
use super::*;
use proptest::prelude::*;

fn wrong(uri: &str) -> SpiffeIdError {
    SpiffeId::parse(uri).expect_err(uri)
}

#[test]
fn good_ids_parse_and_print_the_same() {
    for (uri, domain, path) in [
        ("spiffe://example.org", "example.org", ""),
        ("spiffe://example.org/a", "example.org", "/a"),
        ("spiffe://a_b-c.1/Ns/x.y/_z-/...", "a_b-c.1", "/Ns/x.y/_z-/..."),
        ("spiffe://1.2.3.4/.hidden/..x", "1.2.3.4", "/.hidden/..x"),
    ] {
        let id = SpiffeId::parse(uri).expect(uri);
        assert_eq!(id.to_string(), uri);
        assert_eq!(id.trust_domain().as_str(), domain);
        assert_eq!(id.path(), path);
        assert_eq!(uri.parse::<SpiffeId>().expect(uri), id);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_fault_has_its_name_and_place() {
    use SpiffeIdError as E;
    let cases: &[(&str, E)] = &[
        ("", E::Empty),
        (
            "SPIFFE://example.org/a",
            E::Scheme {
                found: "SPIFFE://exa".into(),
            },
        ),
        (
            "https://example.org/a",
            E::Scheme {
                found: "https://exam".into(),
            },
        ),
        (
            "spiffe:/example.org/a",
            E::Scheme {
                found: "spiffe:/exam".into(),
            },
        ),
        ("spiffe://", E::TrustDomainEmpty),
        ("spiffe:///a", E::TrustDomainEmpty),
        ("spiffe://me@example.org/a", E::UserInfo { position: 11 }),
        ("spiffe://example.org:8443/a", E::Port { position: 20 }),
        ("spiffe://example.org:/a", E::Port { position: 20 }),
        (
            "spiffe://Example.org/a",
            E::TrustDomainCharacter {
                character: 'E',
                position: 9,
            },
        ),
        (
            "spiffe://ex%61mple/a",
            E::TrustDomainCharacter {
                character: '%',
                position: 11,
            },
        ),
        (
            "spiffe://bücher/a",
            E::TrustDomainCharacter {
                character: 'ü',
                position: 10,
            },
        ),
        ("spiffe://example.org/a?b", E::Query { position: 22 }),
        ("spiffe://example.org?b", E::Query { position: 20 }),
        ("spiffe://example.org/a#b", E::Fragment { position: 22 }),
        ("spiffe://example.org/%61", E::PercentEncoding { position: 21 }),
        (
            "spiffe://example.org/a b",
            E::PathCharacter {
                character: ' ',
                position: 22,
            },
        ),
        (
            "spiffe://example.org/a\n",
            E::PathCharacter {
                character: '\n',
                position: 22,
            },
        ),
        (
            "spiffe://example.org/é",
            E::PathCharacter {
                character: 'é',
                position: 21,
            },
        ),
        (
            "spiffe://example.org/a*",
            E::PathCharacter {
                character: '*',
                position: 22,
            },
        ),
        ("spiffe://example.org//a", E::EmptySegment { position: 21 }),
        ("spiffe://example.org/a//b", E::EmptySegment { position: 23 }),
        (
            "spiffe://example.org/./a",
            E::DotSegment {
                segment: ".",
                position: 21,
            },
        ),
        (
            "spiffe://example.org/a/..",
            E::DotSegment {
                segment: "..",
                position: 23,
            },
        ),
        ("spiffe://example.org/", E::TrailingSlash { position: 20 }),
        ("spiffe://example.org/a/", E::TrailingSlash { position: 22 }),
    ];
    for (uri, error) in cases {
        assert_eq!(&wrong(uri), error, "{uri}");
    }
}

#[test]
fn lengths_are_those_of_the_standard() {
    let domain = "a".repeat(255);
    assert!(TrustDomain::parse(&domain).is_ok());
    assert_eq!(
        TrustDomain::parse(&format!("{domain}a")),
        Err(SpiffeIdError::TrustDomainTooLong { length: 256 })
    );
    let id = format!("spiffe://td/{}", "p".repeat(2048 - 12));
    assert_eq!(id.len(), 2048);
    assert!(SpiffeId::parse(&id).is_ok());
    assert_eq!(wrong(&format!("{id}p")), SpiffeIdError::TooLong { length: 2049 });
}

#[test]
fn a_trust_domain_is_a_bare_name() {
    use SpiffeIdError as E;
    assert_eq!(TrustDomain::parse("spiffe://example.org"), Err(E::NotBare));
    assert_eq!(TrustDomain::parse(""), Err(E::TrustDomainEmpty));
    assert_eq!(
        TrustDomain::parse("example.org/a"),
        Err(E::TrustDomainCharacter {
            character: '/',
            position: 11
        })
    );
    assert_eq!(TrustDomain::parse("example.org:1"), Err(E::Port { position: 11 }));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        drop(SpiffeId::parse(&text).map(|id| id.path().len()));
        drop(SpiffeId::parse(&format!("spiffe://{text}")).map(|id| id.path().len()));
        drop(SpiffeId::parse(&format!("spiffe://td/{text}")).map(|id| id.path().len()));
        drop(TrustDomain::parse(&text));
    }

    #[test]
    fn what_is_allowed_parses_and_prints_the_same(
        domain in "[a-z0-9._-]{1,40}",
        path in prop::collection::vec("[A-Za-z0-9_-][A-Za-z0-9._-]{0,10}", 0..6),
    ) {
        let path: String = path.iter().map(|segment| format!("/{segment}")).collect();
        let uri = format!("spiffe://{domain}{path}");
        let id = SpiffeId::parse(&uri).unwrap();
        prop_assert_eq!(id.as_str(), &uri);
        prop_assert_eq!(id.path(), &path);
        prop_assert_eq!(format!("{}{}", id.trust_domain().id(), id.path()), uri);
    }

    #[test]
    fn what_parses_holds_nothing_that_the_standard_forbids(text in "spiffe://[a-z./%:@?#A-Z*-]{0,30}") {
        if let Ok(id) = SpiffeId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(!text.contains(['%', '@', '?', '#', '*']));
            prop_assert!(!text[9..].contains("//") && !text.ends_with('/'));
            prop_assert!(id.path().split('/').all(|s| s != "." && s != ".."));
        }
    }
}
