//! The source against the embedded platform, which is as strict as the real server, and against servers that are not as they should be.
use super::*;
use crate::dev::platform::testing::{Fault, Platform};
use crate::metadata::MetadataError;
use crate::report::Causes;
use crate::tokens::{Failure, IdFormat};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls::time_provider::TimeProvider;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::metadata::{Answer as Told, Server};
use tokio::time::{advance, pause, resume};

const EMAIL: &str = "dev-vm@mwid-dev.iam.gserviceaccount.com";
const GCS: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const PUBSUB: &str = "https://www.googleapis.com/auth/pubsub";
const DRIVE: &str = "https://www.googleapis.com/auth/drive";
const NOW: u64 = 1_800_000_000;
const ENCODED_GCS: &str = "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_only";
const TOKEN: &str = "instance/service-accounts/default/token";
const PROOF: &str = "instance/service-accounts/default/token?enforce_scopes=false&scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";
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
async fn asked_scopes_are_enforced_by_a_server_that_has_shown_that_it_can() {
    let (platform, source) = start();
    let narrow = source.access(&wanting(&[GCS])).await.unwrap();
    assert_eq!(claims(&narrow.secret)["scope"], GCS);
    let enforced = format!("{TOKEN}?enforce_scopes=true&scopes={ENCODED_GCS}");
    assert_eq!(platform.asked(), [INFO, PROOF, &enforced]);
    let two = source.access(&wanting(&[GCS, PUBSUB])).await.unwrap();
    assert_eq!(claims(&two.secret)["scope"], format!("{GCS} {PUBSUB}"));
    assert_eq!(
        (platform.count(PROOF), platform.count(INFO)),
        (1, 1),
        "remembered"
    );

    pause();
    advance(PROOF_HOLDS).await;
    source.access(&wanting(&[GCS])).await.unwrap();
    assert_eq!(
        (platform.count(PROOF), platform.count(INFO)),
        (2, 2),
        "asked again now and then"
    );
}

#[tokio::test]
async fn the_account_s_own_scopes_need_no_enforcing() {
    let (platform, source) = start();
    let info = source.account(&Account::Default).await.unwrap();
    let ask = AccessAsk {
        scopes: Scopes::Exactly(info.scopes.clone()),
        ..wanting(&[])
    };
    let token = source.access(&ask).await.unwrap();
    let scopes = claims(&token.secret)["scope"].as_str().unwrap().to_owned();
    assert_eq!(
        scopes.split(' ').map(str::to_owned).collect::<BTreeSet<_>>(),
        info.scopes
    );
    assert_eq!(platform.asked(), [INFO, TOKEN]);
    assert_eq!(
        (info.email.as_str(), info.aliases),
        (EMAIL, vec!["default".to_owned()])
    );
}

#[tokio::test]
async fn scopes_that_the_account_does_not_have_are_refused() {
    let (_platform, source) = start();
    let (failure, words) = told(source.access(&wanting(&[GCS, DRIVE])).await);
    assert_eq!(failure, Failure::Refused);
    assert!(
        words.contains(DRIVE) && words.contains("impersonate") && words.contains("subset"),
        "{words}"
    );
}

