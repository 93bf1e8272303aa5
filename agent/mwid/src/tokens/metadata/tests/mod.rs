//! The source against the embedded platform, which is as strict as the real server, and against servers that are not as they should be.
mod binding;
mod scopes;
mod trouble;

use super::*;
use crate::dev::platform::testing::{Fault, Platform};
use crate::report::Causes;
use crate::tokens::{Failure, IdFormat};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls::time_provider::TimeProvider;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::metadata::{Answer as Told, Server};
use tokio::time::pause;

const EMAIL: &str = "dev-vm@mwid-dev.iam.gserviceaccount.com";
const GCS: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const NOW: u64 = 1_800_000_000;
const TOKEN: &str = "instance/service-accounts/default/token";
const INFO: &str = "instance/service-accounts/default/?recursive=true";

#[derive(Debug)]
struct TestClock(AtomicU64);

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds > 0).then(|| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn clock() -> (Arc<TestClock>, Clock) {
    let clock = Arc::new(TestClock(AtomicU64::new(NOW)));
    (Arc::clone(&clock), clock)
}

fn start() -> (Platform, Source) {
    let platform = Platform::start(clock().1);
    let source = Source::new(Client::new(platform.address()), "dev", clock().1);
    (platform, source)
}

fn over(server: &Server) -> Source {
    Source::new(Client::new(server.address()), "metadata", clock().1)
}

fn wanting(scopes: &[&str]) -> AccessAsk {
    AccessAsk {
        account: Account::Default,
        scopes: match scopes {
            [] => Scopes::Default,
            some => Scopes::Exactly(some.iter().map(|&scope| scope.to_owned()).collect()),
        },
        binding: None,
    }
}

fn for_audience(audience: &str, format: IdFormat) -> IdAsk {
    IdAsk {
        account: Account::Default,
        audience: audience.to_owned(),
        format,
        binding: None,
    }
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmVk", part(&json!({"alg": "RS256"})), part(claims))
}

/// An error in words, with its failure; and no word in it that a token has.
fn told<T>(result: Result<T, TokenError>) -> (Failure, String) {
    let Err(error) = result else {
        panic!("it should have failed")
    };
    let words = format!("{} {error:?}", Causes(&error));
    for secret in ["ya29.", "eyJ", "secret"] {
        assert!(!words.contains(secret), "{words}");
    }
    (error.failure(), words)
}

#[tokio::test]
async fn the_default_token_is_the_platform_s_with_the_true_life() {
    let (platform, source) = start();
    let token = source.access(&wanting(&[])).await.unwrap();
    assert_eq!(token.expires_at.as_secs(), NOW + 3599);
    assert_eq!(token.token_type, "Bearer");
    assert!(
        claims(&token.secret)["scope"]
            .as_str()
            .unwrap()
            .contains("cloud-platform")
    );
    let named = AccessAsk {
        account: Account::Named(EMAIL.to_owned()),
        ..wanting(&[])
    };
    assert_eq!(source.access(&named).await.unwrap().secret, token.secret);
    assert_eq!(
        platform.asked(),
        [
            TOKEN.to_owned(),
            format!("instance/service-accounts/{EMAIL}/token")
        ]
    );
    assert_eq!(
        (source.kind(), source.place()),
        ("dev", Some(platform.address().to_string()))
    );
}

#[tokio::test]
async fn the_life_is_counted_from_before_the_question() {
    let (source_clock, shared) = clock();
    let platform = Platform::start(clock().1);
    let source = Source::new(Client::new(platform.address()), "dev", shared);
    pause();
    platform.fail_times(Fault::Slow(Duration::from_secs(7)), 1);
    let later = async {
        while platform.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        source_clock.0.store(NOW + 7, Ordering::Relaxed);
    };
    let ask = wanting(&[]);
    let (token, ()) = tokio::join!(source.access(&ask), later);
    assert_eq!(token.unwrap().expires_at.as_secs(), NOW + 3599);
}

#[tokio::test]
async fn an_id_token_is_for_the_audience_as_it_was_written() {
    let (platform, source) = start();
    for (audience, format) in [
        ("https://a-b.run.app", IdFormat::Standard),
        (
            "//iam.googleapis.com/a?b=c&d=%2F#ä +\"",
            IdFormat::Full { licenses: false },
        ),
        (
            "32555940559.apps.googleusercontent.com",
            IdFormat::Full { licenses: true },
        ),
    ] {
        let token = source.id(&for_audience(audience, format)).await.unwrap();
        let said = claims(&token.secret);
        assert_eq!(said["aud"], audience);
        assert_eq!(token.expires_at.as_secs(), NOW + 3600);
        let engine = &said["google"]["compute_engine"];
        assert_eq!(engine.is_object(), format != IdFormat::Standard);
        assert_eq!(
            engine["license_id"].is_array(),
            format == IdFormat::Full { licenses: true }
        );
    }
    let first =
        "instance/service-accounts/default/identity?audience=https%3A%2F%2Fa-b.run.app&format=standard";
    assert_eq!(platform.asked()[0], first);
    assert!(platform.asked()[2].ends_with("&format=full&licenses=TRUE"));
    let (failure, words) = told(source.id(&for_audience("", IdFormat::Standard)).await);
    assert_eq!(failure, Failure::BadRequest);
    assert!(words.contains("non-empty audience parameter required"), "{words}");
}

#[tokio::test]
async fn an_id_token_for_another_audience_or_of_yesterday_is_not_handed_on() {
    let server = Server::start();
    let path = "instance/service-accounts/default/identity?audience=https%3A%2F%2Fa.example&format=standard";
    let ask = for_audience("https://a.example", IdFormat::Standard);
    for (body, wanted) in [
        (
            jwt(&json!({"aud": "https://b.example", "exp": NOW + 60})),
            Some(Failure::Refused),
        ),
        (
            jwt(&json!({"aud": "https://a.example/", "exp": NOW + 60})),
            Some(Failure::Refused),
        ),
        (
            jwt(&json!({"aud": ["https://a.example", "https://b.example"], "exp": NOW + 60})),
            Some(Failure::LATER),
        ),
        (
            jwt(&json!({"aud": "https://a.example", "exp": NOW})),
            Some(Failure::LATER),
        ),
        (jwt(&json!({"aud": "https://a.example"})), Some(Failure::LATER)),
        ("<html>secret</html>".to_owned(), Some(Failure::LATER)),
        (jwt(&json!({"aud": ["https://a.example"], "exp": NOW + 60})), None),
        (
            jwt(&json!({"aud": "https://a.example", "exp": NOW + 1})) + "\n",
            None,
        ),
    ] {
        server.set(path, Told::status(200, &body));
        let token = over(&server).id(&ask).await;
        match wanted {
            Some(failure) => assert_eq!(told(token).0, failure, "{body}"),
            None => assert_eq!(*token.unwrap().secret, body.trim()),
        }
    }
    server.set(
        path,
        Told::status(200, &jwt(&json!({"aud": "https://a.example", "exp": u64::MAX}))),
    );
    let token = over(&server).id(&ask).await.unwrap();
    assert_eq!(
        token.expires_at.as_secs(),
        NOW + answer::LONGEST_LIFE,
        "no token is kept for ever"
    );
}

#[tokio::test]
async fn a_binding_is_passed_on_as_it_came() {
    let (platform, source) = start();
    let leaf = testkit::pki::World::new("example.org").leaf("/a");
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf.leaf_der);
    let bound = json!({"x5t#S256": URL_SAFE_NO_PAD.encode(sum.as_ref())});
    let by_query = Binding {
        query: vec![
            (
                "bindCertificateFingerprint".to_owned(),
                STANDARD_NO_PAD.encode(sum.as_ref()),
            ),
            ("transport".to_owned(), "mtls".to_owned()),
        ],
        body: None,
    };
    let by_body = Binding {
        query: vec![],
        body: Some(
            json!({"certificate_chain": leaf.chain_pem})
                .to_string()
                .into_bytes(),
        ),
    };
    for (binding, transport) in [(by_query, json!("mtls")), (by_body.clone(), Value::Null)] {
        for scopes in [&[][..], &[GCS]] {
            let ask = AccessAsk {
                binding: Some(binding.clone()),
                ..wanting(scopes)
            };
            let said = claims(&source.access(&ask).await.unwrap().secret);
            assert_eq!((&said["cnf"], &said["transport"]), (&bound, &transport));
            assert_eq!(said["scope"] == GCS, !scopes.is_empty());
        }
    }
    assert_eq!(platform.count("POST "), 2);
    let ask = IdAsk {
        binding: Some(by_body),
        ..for_audience("a", IdFormat::Full { licenses: false })
    };
    assert_eq!(claims(&source.id(&ask).await.unwrap().secret)["cnf"], bound);
    let broken = Binding {
        query: vec![("transport".to_owned(), "a&b=c".to_owned())],
        body: None,
    };
    for scopes in [&[GCS][..], &[]] {
        let ask = AccessAsk {
            binding: Some(broken.clone()),
            ..wanting(scopes)
        };
        assert_eq!(told(source.access(&ask).await).0, Failure::BadRequest);
    }
    assert!(platform.asked().last().unwrap().ends_with("?transport=a%26b%3Dc"));
}

