//! The same question again on one connection: answered without a look, and only while nothing has changed.
use super::*;
use crate::caller::What;
use crate::config::TokenSourceSettings;
use crate::tokens::{AccessAsk, Account, Scopes, TokenError};

const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// A connection that keeps asking.
struct Client<'a> {
    house: &'a House,
    stream: TcpStream,
}

impl<'a> Client<'a> {
    async fn of(house: &'a House) -> Self {
        let stream = TcpStream::connect(house.tcp).await.unwrap();
        Self { house, stream }
    }

    async fn ask(&mut self, request: &str) -> Answered {
        exchange(&mut self.stream, request).await
    }

    async fn token(&mut self, query: &str) -> Answered {
        self.ask(&request("GET", &format!("{TOKEN}{query}"), FLAVOR, ""))
            .await
    }

    /// Asks until it is answered without a look: at the end of a second it takes one more.
    async fn asks_again(&mut self, query: &str) -> Answered {
        for _ in 0..100 {
            self.house.doorman.record();
            let answered = self.token(query).await;
            assert_eq!(answered.status, 200, "{answered:?}");
            if self.house.doorman.record() == ["granted again"] {
                return answered;
            }
        }
        panic!("it looks each time");
    }
}

#[tokio::test]
async fn the_same_question_in_the_same_second_has_the_same_answer_and_is_on_record() {
    let house = House::new().await;
    let mut client = Client::of(&house).await;
    let first = client.token("").await;
    let again = client.asks_again("").await;
    assert_eq!(again.body, first.body);
    again.is_the_servers();
    assert_eq!(again.header("content-type"), "application/json");
    assert_eq!(house.source.asked().len(), 1);
    let counted = house.metrics.count(metrics::Kind::Token, 200);
    assert!(counted >= 2, "{counted}");
}

#[tokio::test]
async fn what_differs_in_the_least_is_looked_at() {
    let house = House::new().await;
    let mut client = Client::of(&house).await;
    let host = "Host: metadata.google.internal\r\n";
    let raw =
        |method: &str, target: &str, headers: &str| format!("{method} {target} HTTP/1.1\r\n{headers}\r\n");
    let absolute = format!("http://evil.example{TOKEN}");
    for (differs, status) in [
        (raw("GET", TOKEN, host), 403),
        (
            raw("GET", TOKEN, &format!("{host}Metadata-Flavor: google\r\n")),
            403,
        ),
        (
            raw(
                "GET",
                TOKEN,
                &format!("{host}{FLAVOR}X-Forwarded-For: 1.2.3.4\r\n"),
            ),
            403,
        ),
        (raw("GET", TOKEN, &format!("Host: evil.example\r\n{FLAVOR}")), 403),
        (raw("GET", TOKEN, &format!("{host}{host}{FLAVOR}")), 400),
        (raw("GET", TOKEN, FLAVOR), 400),
        (raw("GET", &absolute, &format!("{host}{FLAVOR}")), 403),
        (raw("PUT", TOKEN, &format!("{host}{FLAVOR}")), 405),
        (
            raw(
                "GET",
                &format!("{TOKEN}?enforce_scopes=false"),
                &format!("{host}{FLAVOR}"),
            ),
            400,
        ),
        (raw("GET", &format!("{TOKEN}s"), &format!("{host}{FLAVOR}")), 404),
    ] {
        client.asks_again("").await;
        let answered = client.ask(&differs).await;
        assert_eq!(answered.status, status, "{differs}");
        assert!(!answered.body.contains("ya29"), "{differs}");
    }
}

#[tokio::test]
async fn other_rules_hold_at_once() {
    let house = House::new().await;
    let mut client = Client::of(&house).await;
    client.asks_again("").await;
    house.doorman.grants(scopes(&["a"]));
    client.token("").await;
    let what = What::AccessToken { scopes: "a" };
    assert_eq!(
        house.doorman.record(),
        [format!("granted {what:?}")],
        "the narrower one"
    );
    house.doorman.grants(Grant::default());
    assert_eq!(client.token("").await.status, 403);
    house.doorman.knows_nobody(crate::caller::Denial::Pid { uid: 7 });
    assert_eq!(client.token("").await.status, 403);
}

