//! `tokens.source`: each form, and what is wrong with others.
use super::{refused, right};
use crate::config::{Settings, TokenSourceSettings as Source, load_dev};
use std::path::Path;

fn source(text: &str) -> Source {
    right(&format!("tokens: {{ source: {text} }}")).tokens
}

#[test]
fn each_source_of_tokens_has_its_name() {
    for (text, wanted) in [
        ("auto", Source::Auto),
        ("none", Source::None),
        ("metadata", Source::Metadata { address: None }),
        ("{ metadata: {} }", Source::Metadata { address: None }),
        (
            "{ metadata: { address: \"127.0.0.1:80\" } }",
            Source::Metadata {
                address: Some("127.0.0.1:80".parse().unwrap()),
            },
        ),
        ("adc", Source::Adc { file: None }),
        ("{ adc: {} }", Source::Adc { file: None }),
        (
            "{ adc: { file: /etc/mwid/key.json } }",
            Source::Adc {
                file: Some("/etc/mwid/key.json".into()),
            },
        ),
        ("dev", Source::Dev),
    ] {
        assert_eq!(source(text), wanted, "{text}");
    }
    assert_eq!(right("tokens: {}").tokens, Source::Auto);
    assert_eq!(Settings::default().tokens, Source::Auto);
}

#[test]
fn impersonation_stands_on_another_source() {
    let of = |from: Source, delegates: &[&str], endpoint: Option<&str>| Source::Impersonate {
        email: "a@p.iam.gserviceaccount.com".to_owned(),
        delegates: delegates.iter().map(|d| (*d).to_owned()).collect(),
        from: Box::new(from),
        endpoint: endpoint.map(str::to_owned),
    };
    let text = |rest: &str| format!("{{ impersonate: {{ email: a@p.iam.gserviceaccount.com{rest} }} }}");
    let adc = Source::Adc {
        file: Some("/k.json".into()),
    };
    let metadata = Source::Metadata { address: None };
    for (rest, wanted) in [
        ("", of(Source::Auto, &[], None)),
        (", from: auto", of(Source::Auto, &[], None)),
        (", from: metadata", of(metadata.clone(), &[], None)),
        (", from: { adc: { file: /k.json } }", of(adc, &[], None)),
        (", from: { metadata: {} }", of(metadata, &[], None)),
        (", from: dev", of(Source::Dev, &[], None)),
        (
            ", delegates: [b@p.iam.gserviceaccount.com, 123-compute@developer.gserviceaccount.com]",
            of(
                Source::Auto,
                &[
                    "b@p.iam.gserviceaccount.com",
                    "123-compute@developer.gserviceaccount.com",
                ],
                None,
            ),
        ),
        (
            ", endpoint: \"https://iamcredentials-x.p.googleapis.com/\"",
            of(
                Source::Auto,
                &[],
                Some("https://iamcredentials-x.p.googleapis.com"),
            ),
        ),
        (
            ", endpoint: \"http://[::1]:99\"",
            of(Source::Auto, &[], Some("http://[::1]:99")),
        ),
        (
            ", endpoint: \"http://127.0.0.1:99/\"",
            of(Source::Auto, &[], Some("http://127.0.0.1:99")),
        ),
    ] {
        assert_eq!(source(&text(rest)), wanted, "{rest}");
    }
}

#[test]
fn sources_of_tokens_are_judged() {
    let words = "wanted auto, none, metadata, adc, dev or { impersonate: { … } }";
    let one = "wanted auto, none, or one source of tokens, such as { adc: { file: /path } }";
    refused(&[
        (
            "tokens: { source: gcloud }",
            &[&format!("1:19: tokens.source: found \"gcloud\"; {words}")],
        ),
        (
            "tokens: { source: impersonate }",
            &[&format!(
                "1:19: tokens.source: found \"impersonate\"; {words}; say whom: {{ impersonate: {{ email: ACCOUNT }} }}"
            )],
        ),
        (
            "tokens: { source: {} }",
            &[&format!("1:19: tokens.source: found an empty map; {one}")],
        ),
        (
            "tokens: { source: [adc] }",
            &[&format!("1:19: tokens.source: found a list; {one}")],
        ),
        (
            "tokens: { source: { adc: {}, metadata: {} } }",
            &[&format!("1:19: tokens.source: found two sources; {one}")],
        ),
        (
            "tokens: { from: adc }",
            &[
                "1:11: tokens.from: found an unknown key; wanted `source`; correct the spelling or the indentation, or remove it",
            ],
        ),
        (
            "tokens: { source: { dev: {} } }",
            &[
                "1:21: tokens.source.dev: found an unknown key; wanted one of `metadata`, `adc`, `impersonate`; \
               correct the spelling or the indentation, or remove it",
            ],
        ),
        (
            "tokens: { source: { adc: { file: key.json } } }",
            &[
                "1:34: tokens.source.adc.file: found \"key.json\"; wanted an absolute path; write it in full, from /",
            ],
        ),
        (
            "tokens: { source: { metadata: { address: \"10.0.0.1:80\" } } }",
            &["1:42: tokens.source.metadata.address: found \"10.0.0.1:80\"; \
               wanted the metadata server's address: IP:PORT, loopback or link-local (169.254.169.254); \
               the tokens would travel over the network in plain text"],
        ),
        (
            "tokens: { source: { metadata: { poll: 1s } } }",
            &[
                "1:33: tokens.source.metadata.poll: found an unknown key; wanted `address`; \
               correct the spelling or the indentation, or remove it",
            ],
        ),
    ]);
}

