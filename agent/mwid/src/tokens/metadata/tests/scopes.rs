//! Scopes are enforced, and a server has to prove once that it enforces them.
use super::*;
use std::collections::BTreeSet;
use tokio::time::{advance, resume};

const PUBSUB: &str = "https://www.googleapis.com/auth/pubsub";
const DRIVE: &str = "https://www.googleapis.com/auth/drive";
const ENCODED_GCS: &str = "https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fdevstorage.read_only";
const PROOF: &str = "instance/service-accounts/default/token?enforce_scopes=false&scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";

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
