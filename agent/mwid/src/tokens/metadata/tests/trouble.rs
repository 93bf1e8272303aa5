//! Servers that are busy, slow or away, and answers that are none.
use super::*;
use crate::metadata::MetadataError;

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
