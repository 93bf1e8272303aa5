//! Clocks that are set, and machines that sleep.
use super::*;

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_ends_a_token_by_its_own_time() {
    let house = House::new(false);
    house.serves(&default()).await;
    house.source.becomes(Mode::Down);
    house.time.set_wall(2 * 3600);
    assert!(
        house.tokens.access_now(&default()).is_none(),
        "by the wall it is over"
    );
    assert!(house.tokens.access(&default()).await.is_err());
    // Nor does it come back to life with the clock.
    house.time.set_wall(-2 * 3600);
    assert!(house.tokens.access_now(&default()).is_none());
    house.source.becomes(Mode::Good);
    sleep(seconds(31)).await;
    house.serves(&default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_prolongs_nothing_and_the_token_is_asked_for_anew() {
    let house = House::new(false);
    house.serves(&default()).await;
    sleep(seconds(600)).await;
    house.source.becomes(Mode::Down);
    house.time.set_wall(-7200);
    let left = house.serves(&default()).await;
    assert!((LIFE - 602..=LIFE - 599).contains(&left), "told {left}");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(house.source.asked(), 2, "asked for anew");
    house.source.becomes(Mode::Good);
    sleep(seconds(31)).await;
    let left = house.serves(&default()).await;
    sleep(seconds(31)).await;
    let asked = house.source.asked();
    assert!(left < LIFE, "the platform hands out the same");
    sleep(seconds(600)).await;
    house.serves(&default()).await;
    assert_eq!(house.source.asked(), asked, "and then it is settled");
    sleep(seconds(LIFE - 600 - 31 - 31 - 600 - 310)).await;
    assert!(house.serves(&default()).await < 320);
}

#[tokio::test(start_paused = true)]
async fn a_small_step_of_a_time_server_asks_nobody() {
    let house = House::new(false);
    house.serves(&default()).await;
    for step in [1, -2, 3, -3, 2] {
        house.time.set_wall(step);
        assert!(house.tokens.access_now(&default()).is_some());
    }
    sleep(seconds(10)).await;
    assert_eq!(house.source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_serves_nothing_that_ended_meanwhile() {
    let house = House::new(false);
    house.serves(&default()).await;
    house.time.sleep(LIFE - 1000);
    let token = house.tokens.access_now(&default()).expect("it still lives");
    assert!(house.left(&token) <= 1000);
    house.time.sleep(2000);
    assert!(house.tokens.access_now(&default()).is_none());
    assert!(house.serves(&default()).await > 3000, "a new one");
    assert_eq!(house.source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sleep_that_the_wall_clock_does_not_see_counts_all_the_same() {
    let house = House::new(false);
    house.serves(&default()).await;
    house.source.becomes(Mode::Down);
    house.time.sleep(2 * LIFE);
    house.time.set_wall(-2 * LIFE as i64);
    assert!(house.tokens.access_now(&default()).is_none());
    assert!(house.tokens.access(&default()).await.is_err());
}