const EMAIL: &str = "wanted a service account's e-mail address, such as name@project.iam.gserviceaccount.com";

#[test]
fn impersonation_is_judged() {
    let from = "wanted auto, metadata, adc or dev";
    refused(&[
        (
            "tokens: { source: { impersonate: { from: adc } } }",
            &[
                "1:34: tokens.source.impersonate: found no `email`; wanted the service account whose tokens are wanted; \
               say email: NAME@PROJECT.iam.gserviceaccount.com",
            ],
        ),
        (
            "tokens:\n  source:\n    impersonate:\n      email: a\n      from: none\n      delegates: [a@b, b@c.d, b@c.d]\n",
            &[
                &format!(
                    "4:14: tokens.source.impersonate.email: found \"a\"; {EMAIL}; \
                     write the whole address: gcloud iam service-accounts list"
                ),
                &format!(
                    "5:13: tokens.source.impersonate.from: found \"none\"; {from}; \
                     impersonation asks with the tokens of a source of its own"
                ),
                &format!("6:19: tokens.source.impersonate.delegates[0]: found \"a@b\"; {EMAIL}"),
                "6:31: tokens.source.impersonate.delegates[2]: found \"b@c.d\" a second time; wanted each account once",
            ],
        ),
        (
            "tokens: { source: { impersonate: { email: a/../b@c.d, from: { impersonate: { email: b@c.d } } } } }",
            &[
                &format!("1:43: tokens.source.impersonate.email: found \"a/../b@c.d\"; {EMAIL}"),
                &format!(
                    "1:61: tokens.source.impersonate.from: found `impersonate` in `impersonate`; {from}; to go through other \
                     accounts, name them in `delegates`; each must let the one before it make its tokens"
                ),
            ],
        ),
        (
            "tokens: { source: { impersonate: { email: b@c.d, from: gcloud } } }",
            &[&format!(
                "1:56: tokens.source.impersonate.from: found \"gcloud\"; {from}"
            )],
        ),
    ]);
}

#[test]
fn endpoints_are_judged() {
    let wanted = "wanted an API's URL, https://HOST, such as https://iamcredentials.googleapis.com";
    for (endpoint, fix) in [
        ("iamcredentials.googleapis.com", "; begin it with https://"),
        ("ftp://a.b", "; begin it with https://"),
        ("https://me@a.b", "; write the host alone, without a user"),
        ("https://a.b/v1", "; write no path: mwid adds the method's own"),
        ("https://a.b?x=y", "; write no path: mwid adds the method's own"),
        ("https://a.b:0", "; write a port from 1 to 65535"),
        ("https://a.b:99999", "; write a port from 1 to 65535"),
        ("https://", ""),
        (
            "http://a.b",
            "; tokens would travel in plain text; only 127.0.0.1 or [::1] may be asked over http",
        ),
        (
            "http://localhost:80",
            "; tokens would travel in plain text; only 127.0.0.1 or [::1] may be asked over http",
        ),
    ] {
        refused(&[(
            &format!("tokens: {{ source: {{ impersonate: {{ email: b@c.d, endpoint: \"{endpoint}\" }} }} }}"),
            &[&format!(
                "1:60: tokens.source.impersonate.endpoint: found \"{endpoint}\"; {wanted}{fix}"
            )],
        )]);
    }
}

#[test]
fn the_embedded_platform_has_tokens_of_its_own_unless_the_file_names_others() {
    assert_eq!(Settings::dev(Path::new("/tmp/dev")).tokens, Source::Dev);
    assert_eq!(Settings::dev(Path::new("/tmp/dev")).access, []);
    let file = tempfile::NamedTempFile::new().unwrap();
    for (text, wanted) in [
        ("log: { level: info }\n", Source::Dev),
        ("tokens: { source: adc }\n", Source::Adc { file: None }),
    ] {
        std::fs::write(file.path(), text).unwrap();
        assert_eq!(
            load_dev(file.path(), Path::new("/tmp/dev")).unwrap().tokens,
            wanted
        );
    }
}