#[tokio::test]
async fn what_is_too_long_is_the_callers_fault_and_not_asked() {
    let (platform, source) = start();
    let long = for_audience(&"x".repeat(9000), IdFormat::Full { licenses: false });
    assert_eq!(told(source.id(&long).await).0, Failure::BadRequest);
    assert_eq!(platform.asked(), [""; 0]);
}

#[tokio::test]
async fn names_of_accounts_are_no_paths() {
    let (platform, source) = start();
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a?b",
        "a%40b",
        "a b",
        "a\n",
        "ä@b",
        "a#b",
        "../../project",
        &"a".repeat(255),
    ] {
        let ask = AccessAsk {
            account: Account::Named(name.to_owned()),
            ..wanting(&[])
        };
        assert_eq!(told(source.access(&ask).await).0, Failure::NoAccount, "{name:?}");
        assert_eq!(
            told(source.account(&Account::Named(name.to_owned())).await).0,
            Failure::NoAccount
        );
    }
    for scope in ["", "a b", "a,b", "a\"b", "ä"] {
        assert_eq!(
            told(source.access(&wanting(&[scope])).await).0,
            Failure::BadRequest,
            "{scope:?}"
        );
    }
    assert_eq!(platform.asked(), [""; 0]);
    let nobody = AccessAsk {
        account: Account::Named("nobody@mwid-dev.iam.gserviceaccount.com".to_owned()),
        ..wanting(&[])
    };
    let (failure, words) = told(source.access(&nobody).await);
    assert_eq!(failure, Failure::NoAccount);
    assert!(words.contains("nobody@mwid-dev"), "{words}");
}
