//! Tokens: as narrow as was asked, as the rules grant, in the metadata server's form.
use super::source::EMAIL;
use super::*;
use crate::token_server::metrics::Kind;
use crate::tokens::TokenError;

#[tokio::test]
async fn an_access_token_is_answered_as_the_metadata_server_does() {
    let house = House::new().await;
    let answered = house.get(&format!("{ACCOUNT}/token")).await;
    assert_eq!(answered.status, 200);
    answered.is_the_servers();
    assert_eq!(
        answered.body,
        r#"{"access_token":"ya29.secret","expires_in":3599,"token_type":"Bearer"}"#
    );
    assert_eq!(answered.header("content-type"), "application/json");
    house.source.pass(100);
    let later = house.get(&format!("{ACCOUNT}/token")).await;
    assert_eq!(later.json()["expires_in"], 3499, "the true remaining life");
    let head = house
        .send_tcp(&request("HEAD", &format!("{ACCOUNT}/token"), FLAVOR, ""))
        .await;
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(
        house.doorman.record(),
        ["granted AccessToken { scopes: \"\" }"; 4],
        "each on record, but for the HEAD, which is answered without a token"
    );
}

/// Scripts ask for it as text and take it apart with awk.
#[tokio::test]
async fn a_token_has_the_form_that_is_asked_for() {
    let house = House::new().await;
    let token = |query: &str| format!("{ACCOUNT}/token?{query}");
    for name in ["default", EMAIL] {
        let path = format!("/computeMetadata/v1/instance/service-accounts/{name}/token?alt=text");
        let text = house.get(&path).await;
        assert_eq!(
            (text.status, &*text.body),
            (
                200,
                "access_token ya29.secret\nexpires_in 3599\ntoken_type Bearer\n"
            )
        );
        assert_eq!(text.header("content-type"), "application/text");
        text.is_the_servers();
    }
    let json = house.get(&token("alt=JSON")).await;
    assert_eq!(json.json()["access_token"], "ya29.secret");
    assert_eq!(json.header("content-type"), "application/json");
    let id = |alt: &str| format!("{ACCOUNT}/identity?audience=a&alt={alt}");
    let text = house.get(&id("text")).await;
    assert_eq!(
        (&*text.body, text.header("content-type")),
        ("ey.ya29.secret", "text/html")
    );
    let json = house.get(&id("json")).await;
    assert_eq!(
        (&*json.body, json.header("content-type")),
        ("\"ey.ya29.secret\"", "application/json")
    );
    house.source.asked();
    for unknown in [token("alt=xml"), token("alt=json&alt=json"), id("xml")] {
        assert_eq!(house.get(&unknown).await.status, 400, "{unknown}");
    }
    assert_eq!(house.source.asked(), [""; 0]);
    // On one connection the form changes with the question.
    let mut stream = TcpStream::connect(house.tcp).await.unwrap();
    for alt in ["text", "json", "text", "text", "json"] {
        let asked = request("GET", &token(&format!("alt={alt}")), FLAVOR, "");
        let told = exchange(&mut stream, &asked).await;
        assert_eq!(told.body.starts_with('{'), alt == "json", "{told:?}");
        assert_eq!(told.header("content-type"), format!("application/{alt}"));
    }
}

#[tokio::test]
async fn a_token_that_json_has_to_escape_stays_whole() {
    let house = House::new().await;
    house.source.gives("a\"b\\c\nd\u{e4}");
    let answered = house.get(&format!("{ACCOUNT}/token")).await;
    assert_eq!(answered.json()["access_token"], "a\"b\\c\nd\u{e4}");
}

#[tokio::test]
async fn nothing_that_is_over_is_served() {
    let house = House::new().await;
    let token = format!("{ACCOUNT}/token");
    assert_eq!(house.get(&token).await.status, 200);
    house.source.has_trouble(TokenError::Stopping);
    house.source.pass(3599);
    let refused = house.get(&token).await;
    assert_eq!(refused.status, 503);
    refused.is_the_servers();
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(!refused.body.contains("ya29"), "{}", refused.body);
}

