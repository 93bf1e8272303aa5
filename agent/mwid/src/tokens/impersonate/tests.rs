//! Tokens of another account, by endpoints that check who asks.
use super::*;
use crate::report::Causes;
use crate::tokens::Failure;
use crate::tokens::endpoint::testing::{self, AT, exactly};
use mtls_identity::UnixTime;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use testkit::google::{Google, Reply};

const TARGET: &str = "target@p.iam.gserviceaccount.com";
const VM: &str = "vm@p.iam.gserviceaccount.com";
const STORAGE: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const KEY: &str = "ya29.key-hidden";

/// The VM's own tokens.
struct Vm {
    asked: Arc<AtomicUsize>,
    life: u64,
    fails: bool,
}

impl TokenSource for Vm {
    fn kind(&self) -> &'static str {
        "metadata"
    }

    fn place(&self) -> Option<String> {
        None
    }

    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken> {
        assert_eq!(*ask, testing::access(Scopes::Default));
        self.asked.fetch_add(1, Relaxed);
        Box::pin(async {
            if self.fails {
                return Err(TokenError::NoSource);
            }
            let until = UnixTime::since_unix_epoch(Duration::from_secs(AT + self.life));
            Ok(AccessToken::new(
                KEY.to_owned().into(),
                "Bearer".to_owned(),
                until,
            ))
        })
    }

    fn id<'a>(&'a self, _: &'a IdAsk) -> Asking<'a, IdToken> {
        unreachable!("only the access token is the key")
    }

    fn account<'a>(&'a self, _: &'a Account) -> Asking<'a, AccountInfo> {
        unreachable!("only the access token is the key")
    }
}

struct Bench {
    google: Google,
    source: Source,
    asked: Arc<AtomicUsize>,
}

fn bench(life: u64, delegates: &[&str]) -> Bench {
    let google = Google::start(AT);
    google.hand_out(KEY, VM, &[CLOUD_PLATFORM]);
    google.allow(VM, TARGET);
    let asked = Arc::new(AtomicUsize::new(0));
    let vm = Vm {
        asked: Arc::clone(&asked),
        life,
        fails: false,
    };
    let source = over(&google, vm, delegates);
    Bench {
        google,
        source,
        asked,
    }
}

fn over(google: &Google, vm: Vm, delegates: &[&str]) -> Source {
    let delegates: Vec<String> = delegates.iter().map(|name| (*name).to_owned()).collect();
    let reach = testing::reach();
    let endpoint = google.url("/");
    Source::new(
        TARGET,
        &delegates,
        Some(&endpoint),
        Arc::new(vm),
        reach.web,
        reach.clock,
    )
    .unwrap()
}

fn refusal<T>(done: Result<T, TokenError>) -> (Failure, String) {
    let error = done.err().unwrap();
    let text = Causes(&error).to_string();
    assert!(
        !text.contains("hidden") && !format!("{error:?}").contains("hidden"),
        "{text} {error:?}"
    );
    (error.failure(), text)
}

#[tokio::test]
async fn tokens_are_the_targets_and_have_exactly_the_asked_scopes() {
    let Bench {
        google,
        source,
        asked,
    } = bench(3599, &[]);
    for (scopes, given) in [(exactly(&[STORAGE]), STORAGE), (Scopes::Default, CLOUD_PLATFORM)] {
        let token = source.access(&testing::access(scopes)).await.unwrap();
        assert_eq!(
            google.whose(&token.secret).unwrap(),
            (TARGET.to_owned(), vec![given.to_owned()])
        );
        assert_eq!(token.expires_at.as_secs(), AT + 3600);
    }
    for (format, email) in [
        (IdFormat::Standard, None),
        (IdFormat::Full { licenses: true }, Some(TARGET)),
    ] {
        let token = source
            .id(&testing::id("https://a.run.app", format))
            .await
            .unwrap();
        let claims = google.claims(&token.secret);
        assert_eq!(
            (claims["aud"].as_str(), claims["email"].as_str()),
            (Some("https://a.run.app"), email)
        );
    }
    assert_eq!(asked.load(Relaxed), 1, "the key is fetched once in its life");
    let info = source.account(&Account::Named(TARGET.to_owned())).await.unwrap();
    assert_eq!(info.scopes, BTreeSet::from([CLOUD_PLATFORM.to_owned()]));
    let other = Account::Named(VM.to_owned());
    assert_eq!(refusal(source.account(&other).await).0, Failure::NoAccount);
    let bound = IdAsk {
        binding: Some(Binding {
            query: vec![],
            body: None,
        }),
        ..testing::id("a", IdFormat::Standard)
    };
    assert_eq!(refusal(source.id(&bound).await).0, Failure::Refused);
}