#[tokio::test]
async fn another_second_has_another_answer() {
    let house = House::new().await;
    let mut client = Client::of(&house).await;
    let before = client.asks_again("").await.json()["expires_in"].as_u64().unwrap();
    house.source.pass(1);
    let after = client.token("").await.json()["expires_in"].as_u64().unwrap();
    assert_eq!(after, before - 1);
    house.source.has_trouble(TokenError::Stopping);
    house.source.pass(3600);
    assert_eq!(client.token("").await.status, 503, "it is over");
}

#[tokio::test]
async fn other_scopes_are_another_question() {
    let house = House::new().await;
    let mut client = Client::of(&house).await;
    client.asks_again("").await;
    client.token("?scopes=a").await;
    let what = What::AccessToken { scopes: "a" };
    assert_eq!(house.doorman.record(), [format!("granted {what:?}")]);
    client.asks_again("?scopes=a").await;
    client.token("").await;
    let what = What::AccessToken { scopes: "" };
    assert_eq!(house.doorman.record(), [format!("granted {what:?}")]);
}

/// Whoever waits for a token gets what is granted when it is there.
#[tokio::test]
async fn what_is_taken_away_while_a_token_is_fetched_is_not_handed_out() {
    let audience = "identity?audience=https%3A%2F%2Fx.a.run.app";
    for (asked, then, status) in [
        ("token", Grant::default(), 403),
        ("token", scopes(&["a"]), 403),
        ("token?scopes=b", scopes(&["a"]), 403),
        ("token?scopes=a", scopes(&["a", "b"]), 200),
        ("token", everything(), 200),
        (audience, Grant::default(), 403),
        (audience, scopes(&["a"]), 200),
    ] {
        let house = House::new().await;
        let doorman = house.doorman.clone();
        let other = then.clone();
        house.source.meanwhile(move || doorman.grants(other));
        let answered = house
            .send_tcp(&request("GET", &format!("{ACCOUNT}/{asked}"), FLAVOR, ""))
            .await;
        assert_eq!(answered.status, status, "{asked}: {then:?}: {answered:?}");
        assert_eq!(answered.body.contains("ya29"), status == 200, "{asked}");
        let record = house.doorman.record();
        let expected = if status == 200 { "granted" } else { "denied" };
        assert!(
            record.len() == 1 && record[0].starts_with(expected),
            "{asked}: {record:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_is_kept_keeps_no_token() {
    let house = House::new().await;
    let mut client = Client::of(&house).await;
    client.asks_again("").await;
    let ask = AccessAsk {
        account: Account::Default,
        scopes: Scopes::Default,
        binding: None,
    };
    let token = Arc::downgrade(&house.tokens.access_now(&ask).unwrap());
    let none = house.tokens.prepare(&TokenSourceSettings::None, None).unwrap();
    house.tokens.replace(none);
    crowd::waits_for(|| token.upgrade().is_none()).await;
    assert_eq!(
        client.token("").await.status,
        404,
        "the connection is still there"
    );
}

#[tokio::test]
async fn a_name_with_a_port_is_as_good_and_a_long_question_is_not_kept() {
    let house = House::new().await;
    let mut client = Client::of(&house).await;
    let ask =
        |host: &str, query: &str| format!("GET {TOKEN}{query} HTTP/1.1\r\nHost: {host}\r\n{FLAVOR}\r\n");
    let with_port = ask("127.0.0.1:8174", "");
    let mut again = 0;
    for _ in 0..100 {
        house.doorman.record();
        assert_eq!(client.ask(&with_port).await.status, 200);
        again += usize::from(house.doorman.record() == ["granted again"]);
    }
    assert!(again > 50, "{again}");
    assert_eq!(
        client.ask(&ask("127.0.0.2.evil.example:8174", "")).await.status,
        403
    );
    let long = ask("127.0.0.1:8174", &format!("?x={}", "y".repeat(2000)));
    for _ in 0..3 {
        house.doorman.record();
        assert_eq!(client.ask(&long).await.status, 200);
        assert_ne!(house.doorman.record(), ["granted again"]);
    }
}
