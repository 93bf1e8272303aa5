//! The cache's promises, each with a source that does its worst. Time is tokio's, paused.
mod bounds;
mod clocks;
mod outage;

use crate::tokens::testing::{House, Mode};
use crate::tokens::{AccessAsk, AccessToken, Account, Failure, IdAsk, IdFormat, Scopes, TokenError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const LIFE: u64 = 3599;

fn default() -> AccessAsk {
    AccessAsk::of_default()
}

fn scoped(scope: &str) -> AccessAsk {
    AccessAsk {
        scopes: Scopes::Exactly(BTreeSet::from([scope.to_owned()])),
        ..default()
    }
}

fn audience(audience: &str) -> IdAsk {
    IdAsk {
        account: Account::Default,
        audience: audience.to_owned(),
        format: IdFormat::Standard,
        binding: None,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl House {
    /// The remaining life of what a caller is served now, who must be served.
    async fn serves(&self, ask: &AccessAsk) -> u64 {
        let token = self.tokens.access(ask).await.expect("served");
        self.left(&token)
    }

    fn left(&self, token: &AccessToken) -> u64 {
        let left = token.remaining(self.time.now());
        assert!(left > 0, "nothing expired is ever served");
        left
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_at_once_cause_one_fetch() {
    let house = House::new(false);
    house.source.becomes(Mode::Slow(seconds(2)));
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let tokens = house.tokens.clone();
            tokio::spawn(async move { tokens.access(&scoped("a")).await })
        })
        .collect();
    let mut texts = BTreeSet::new();
    for caller in callers {
        texts.insert(caller.await.unwrap().unwrap().secret.to_string());
    }
    assert_eq!((house.source.asked(), texts.len()), (1, 1));
    assert!(house.tokens.access_now(&scoped("a")).is_some(), "and it is kept");
    assert!(
        house.tokens.access_now(&scoped("b")).is_none(),
        "for this question alone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_cancels_nothing() {
    let house = House::new(false);
    house.source.becomes(Mode::Slow(seconds(5)));
    let left = timeout(seconds(1), house.tokens.access(&default())).await;
    assert!(left.is_err(), "left before the answer came");
    sleep(seconds(5)).await;
    assert!(
        house.tokens.access_now(&default()).is_some(),
        "it came all the same"
    );
    assert_eq!(house.source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_somebody_asks_nor_for_nobody() {
    let house = House::new(false);
    sleep(seconds(86_400)).await;
    assert_eq!(house.source.asked(), 0);
    house.serves(&default()).await;
    sleep(seconds(86_400)).await;
    assert_eq!(house.source.asked(), 1, "nobody used it after its fetch");
    assert_eq!(house.tokens.status().cached, 0);
}

#[tokio::test(start_paused = true)]
async fn a_used_token_is_renewed_before_anybody_meets_an_old_one() {
    let house = House::new(false);
    let asks = [default(), scoped("a")];
    // So seldom that without a timer somebody would meet one.
    for _ in 0..150 {
        for ask in &asks {
            let token = house.tokens.access(ask).await.unwrap();
            let left = house.left(&token);
            assert!(left >= 298, "{left} s left");
        }
        sleep(seconds(97)).await;
    }
    // Each 55 minutes, and once more when the platform's five minutes are not quite ours.
    let asked = house.source.asked();
    assert!((10..=20).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_keeps_its_old_token_is_asked_ever_more_seldom() {
    let house = House::new(false);
    house.source.keeps_until(60);
    house.serves(&default()).await;
    sleep(seconds(LIFE - 310)).await;
    for _ in 0..250 {
        let now = Instant::now();
        let left = house.serves(&default()).await;
        assert!(
            now.elapsed() <= Duration::from_millis(200),
            "and nobody waits for it"
        );
        assert!(left > 50);
        sleep(seconds(1)).await;
    }
    let asked = house.source.asked();
    assert!((5..=25).contains(&asked), "{asked}");
    sleep(seconds(60)).await;
    assert!(house.serves(&default()).await > 3000, "then there is a new one");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_expire_is_asked_for_again_now_and_then() {
    let house = House::new(false);
    let email = |account: Arc<crate::tokens::AccountInfo>| account.email.clone();
    let first = email(house.tokens.account(&Account::Default).await.unwrap());
    for _ in 0..1000 {
        assert_eq!(
            email(house.tokens.account(&Account::Default).await.unwrap()),
            first
        );
    }
    assert_eq!(house.source.accounts_asked(), 1);
    house.source.becomes(Mode::Down);
    sleep(seconds(2 * 3600)).await;
    assert_eq!(house.source.accounts_asked(), 1, "nobody asked");
    let still = email(house.tokens.account(&Account::Default).await.unwrap());
    assert_eq!(still, first, "the last answer, for as long as there is no other");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(
        house.source.accounts_asked(),
        2,
        "asked in the background, in vain"
    );
    house.source.becomes(Mode::Good);
    sleep(seconds(60)).await;
    drop(house.tokens.account(&Account::Default).await.unwrap());
    sleep(seconds(1)).await;
    assert_eq!(house.source.accounts_asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_no_is_remembered_for_a_moment() {
    let house = House::new(false);
    house.source.becomes(Mode::Refuses);
    for _ in 0..100 {
        let error = house.tokens.access(&scoped("a")).await.unwrap_err();
        assert_eq!(error.failure(), Failure::BadRequest);
    }
    assert_eq!(house.source.asked(), 1);
    house.source.becomes(Mode::Good);
    sleep(seconds(11)).await;
    house.serves(&scoped("a")).await;
}

#[tokio::test(start_paused = true)]
async fn what_other_credentials_gave_is_forgotten_as_soon_as_they_change() {
    let house = House::new(true);
    sleep(seconds(1)).await;
    let (tokens, source) = (&house.tokens, &house.source);
    let id = audience("https://x");
    let all = async || {
        let account = tokens.account(&Account::Default).await.unwrap();
        let (access, id) = (tokens.access(&default()).await, tokens.id(&id).await);
        [
            account.email.clone(),
            access.unwrap().secret.to_string(),
            id.unwrap().secret.to_string(),
        ]
    };
    assert!(all().await.iter().all(|text| text.contains(" v0 ")));
    source.changes();
    assert!(tokens.access_now(&default()).is_none() && tokens.id_now(&id).is_none());
    let told = all().await;
    assert!(told.iter().all(|text| text.contains(" v1 ")), "{told:?}");
    // Nobody has to ask for what the settings name.
    source.changes();
    assert!(tokens.access_now(&default()).is_none());
    sleep(seconds(1)).await;
    let token = tokens.access_now(&default()).expect("fetched unasked");
    assert!(token.secret.contains(" v2 "));
    let asked = source.asked();
    assert_eq!(all().await, all().await);
    assert_eq!(source.asked(), asked + 1, "the ID token, once");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_other_credentials_that_comes_late_is_not_taken() {
    let house = House::new(false);
    house.source.becomes(Mode::Slow(seconds(5)));
    for asked in [scoped("a"), scoped("b")] {
        let waits = {
            let tokens = house.tokens.clone();
            tokio::spawn(async move { tokens.access(&asked).await })
        };
        sleep(seconds(1)).await;
        house.source.changes();
        let version = format!(" v{} ", crate::tokens::TokenSource::version(&*house.source));
        let token = waits.await.unwrap().unwrap();
        assert!(token.secret.contains(&version), "{:?}", token.secret);
    }
}