#[tokio::test]
async fn the_email_address_is_the_same_account() {
    let house = House::new().await;
    assert_eq!(house.get(&format!("{ACCOUNT}/token")).await.status, 200);
    let by_email = format!("/computeMetadata/v1/instance/service-accounts/{EMAIL}/token");
    assert_eq!(house.get(&by_email).await.status, 200);
    assert_eq!(house.source.asked().len(), 1, "one token for both names");
    let other = "/computeMetadata/v1/instance/service-accounts/other@x.iam.gserviceaccount.com/email";
    assert_eq!(house.get(other).await.status, 404);
    let asked = house.source.accounts_asked();
    assert!(
        asked.iter().any(|account| account.contains("other@")),
        "{asked:?}"
    );
    // Who may have no token makes up names in vain.
    house.doorman.grants(Grant::default());
    let made_up = other.replace("other@", "made-up@");
    assert_eq!(house.get(&made_up).await.status, 404);
    assert!(
        !house
            .source
            .accounts_asked()
            .iter()
            .any(|account| account.contains("made-up@"))
    );
    assert_eq!(house.get(&format!("{ACCOUNT}/email")).await.status, 200);
}

#[tokio::test]
async fn scopes_are_those_that_were_asked_for_and_granted() {
    let house = House::new().await;
    house.doorman.grants(scopes(&["a", "b"]));
    for (query, asked, record) in [
        ("", "Exactly({\"a\", \"b\"})", "a b"),
        ("?scopes=a%2Cb", "Exactly({\"a\", \"b\"})", "a b"),
        ("?scopes=b,a", "Exactly({\"a\", \"b\"})", "a b"),
        ("?scopes=a&enforce_scopes=Yes", "Exactly({\"a\"})", "a"),
        ("?scopes=a&scopes=b", "Exactly({\"a\", \"b\"})", "a b"),
        ("?scopes=a+b", "Exactly({\"a\", \"b\"})", "a b"),
        ("?scopes=,", "Exactly({\"a\", \"b\"})", "a b"),
    ] {
        let answered = house
            .send_tcp(&request("GET", &format!("{ACCOUNT}/token{query}"), FLAVOR, ""))
            .await;
        assert_eq!(answered.status, 200, "{query}: {}", answered.body);
        assert_eq!(
            house.doorman.record(),
            [format!("granted AccessToken {{ scopes: {record:?} }}")],
            "{query}"
        );
        for question in house.source.asked() {
            assert!(question.contains(asked), "{query}: {question}");
        }
    }
    for query in ["?scopes=c", "?scopes=a,c", "?scopes=A"] {
        let refused = house
            .send_tcp(&request("GET", &format!("{ACCOUNT}/token{query}"), FLAVOR, ""))
            .await;
        assert_eq!(refused.status, 403, "{query}");
        refused.is_the_servers();
        assert!(refused.body.contains("granted are: a b"), "{}", refused.body);
        let record = house.doorman.record();
        assert!(
            record.len() == 1 && record[0].starts_with("denied AccessToken"),
            "{record:?}"
        );
    }
    house.doorman.grants(Grant::default());
    let refused = house.get(&format!("{ACCOUNT}/token")).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("no access rule"), "{}", refused.body);
    assert_eq!(
        house.source.asked(),
        [""; 0],
        "nobody was asked for what is denied"
    );
}

