//! The room as a whole: replacing the source, health, status.
use super::testing::{House, Mode, Scripted};
use super::*;
use crate::health::Condition;
use crate::health::status::timestamp;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn default() -> AccessAsk {
    AccessAsk::of_default()
}

impl House {
    fn condition(&self) -> Condition {
        self.board.conditions()[PART].clone()
    }

    fn is_not_ready(&self) -> bool {
        matches!(self.condition(), Condition::NotReady(_))
    }
}

/// Longer than any pause between two tries.
async fn a_while() {
    sleep(Duration::from_secs(31)).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_source_everything_is_refused_with_what_to_set_up() {
    let tokens = Tokens::default();
    assert!(tokens.access_now(&default()).is_none());
    let error = tokens.access(&default()).await.unwrap_err();
    assert_eq!(error.failure(), Failure::NoAccount);
    assert!(error.to_string().contains("tokens.source"), "{error}");
    assert_eq!(tokens.status().source, "none");
}

#[tokio::test(start_paused = true)]
async fn a_named_source_has_its_default_token_fetched_and_kept_unasked() {
    let house = House::new(true);
    assert!(house.is_not_ready(), "{:?}", house.condition());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(house.condition(), Condition::Ok);
    assert!(house.tokens.access_now(&default()).is_some());
    sleep(Duration::from_secs(5 * 3600)).await;
    assert_eq!(house.condition(), Condition::Ok);
    let token = house.tokens.access_now(&default()).unwrap();
    assert!(token.remaining(house.time.now()) > 290);
}

/// Programs ask it first of all when they start, which may be in an outage.
#[tokio::test(start_paused = true)]
async fn whose_the_default_token_is_is_known_as_soon_as_it_is_here_and_for_as_long() {
    for mode in [Mode::Down, Mode::Hangs] {
        for is_named in [true, false] {
            let house = House::new(is_named);
            if !is_named {
                house.tokens.access(&default()).await.unwrap();
            }
            sleep(Duration::from_secs(1)).await;
            house.source.becomes(mode);
            let start = Instant::now();
            for _ in 0..320 {
                house.tokens.account(&Account::Default).await.expect("known");
                assert!(house.tokens.access_now(&default()).is_some());
                tokio::time::advance(Duration::from_secs(10)).await;
            }
            assert_eq!(start.elapsed(), Duration::from_secs(3200), "nobody waited");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_named_source_that_fails_is_told_within_a_second_and_so_is_its_recovery() {
    let house = House::new(true);
    sleep(Duration::from_secs(1)).await;
    house.source.becomes(Mode::Down);
    sleep(Duration::from_secs(3500)).await;
    let Condition::Degraded(why) = house.condition() else {
        panic!("{:?}", house.condition())
    };
    assert!(why.contains("scripted"), "{why}");
    assert!(house.tokens.status().trouble.is_some());
    sleep(Duration::from_secs(99)).await;
    assert!(house.is_not_ready(), "{:?}", house.condition());
    assert_eq!(house.tokens.status().expires_at, None);
    house.source.becomes(Mode::Good);
    a_while().await;
    assert_eq!(house.condition(), Condition::Ok);
    assert!(house.tokens.status().trouble.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_named_source_that_refuses_its_default_token_is_not_ready() {
    let house = House::new(true);
    house.source.becomes(Mode::Refuses);
    sleep(Duration::from_secs(1)).await;
    let Condition::NotReady(why) = house.condition() else {
        panic!("{:?}", house.condition())
    };
    assert!(why.contains("embedded platform"), "the source's own words: {why}");
}

#[tokio::test(start_paused = true)]
async fn a_callers_odd_question_changes_nobodys_health() {
    for is_named in [false, true] {
        let house = House::new(is_named);
        sleep(Duration::from_secs(1)).await;
        house.source.becomes(Mode::Refuses);
        let odd = AccessAsk {
            account: Account::Named("nobody@example.org".to_owned()),
            ..default()
        };
        assert!(house.tokens.access(&odd).await.is_err());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(house.condition(), Condition::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_nobody_named_is_degraded_at_worst() {
    let house = House::new(false);
    assert_eq!(house.condition(), Condition::Ok);
    house.source.becomes(Mode::Down);
    assert!(house.tokens.access(&default()).await.is_err());
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(house.condition(), Condition::Degraded(_)));
}

#[tokio::test(start_paused = true)]
async fn another_source_starts_with_an_empty_cache_and_answers_who_waits() {
    let house = House::new(false);
    let before = house.tokens.access(&default()).await.unwrap();
    house.source.becomes(Mode::Hangs);
    let scoped = AccessAsk {
        scopes: Scopes::Exactly(["a".to_owned()].into()),
        ..default()
    };
    let waits = {
        let (tokens, scoped) = (house.tokens.clone(), scoped.clone());
        tokio::spawn(async move { tokens.access(&scoped).await })
    };
    sleep(Duration::from_secs(1)).await;

    let other = Scripted::new(&house.time);
    house.tokens.replace(Prepared {
        source: Some(Arc::clone(&other) as Arc<dyn TokenSource>),
        is_named: true,
    });
    assert!(
        house.tokens.access_now(&default()).is_none(),
        "nothing of the other"
    );
    assert!(house.is_not_ready());
    assert!(
        waits.await.unwrap().is_ok(),
        "who waited is answered by the successor"
    );
    assert!(house.tokens.access_now(&default()).is_some(), "prefetched");
    assert_eq!(house.condition(), Condition::Ok);
    assert_eq!((house.source.asked(), other.asked()), (2, 2));
    assert!(before.remaining(house.time.now()) > 0, "who has a token keeps it");

    let asked = house.source.asked();
    sleep(Duration::from_secs(7200)).await;
    assert_eq!(house.source.asked(), asked, "the old one is asked no more");

    house.tokens.replace(Prepared {
        source: None,
        is_named: false,
    });
    assert_eq!(house.condition(), Condition::Ok);
    assert!(matches!(
        house.tokens.access(&default()).await,
        Err(TokenError::NoSource)
    ));
    assert_eq!(house.tokens.status().source, "none");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_stops_leaves_nobody_waiting() {
    let house = House::new(false);
    house.source.becomes(Mode::Hangs);
    let waits = {
        let tokens = house.tokens.clone();
        tokio::spawn(async move { tokens.access(&default()).await })
    };
    sleep(Duration::from_secs(1)).await;
    assert!(house.shutdown.stop(Duration::from_secs(1)).await);
    assert!(matches!(waits.await.unwrap(), Err(TokenError::Stopping)));
}

#[tokio::test(start_paused = true)]
async fn status_and_counters_tell_what_happened_and_no_token() {
    let house = House::new(true);
    sleep(Duration::from_secs(1)).await;
    house.tokens.account(&Account::Default).await.unwrap();
    let token = house.tokens.access(&default()).await.unwrap();
    let status = house.tokens.status();
    assert_eq!(status.source, "scripted");
    assert_eq!(status.from.as_deref(), Some("a test"));
    assert_eq!((status.cached, status.fetches, status.hits), (1, 2, 2));
    assert!(status.account.is_some() && status.last_answer.is_some());
    assert_eq!(status.expires_at, Some(timestamp(token.expires_at)));
    let metrics = house.metrics();
    for line in [
        "token_fetches_total{kind=\"access\",outcome=\"ok\"} 1",
        "token_fetches_total{kind=\"account\",outcome=\"ok\"} 1",
        "token_cache_hits_total 2",
        "token_cache_misses_total 0",
        "token_cache_entries{kind=\"access\"} 1",
        "token_fetch_duration_seconds_count 2",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
    assert!(metrics.contains(&format!(
        "token_default_expiry_timestamp_seconds {}",
        token.expires_at.as_secs()
    )));
    let all = format!("{status:?} {metrics} {:?}", house.tokens);
    assert!(!all.contains(token.secret.as_str()), "{all}");
}

/// What is given again without a look into the cache must be what a look would find.
#[tokio::test(start_paused = true)]
async fn a_tick_ends_with_its_second_and_with_each_change() {
    let house = House::new(false);
    let ask = AccessAsk::of_default();
    let token = house.tokens.access(&ask).await.unwrap();
    let then = house.tokens.tick().unwrap();
    assert!(Arc::ptr_eq(&token, &house.tokens.access_at(&ask, &then).unwrap()));
    let is_still = || then.is_still(&house.tokens.tick().unwrap());
    assert!(is_still(), "looking changes nothing");
    house.time.set_wall(1);
    assert!(!is_still(), "by the wall clock");
    house.time.set_wall(-1);
    assert!(is_still());
    tokio::time::advance(Duration::from_secs(1)).await;
    house.time.set_wall(-1);
    assert!(!is_still(), "by the time since boot alone");
    house.time.set_wall(1);
    let then = house.tokens.tick().unwrap();
    let is_still = || then.is_still(&house.tokens.tick().unwrap());
    tokio::time::advance(Duration::from_secs(3599)).await;
    house.time.sleep(0);
    let later = house.tokens.tick().unwrap();
    house.tokens.access(&ask).await.unwrap();
    assert!(
        !later.is_still(&house.tokens.tick().unwrap()),
        "another token is here"
    );
    assert!(!is_still());
    let now = house.tokens.tick().unwrap();
    let source = Scripted::new(&house.time);
    house.tokens.replace(Prepared {
        source: Some(source as Arc<dyn TokenSource>),
        is_named: false,
    });
    assert!(
        !now.is_still(&house.tokens.tick().unwrap()),
        "another source is in force"
    );
}