#[tokio::test]
async fn a_server_that_knows_no_enforcing_gives_no_token_for_scopes() {
    let server = Server::start();
    server.set(
        INFO,
        Told::json(r#"{"aliases":["default"],"email":"a@b","scopes":["x"]}"#),
    );
    let wide = Told::json(r#"{"access_token":"ya29.secret","expires_in":3599,"token_type":"Bearer"}"#);
    server.set(PROOF, wide.clone());
    let enforced = format!("{TOKEN}?enforce_scopes=true&scopes={ENCODED_GCS}");
    server.set(&enforced, wide);
    let source = over(&server);
    for _ in 0..2 {
        let (failure, words) = told(source.access(&wanting(&[GCS])).await);
        assert_eq!(failure, Failure::Refused);
        assert!(
            words.contains("enforce_scopes") && words.contains("impersonate"),
            "{words}"
        );
    }
    assert_eq!(
        server.asked(),
        [INFO, PROOF],
        "once, and never for the wide token by another name"
    );

    // The VM has moved to a newer host.
    server.set(PROOF, Told::status(400, "enforce_scopes cannot be false"));
    told(source.access(&wanting(&[GCS])).await);
    pause();
    advance(LACK_HOLDS).await;
    resume();
    assert_eq!(
        *source.access(&wanting(&[GCS])).await.unwrap().secret,
        "ya29.secret"
    );
}

#[tokio::test]
async fn a_proof_that_fails_proves_nothing() {
    let (platform, source) = start();
    source.account(&Account::Default).await.unwrap();
    let ask = wanting(&[GCS]);
    pause();
    platform.fail(Fault::Status(503, None));
    let (failure, _) = told(source.access(&ask).await);
    assert!(matches!(failure, Failure::Unavailable { .. }));
    let asked = platform.asked().len();
    told(source.access(&ask).await);
    assert_eq!(
        platform.asked().len(),
        asked,
        "who waited for it is told the same"
    );
    advance(TROUBLE_HOLDS).await;
    platform.fail(Fault::Status(403, None));
    assert_eq!(told(source.access(&ask).await).0, Failure::Refused);
    advance(TROUBLE_HOLDS).await;
    platform.fail(Fault::None);
    assert_eq!(claims(&source.access(&ask).await.unwrap().secret)["scope"], GCS);
}

#[tokio::test]
async fn many_who_ask_at_once_have_the_server_proven_once() {
    let (platform, source) = start();
    source.account(&Account::Default).await.unwrap();
    let asks = [wanting(&[GCS]), wanting(&[PUBSUB]), wanting(&[GCS, PUBSUB])];
    let all = futures_util::future::join_all(asks.iter().map(|ask| source.access(ask))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(platform.count(PROOF), 1);
}

#[tokio::test]
async fn what_an_answer_says_about_its_scopes_must_be_what_was_asked_for() {
    let server = Server::start();
    server.set(INFO, Told::json(r#"{"email":"a@b","scopes":[]}"#));
    server.set(PROOF, Told::status(400, ""));
    let enforced = format!("{TOKEN}?enforce_scopes=true&scopes={ENCODED_GCS}");
    for (scope, holds) in [
        (GCS.to_owned(), true),
        (format!("{GCS} {DRIVE}"), false),
        (DRIVE.to_owned(), false),
    ] {
        let answer =
            json!({"access_token": "secret", "expires_in": 60, "token_type": "Bearer", "scope": scope});
        server.set(&enforced, Told::json(&answer.to_string()));
        let token = over(&server).access(&wanting(&[GCS])).await;
        match holds {
            true => assert_eq!(*token.unwrap().secret, "secret"),
            false => assert_eq!(told(token).0, Failure::Refused, "{scope}"),
        }
    }
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

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_for_a_while() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (platform, source) = start();
        platform.fail_times(Fault::Status(status, None), 3);
        source.access(&wanting(&[])).await.unwrap();
        assert_eq!(platform.asked().len(), 4, "{status}");
        platform.fail(Fault::Status(status, None));
        let (failure, words) = told(source.access(&wanting(&[])).await);
        assert!(matches!(failure, Failure::Unavailable { .. }), "{status}");
        assert!(
            words.contains(&format!("status {status} to 4 questions")),
            "{words}"
        );
        assert_eq!(platform.asked().len(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_says_how_long_to_wait() {
    let (platform, source) = start();
    let began = Instant::now();
    platform.fail_times(Fault::Status(429, Some(3)), 1);
    source.access(&wanting(&[])).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(3));
    // Too long for one question: who asked is told.
    platform.fail(Fault::Status(503, Some(120)));
    let (failure, _) = told(source.access(&wanting(&[])).await);
    let retry_after = Duration::from_secs(120);
    assert_eq!(failure, Failure::Unavailable { retry_after });
    assert_eq!(platform.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn other_refusals_are_not_repeated() {
    for (status, wanted) in [
        (400, Failure::BadRequest),
        (401, Failure::Refused),
        (403, Failure::Refused),
        (404, Failure::NoAccount),
        (405, Failure::Refused),
        (412, Failure::Refused),
        (301, Failure::LATER),
        (204, Failure::LATER),
    ] {
        let (platform, source) = start();
        platform.fail(Fault::Status(status, None));
        assert_eq!(told(source.access(&wanting(&[])).await).0, wanted, "{status}");
        assert_eq!(platform.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_is_waited_for_and_a_silent_one_is_not() {
    let (platform, source) = start();
    platform.fail(Fault::Slow(Duration::from_secs(30)));
    source.access(&wanting(&[])).await.unwrap();
    platform.fail(Fault::Silent);
    let began = Instant::now();
    let (failure, words) = told(source.access(&wanting(&[])).await);
    assert_eq!(
        (failure, began.elapsed()),
        (Failure::LATER, Duration::from_secs(33))
    );
    assert!(words.contains("did not answer"), "{words}");
    assert_eq!(platform.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_looked_for_again() {
    let gone = Server::start().address();
    let source = Source::new(Client::new(gone), "metadata", clock().1);
    let began = Instant::now();
    let error = source.access_token(&wanting(&[])).await.unwrap_err();
    assert!(
        matches!(&*error, ServerError::Talk { source, .. } if matches!(**source, MetadataError::Connect { .. }))
    );
    assert_eq!(error.failure(), Failure::LATER);
    assert!(
        began.elapsed() > Duration::from_millis(600),
        "not within a live migration"
    );
}

#[tokio::test]
async fn without_a_clock_there_is_no_token() {
    let (platform, _) = start();
    let (dead, shared) = clock();
    dead.0.store(0, Ordering::Relaxed);
    let source = Source::new(Client::new(platform.address()), "dev", shared);
    assert_eq!(told(source.access(&wanting(&[])).await).0, Failure::LATER);
    assert_eq!(platform.asked().len(), 0);
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_none() {
    let server = Server::start();
    for body in [
        "",
        "secret",
        "[]",
        r#"{"access_token":"secret"}"#,
        r#"{"access_token":"","expires_in":1,"token_type":"Bearer"}"#,
        r#"{"access_token":"sec ret","expires_in":1,"token_type":"Bearer"}"#,
        r#"{"access_token":"secret\n","expires_in":1,"token_type":"Bearer"}"#,
        r#"{"access_token":"secret","expires_in":0,"token_type":"Bearer"}"#,
        r#"{"access_token":"secret","expires_in":-1,"token_type":"Bearer"}"#,
        r#"{"access_token":"secret","expires_in":1.5,"token_type":"Bearer"}"#,
        r#"{"access_token":"secret","expires_in":"soon","token_type":"Bearer"}"#,
        r#"{"access_token":"secret","expires_in":1,"token_type":""}"#,
        r#"{"access_token":"secret","expires_in":1}"#,
        r#"{"access_token":"secret","access_token":"other","expires_in":1,"token_type":"Bearer"}"#,
        r#"{"access_token":{"secret":1},"expires_in":1,"token_type":"Bearer"}"#,
    ] {
        server.set(TOKEN, Told::json(body));
        let (failure, _) = told(over(&server).access(&wanting(&[])).await);
        assert_eq!(failure, Failure::LATER, "{body}");
    }
    for (body, secret, life) in [
        (
            r#"{"access_token":"secret","expires_in":"3599","token_type":"Bearer"}"#,
            "secret",
            3599,
        ),
        (
            r#"{"access_token":"secret\u003d","expires_in":1,"token_type":"Bearer"}"#,
            "secret=",
            1,
        ),
        (
            r#"{"token_type":"Bearer","more":[1],"expires_in":99999999999,"access_token":"s"}"#,
            "s",
            86_400,
        ),
    ] {
        server.set(TOKEN, Told::json(body));
        let token = over(&server).access(&wanting(&[])).await.unwrap();
        assert_eq!(
            (token.secret.as_str(), token.expires_at.as_secs()),
            (secret, NOW + life)
        );
    }
    for body in [
        r#"{}"#,
        r#"{"email":"a/b"}"#,
        r#"{"email":"a@b","aliases":["a b"]}"#,
        r#"{"email":"a@b","scopes":["a b"]}"#,
    ] {
        server.set(INFO, Told::json(body));
        assert_eq!(
            told(over(&server).account(&Account::Default).await).0,
            Failure::LATER,
            "{body}"
        );
    }
}

#[test]
fn a_server_s_words_are_shown_without_what_could_be_a_token() {
    for (body, shown) in [
        ("", "(no words)"),
        (
            "non-empty audience parameter required\n",
            "non-empty audience parameter required",
        ),
        (
            "<p><b>403.</b> <ins>That's\nan error.</ins>",
            "403. That's an error.",
        ),
        (r#"{"access_token":"abc"}"#, "(not shown)"),
        ("it was eyJhbGciOi.x.y and (ya29.abc)", "it was … and …"),
        ("\u{7}bell \u{1b}[31mred", "bell [31mred"),
        ("<unclosed eyJ", "(no words)"),
    ] {
        assert_eq!(answer::words(body.as_bytes()), shown);
    }
    assert_eq!(answer::words(&[b'a'; 81]), "…");
    assert_eq!(answer::words("ab ".repeat(500).as_bytes()).len(), 200);
    assert_eq!(answer::words(b"\xff\xfe"), "\u{fffd}\u{fffd}");
}