#[tokio::test]
async fn other_rules_hold_at_the_next_request_of_an_open_connection() {
    let house = House::new().await;
    let token = request("GET", &format!("{ACCOUNT}/token"), FLAVOR, "");
    let mut stream = TcpStream::connect(house.tcp).await.unwrap();
    assert_eq!(exchange(&mut stream, &token).await.status, 200);
    house.doorman.grants(Grant::default());
    assert_eq!(exchange(&mut stream, &token).await.status, 403);
    house.doorman.grants(scopes(&["a"]));
    assert_eq!(exchange(&mut stream, &token).await.status, 200);
    let asked = house.source.asked();
    assert!(asked.last().unwrap().contains("Exactly({\"a\"})"), "{asked:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let house = House::new().await;
    for (query, says) in [
        ("enforce_scopes=false&scopes=a", "enforce_scopes"),
        ("enforce_scopes=0", "enforce_scopes"),
        ("enforce_scopes=n", "enforce_scopes"),
        ("enforce_scopes=perhaps", "enforce_scopes"),
        ("enforce_scopes=true&enforce_scopes=false", "once"),
        ("enforce_scopes=true", "non-empty scopes"),
        ("enforce_scopes=1&scopes=%2C", "non-empty scopes"),
        ("bindToSomethingNew=1", "bindToSomethingNew"),
        ("Transport=mtls", "Transport"),
        ("wait_for_change=true", "wait_for_change"),
        (
            "wait_for_change=true&last_etag=0&timeout_sec=1",
            "wait_for_change",
        ),
        ("scopes=%zz", "%25"),
    ] {
        let refused = house.get(&format!("{ACCOUNT}/token?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        refused.is_the_servers();
        assert!(refused.body.contains(says), "{query}: {}", refused.body);
    }
    for (query, says) in [
        ("", "non-empty audience parameter required"),
        ("audience=", "non-empty audience parameter required"),
        ("audience=a&audience=b", "once"),
        ("audience=a&format=short", "format"),
        ("audience=a&licenses=perhaps", "licenses"),
        ("audience=a&wait_for_change=true", "wait_for_change"),
    ] {
        let refused = house.get(&format!("{ACCOUNT}/identity?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.body.contains(says), "{query}: {}", refused.body);
    }
    assert_eq!((house.source.asked(), house.doorman.record()), (vec![], vec![]));
}

#[tokio::test]
async fn an_id_token_is_text_for_exactly_its_audience() {
    let house = House::new().await;
    let get = async |query: &str| house.get(&format!("{ACCOUNT}/identity?{query}")).await;
    let answered = get("audience=https://x.a.run.app&format=full").await;
    assert_eq!((answered.status, &*answered.body), (200, "ey.ya29.secret"));
    answered.is_the_servers();
    assert!(answered.header("content-type") == "text/html", "{answered:?}");
    for (query, asked) in [
        (
            "audience=https%3A%2F%2Fy%2F%3Fa%3Db",
            "audience: \"https://y/?a=b\", format: Standard",
        ),
        (
            "audience=z&format=standard&licenses=TRUE",
            "audience: \"z\", format: Standard",
        ),
        (
            "audience=z&format=full&licenses=TRUE",
            "format: Full { licenses: true }",
        ),
        (
            "format=full&audience=https://raw?x=1",
            "audience: \"https://raw?x=1\", format: Full { licenses: false }",
        ),
    ] {
        house.source.asked();
        assert_eq!(get(query).await.status, 200, "{query}");
        let questions = house.source.asked();
        assert!(
            questions.len() == 1 && questions[0].contains(asked),
            "{query}: {questions:?}"
        );
    }
    house.doorman.record();
    house.doorman.grants(scopes(&["a"]));
    assert_eq!(get("audience=https://x.a.run.app").await.status, 200);
    let refused = get("audience=https://x.evil.app").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("https://x.evil.app"), "{}", refused.body);
    let record = house.doorman.record();
    assert_eq!(record[0], "granted IdToken { audience: \"https://x.a.run.app\" }");
    assert!(
        record[2].starts_with("denied IdToken { audience: \"https://x.evil.app\" }: "),
        "{record:?}"
    );
}

#[tokio::test]
async fn a_binding_is_never_left_out() {
    let house = House::new().await;
    for query in [
        "bindCertificateFingerprint=f%253D&scopes=s",
        "transport=mtls&binding-enforcement=on",
    ] {
        assert_eq!(house.get(&format!("{ACCOUNT}/token?{query}")).await.status, 200);
        let asked = house.source.asked();
        assert!(
            asked.iter().all(|q| q.contains("binding: Some(Binding")),
            "{asked:?}"
        );
        let name = query.split('=').next().unwrap();
        assert!(asked[0].contains(name), "{asked:?}");
    }
    let body = "{\"certificate_chain\":\"-----BEGIN\"}";
    for target in ["token?scopes=s", "identity?audience=x&format=full"] {
        let answered = house.post(&format!("{ACCOUNT}/{target}"), body).await;
        assert_eq!(answered.status, 200, "{}", answered.body);
        let bytes = format!("body: Some({:?})", body.as_bytes());
        let asked = house.source.asked();
        assert!(asked[0].contains(&bytes), "{asked:?}");
    }
    house.doorman.grants(scopes(&["a"]));
    assert_eq!(
        house
            .post(&format!("{ACCOUNT}/token?scopes=s"), body)
            .await
            .status,
        403
    );
    assert_eq!(house.source.asked(), [""; 0]);
}

#[tokio::test]
async fn a_post_without_a_fitting_body_is_refused() {
    let house = House::new().await;
    let token = format!("{ACCOUNT}/token");
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "{\"a\":1",
        "certificate_chain=x",
        "{\"a\":1} x",
    ] {
        assert_eq!(house.post(&token, body).await.status, 400, "{body}");
    }
    let form = format!("{FLAVOR}Content-Type: application/x-www-form-urlencoded\r\n");
    let refused = house.send(&request("POST", &token, &form, "{\"a\":1}")).await;
    assert_eq!(refused.status, 415);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(64 * 1024));
    let json = format!("{FLAVOR}Content-Type: application/json\r\n");
    let refused = house.send_tcp(&request("POST", &token, &json, &large)).await;
    assert_eq!(refused.status, 413);
    assert_eq!(house.source.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let house = House::new().await;
    let head = format!(
        "POST {ACCOUNT}/token HTTP/1.1\r\nHost: localhost\r\n{FLAVOR}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    );
    let began = tokio::time::Instant::now();
    assert_eq!(house.send_tcp(&head).await.status, 408);
    assert!(
        began.elapsed() <= Duration::from_secs(11),
        "{:?}",
        began.elapsed()
    );
    house.doorman.grants(Grant::default());
    let began = tokio::time::Instant::now();
    assert_eq!(house.send_tcp(&head).await.status, 403);
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "no body is taken from who is denied"
    );
}

#[tokio::test]
async fn each_kind_of_failure_has_its_status() {
    let house = House::new().await;
    let token = format!("{ACCOUNT}/token");
    house.source.has_no_account();
    let missing = house.get(&token).await;
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .body
            .contains(&format!("<code>{token}</code> was not found")),
        "{}",
        missing.body
    );
    assert!(
        missing.body.contains("tokens.source"),
        "what to do: {}",
        missing.body
    );
    let house = House::new().await;
    house.source.has_trouble(TokenError::NoDevPlatform);
    assert_eq!(house.get(&token).await.status, 400);
    let house = House::new().await;
    house.source.has_trouble(TokenError::Broke { kind: "scripted" });
    let later = house.get(&token).await;
    assert_eq!(later.status, 503);
    later.is_the_servers();
    assert!(later.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(house.metrics.count(Kind::Token, 503), 2);
    assert_eq!(house.doorman.record(), [""; 0], "no grant, no denial");
}

#[tokio::test]
async fn what_the_source_refuses_is_on_record_with_its_reason() {
    let house = House::new().await;
    house
        .source
        .has_trouble(TokenError::NoBinding { kind: "scripted" });
    let id = format!("{ACCOUNT}/identity?audience=https://x.a.run.app");
    for (target, what) in [
        (format!("{ACCOUNT}/token"), "AccessToken { scopes: \"\" }"),
        (
            format!("{ACCOUNT}/token?scopes=a"),
            "AccessToken { scopes: \"a\" }",
        ),
        (id, "IdToken { audience: \"https://x.a.run.app\" }"),
    ] {
        let refused = house.get(&target).await;
        assert_eq!(refused.status, 403, "{target}");
        let record = house.doorman.record();
        assert_eq!(record.len(), 2, "one on each socket: {record:?}");
        for line in record {
            let why = line.strip_prefix(&format!("denied {what}: "));
            assert_eq!(why, Some(refused.body.trim_end()), "{line}");
        }
    }
}
