//! A source that is away, slow, silent or broken.
use super::super::Landing;
use super::*;

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_platform_fails_nobody_whose_token_lives_and_ends_alone() {
    let house = House::new(false);
    house.serves(&default()).await;
    house.source.becomes(Mode::Down);
    let start = Instant::now();
    while start.elapsed() < seconds(LIFE - 1) {
        let before = Instant::now();
        let left = house.serves(&default()).await;
        let true_left = LIFE - start.elapsed().as_secs();
        assert!(left.abs_diff(true_left) <= 1, "told {left}, true is {true_left}");
        assert!(before.elapsed() <= Duration::from_millis(200));
        sleep(Duration::from_millis(500)).await;
    }
    let tries = house.source.asked();
    assert!(
        (8..40).contains(&tries),
        "{tries} tries in the last five minutes: neither none nor a storm"
    );

    sleep(seconds(2)).await;
    let begun = Instant::now();
    let error = house.tokens.access(&default()).await.unwrap_err();
    let Failure::Unavailable { retry_after } = error.failure() else {
        panic!("{error:?}")
    };
    assert!(
        (seconds(1)..=seconds(30)).contains(&retry_after),
        "{retry_after:?}"
    );
    assert_eq!(retry_after.subsec_nanos(), 0, "Retry-After is whole seconds");
    assert!(begun.elapsed() < seconds(1), "told at once");
    assert!(house.tokens.access_now(&default()).is_none());

    house.source.becomes(Mode::Good);
    sleep(retry_after + seconds(1)).await;
    let token = house
        .tokens
        .access_now(&default())
        .expect("it came back without being asked for");
    assert!(house.left(&token) > 3500);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_wants_any_more_is_not_tried_for_for_ever() {
    let house = House::new(false);
    house.serves(&default()).await;
    house.serves(&default()).await;
    house.source.becomes(Mode::Down);
    sleep(seconds(LIFE + 700)).await;
    let tries = house.source.asked();
    sleep(seconds(86_400)).await;
    assert_eq!(house.source.asked(), tries);
}

#[tokio::test(start_paused = true)]
async fn a_slow_platform_delays_nobody_who_has_a_valid_token() {
    let house = House::new(false);
    house.serves(&default()).await;
    house.source.becomes(Mode::Slow(seconds(30)));
    let mut slowest = Duration::ZERO;
    for _ in 0..LIFE + 600 {
        let before = Instant::now();
        let left = house.serves(&default()).await;
        slowest = slowest.max(before.elapsed());
        assert!(left >= 200, "{left}");
        sleep(seconds(1)).await;
    }
    assert!(slowest <= Duration::from_millis(200), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_low_token_is_worth_a_short_wait_for_its_successor() {
    let house = House::new(false);
    house.serves(&default()).await;
    // Nobody asks until less than four minutes are left.
    sleep(seconds(LIFE - 200)).await;
    assert!(
        house.tokens.access_now(&default()).is_none(),
        "better to wait a moment"
    );
    assert!(house.serves(&default()).await > 3000, "the successor, at once");
}

#[tokio::test(start_paused = true)]
async fn a_low_token_is_served_when_its_successor_takes_long() {
    let house = House::new(false);
    house.serves(&default()).await;
    sleep(seconds(LIFE - 200)).await;
    house.source.becomes(Mode::Slow(seconds(20)));
    let before = Instant::now();
    assert!(house.serves(&default()).await <= 200);
    let waited = before.elapsed();
    assert!(
        (Duration::from_millis(100)..=Duration::from_millis(201)).contains(&waited),
        "{waited:?}"
    );
    // Later callers of the same fetch do not wait at all.
    let before = Instant::now();
    assert!(house.serves(&default()).await <= 200);
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(house.tokens.access_now(&default()).is_some());
    assert_eq!(house.source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_given_up_after_a_while() {
    let house = House::new(false);
    house.source.becomes(Mode::Hangs);
    let before = Instant::now();
    let error = house.tokens.access(&default()).await.unwrap_err();
    assert!(before.elapsed() <= seconds(36), "{:?}", before.elapsed());
    let TokenError::Unavailable { cause, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(**cause, TokenError::TimedOut { .. }), "{cause:?}");
    house.source.becomes(Mode::Good);
    sleep(seconds(2)).await;
    house.serves(&default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_or_hands_out_expired_tokens_fails_like_any_other() {
    let house = House::new(false);
    for mode in [Mode::Panics, Mode::Stale] {
        house.source.becomes(mode);
        let error = house.tokens.access(&default()).await.unwrap_err();
        assert!(
            matches!(error.failure(), Failure::Unavailable { .. }),
            "{error:?}"
        );
        assert!(house.tokens.access_now(&default()).is_none());
        sleep(seconds(5)).await;
    }
    house.source.becomes(Mode::Good);
    house.serves(&default()).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_old_from_the_start_are_not_renewed_for_nobody() {
    let house = House::new(false);
    house.source.makes_short_ones(200);
    for _ in 0..10 {
        house.serves(&default()).await;
        sleep(seconds(1)).await;
    }
    sleep(seconds(600)).await;
    let asked = house.source.asked();
    sleep(seconds(86_400)).await;
    assert_eq!(house.source.asked(), asked, "nobody has used one of them");
    house.serves(&default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_no_for_good_is_tried_unasked_ever_more_seldom_and_anew_for_who_asks() {
    let house = House::new(true);
    house.source.becomes(Mode::Refuses);
    sleep(seconds(86_400)).await;
    let asked = house.source.asked();
    println!("{asked} tries in a day that nobody asked for");
    assert!((288..=600).contains(&asked), "{asked}");
    house.source.becomes(Mode::Good);
    sleep(seconds(302)).await;
    assert!(house.tokens.access_now(&default()).is_some(), "found unasked");

    let house = House::new(true);
    house.source.becomes(Mode::Refuses);
    sleep(seconds(3600)).await;
    assert!(house.tokens.access(&default()).await.is_err());
    sleep(seconds(11)).await;
    let asked = house.source.asked();
    for _ in 0..100 {
        assert!(house.tokens.access(&default()).await.is_err());
    }
    assert_eq!(house.source.asked(), asked + 1, "anew, and remembered");
    house.source.becomes(Mode::Good);
    sleep(seconds(11)).await;
    house.serves(&default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_ends_without_a_word_leaves_no_question_dead() {
    let house = House::new(false);
    let (supply, ask) = (house.tokens.supply().unwrap(), default());
    let cache = supply.caches.access.as_ref();
    let (flight, tell) = cache.write().slot(&ask).0.unwrap().begin(None);
    // In this order a fault of ours unwinds.
    drop(Landing { cache, ask: &ask });
    drop(tell);
    let error = cache.wait(flight).await.unwrap_err();
    assert!(matches!(error, TokenError::Broke { .. }), "{error:?}");
    sleep(seconds(2)).await;
    house.serves(&ask).await;
}