#[tokio::test]
async fn a_key_that_is_about_to_end_is_fetched_anew() {
    let Bench {
        google: _google,
        source,
        asked,
    } = bench(60, &[]);
    for times in 1..3 {
        source.access(&testing::access(Scopes::Default)).await.unwrap();
        assert_eq!(asked.load(Relaxed), times);
    }
}

#[tokio::test]
async fn a_key_that_is_not_taken_any_more_is_fetched_once_anew() {
    let Bench {
        google,
        source,
        asked,
    } = bench(3599, &[]);
    let ask = testing::access(Scopes::Default);
    source.access(&ask).await.unwrap();
    google.revoke_all();
    let (failure, text) = refusal(source.access(&ask).await);
    assert!(failure == Failure::LATER && text.contains("not taken"), "{text}");
    assert_eq!(asked.load(Relaxed), 2);
    google.hand_out(KEY, VM, &[CLOUD_PLATFORM]);
    source.access(&ask).await.unwrap();
}

#[tokio::test]
async fn each_refusal_says_what_to_set_up() {
    let ask = testing::access(Scopes::Default);
    let Bench {
        google: _google,
        source,
        ..
    } = bench(3599, &["between@p.iam.gserviceaccount.com"]);
    let (failure, text) = refusal(source.access(&ask).await);
    assert!(
        failure == Failure::Refused && text.contains("roles/iam.serviceAccountTokenCreator"),
        "{text}"
    );
    assert!(text.contains("iam.serviceAccounts.getAccessToken"), "{text}");

    let Bench { google, source, .. } = bench(3599, &[]);
    google.hand_out(KEY, VM, &[STORAGE]);
    let (failure, text) = refusal(source.access(&ask).await);
    assert!(
        failure == Failure::Refused && text.contains("scope cloud-platform"),
        "{text}"
    );
}

#[tokio::test]
async fn each_answer_that_is_no_token_is_told() {
    let ask = testing::access(Scopes::Default);
    let Bench { google, source, .. } = bench(3599, &[]);
    let later = Duration::from_secs(9);
    for (reply, failure, told) in [
        (
            Reply::text(404, "<html>hidden"),
            Failure::NoAccount,
            "there is no service account",
        ),
        (Reply::text(400, "{}"), Failure::BadRequest, "correct the scopes"),
        (
            Reply::text(
                403,
                r#"{"error":{"message":"ya29.key-hidden","details":[{"reason":"SERVICE_DISABLED"}]}}"#,
            ),
            Failure::Refused,
            "gcloud services enable",
        ),
        (
            Reply::text(429, "").with("Retry-After", "9"),
            Failure::Unavailable { retry_after: later },
            "busy",
        ),
        (Reply::text(200, "{}"), Failure::LATER, "expireTime"),
        (
            Reply::text(200, r#"{"accessToken":"a","expireTime":"hidden"}"#),
            Failure::LATER,
            "expireTime",
        ),
        (
            Reply::text(200, r#"{"expireTime":"2100-01-01T00:00:00Z"}"#),
            Failure::LATER,
            "accessToken",
        ),
    ] {
        google.next(reply);
        let (found, text) = refusal(source.access(&ask).await);
        assert!(found == failure && text.contains(told), "{found:?} {text}");
    }
    // Never longer than was asked for, whatever the server's clock says.
    google.next(Reply::text(
        200,
        r#"{"accessToken":"a","expireTime":"2100-01-01T00:00:00.5Z"}"#,
    ));
    let token = source.access(&ask).await.unwrap();
    assert_eq!(token.expires_at.as_secs(), AT + 3600);
}

#[tokio::test]
async fn the_sources_own_failure_is_told() {
    let google = Google::start(AT);
    let vm = Vm {
        asked: Arc::default(),
        life: 3599,
        fails: true,
    };
    let source = over(&google, vm, &[]);
    let (failure, text) = refusal(source.access(&testing::access(Scopes::Default)).await);
    assert_eq!(failure, TokenError::NoSource.failure());
    assert!(
        text.contains(TARGET) && text.contains("there is no source of tokens here"),
        "{text}"
    );
    assert!(google.asked().is_empty());
}

#[test]
fn an_endpoint_without_encryption_is_none() {
    let vm = Vm {
        asked: Arc::default(),
        life: 0,
        fails: true,
    };
    let reach = testing::reach();
    let far = Some("http://iamcredentials.googleapis.com");
    let source = Source::new(TARGET, &[], far, Arc::new(vm), reach.web, reach.clock);
    let (failure, text) = refusal(source.map(|_| ()));
    assert!(
        failure == Failure::BadRequest && text.contains("plain http"),
        "{text}"
    );
}
