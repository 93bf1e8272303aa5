//! Who waits for a change, and what ends it.
use super::*;
use crate::token_server::mirror::wait::CALLERS;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const KEY: &str = "instance/attributes/x";

impl World {
    fn waits(&self, target: &str) -> JoinHandle<Got> {
        let (w, target) = (self.clone(), target.to_owned());
        tokio::spawn(async move { w.get(&target).await })
    }

    /// So many callers wait, and so many questions wait for them.
    async fn settled(&self, callers: i64, polls: i64) {
        let metrics = &self.asker().metrics;
        let began = Instant::now();
        while (metrics.waiting.get(), metrics.polls.get()) != (callers, polls) {
            assert!(
                began.elapsed() < seconds(60),
                "{} callers and {} questions",
                metrics.waiting.get(),
                metrics.polls.get()
            );
            sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_ends_the_wait_of_all_and_was_one_question() {
    let w = World::new();
    w.platform.set(KEY, told("a").etag("e1"));
    let all: Vec<_> = [
        "",
        "&last_etag=e1",
        "&timeout_sec=100",
        "&timeout_sec=3600&last_etag=e1",
    ]
    .iter()
    .flat_map(|rest| [rest; 25])
    .map(|rest| w.waits(&format!("{KEY}?wait_for_change=true{rest}")))
    .collect();
    w.settled(100, 1).await;
    assert_eq!(
        w.platform.asked(),
        [
            KEY.to_owned(),
            format!("{KEY}?wait_for_change=true&last_etag=e1&timeout_sec=300")
        ]
    );
    sleep(seconds(50)).await;
    assert!(all.iter().all(|one| !one.is_finished()));
    w.platform.set(KEY, told("b").etag("e2"));
    let began = Instant::now();
    for one in all {
        let got = one.await.unwrap();
        assert_eq!((got.body.as_str(), got.etag.as_deref()), ("b", Some("e2")));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    w.settled(0, 0).await;
    w.platform.count();
    assert_eq!(w.body(KEY).await, "b");
    assert_eq!(w.platform.count(), 0, "it is remembered");
}

#[tokio::test(start_paused = true)]
async fn who_knows_an_older_value_does_not_wait() {
    let w = World::new();
    w.platform.set(KEY, told("a").etag("e1"));
    for known in ["0", "e0", "", "\"e1\"", "e1%0d%0a"] {
        let began = Instant::now();
        assert_eq!(
            w.body(&format!("{KEY}?wait_for_change=true&last_etag={known}"))
                .await,
            "a"
        );
        assert_eq!(began.elapsed(), Duration::ZERO, "{known:?}");
    }
    assert!(w.platform.asked().iter().all(|question| question == KEY));
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_over_the_present_value_is_the_answer() {
    let w = World::new();
    w.platform.set(KEY, told("a").etag("e1"));
    for (asked, time) in [
        ("&timeout_sec=0", 0),
        ("&timeout_sec=7", 7),
        ("&timeout_sec=99999", 3600),
        ("", 3600),
    ] {
        let began = Instant::now();
        let got = w.get(&format!("{KEY}?wait_for_change=true{asked}")).await;
        assert_eq!(
            (got.status, got.body.as_str(), got.etag.as_deref()),
            (200, "a", Some("e1"))
        );
        let took = began.elapsed();
        assert!(
            (seconds(time)..seconds(time) + Duration::from_millis(300)).contains(&took),
            "{asked}: {took:?}"
        );
    }
    // Nobody waits any more: nor does a question.
    w.settled(0, 0).await;
    assert_eq!(LONGEST_WAIT, seconds(3600));
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_ends_the_question_and_no_other_wait() {
    let w = World::new();
    w.platform.set(KEY, told("a"));
    let (one, other) = (
        w.waits(&format!("{KEY}?wait_for_change=true")),
        w.waits(&format!("{KEY}?wait_for_change=true")),
    );
    w.settled(2, 1).await;
    one.abort();
    w.settled(1, 1).await;
    w.platform.set(KEY, told("b").etag("e2"));
    assert_eq!(other.await.unwrap().body, "b");
    let last = w.waits(&format!("{KEY}?wait_for_change=true"));
    w.settled(1, 1).await;
    last.abort();
    w.settled(0, 0).await;
    assert_eq!(w.mirror.waiting.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_goes_away_ends_no_wait() {
    let w = World::new();
    w.platform.set(KEY, told("a"));
    let long = w.waits(&format!("{KEY}?wait_for_change=true"));
    let short = w.waits(&format!("{KEY}?wait_for_change=true&timeout_sec=600"));
    w.settled(2, 1).await;
    w.platform.with(|state| state.away = true);
    let got = short.await.unwrap();
    assert_eq!((got.status, got.body.as_str()), (200, "a"), "what was said last");
    let asked = w.platform.count();
    assert!(asked < 100, "{asked} questions in ten minutes");
    assert!(!long.is_finished());
    // Also one who comes meanwhile.
    let late = w.waits(&format!("{KEY}?wait_for_change=true"));
    w.settled(2, 0).await;
    w.platform.set(KEY, told("b").etag("e2"));
    w.platform.with(|state| state.away = false);
    assert_eq!(long.await.unwrap().body, "b");
    assert_eq!(late.await.unwrap().body, "b");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_wait_is_not_asked_in_a_circle() {
    let w = World::new();
    w.platform.set(KEY, told("a"));
    w.platform.with(|state| state.hasty = true);
    w.get(&format!("{KEY}?wait_for_change=true&timeout_sec=600"))
        .await;
    let asked = w.platform.count();
    assert!(asked < 100, "{asked} questions in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_the_bound_are_looked_at_now_and_then() {
    let w = World::new();
    let all: Vec<_> = (0..40)
        .map(|i| {
            let key = format!("instance/attributes/x{i}");
            w.platform.set(&key, told("a"));
            w.waits(&format!("{key}?wait_for_change=true"))
        })
        .collect();
    w.settled(40, 32).await;
    sleep(seconds(30)).await;
    for i in 0..40 {
        w.platform
            .set(&format!("instance/attributes/x{i}"), told("b").etag("e2"));
    }
    let began = Instant::now();
    for one in all {
        assert_eq!(one.await.unwrap().body, "b");
    }
    assert!(began.elapsed() <= seconds(10), "{:?}", began.elapsed());
    w.settled(0, 0).await;
}

#[tokio::test(start_paused = true)]
async fn there_is_a_largest_number_of_callers() {
    let w = World::new();
    w.platform.set(KEY, told("a"));
    let wait = |_| w.waits(&format!("{KEY}?wait_for_change=true"));
    // As many as one user's places at three doors.
    let of_one_user = 3 * (crate::token_server::CONNECTIONS / 4);
    let mut all: Vec<_> = (0..of_one_user).map(wait).collect();
    w.settled(i64::try_from(of_one_user).unwrap(), 1).await;
    all.extend((of_one_user..CALLERS).map(wait));
    w.settled(i64::try_from(CALLERS).unwrap(), 1).await;
    let reply = w.ask(&format!("{KEY}?wait_for_change=true")).await;
    assert_eq!(reply.status().as_u16(), 503);
    assert!(reply.headers().contains_key("retry-after"));
    assert_eq!(w.status(KEY).await, 200, "who does not wait is served");
    w.platform.set(KEY, told("b").etag("e2"));
    for one in all {
        assert_eq!(one.await.unwrap().body, "b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_cuts_all_waits_off() {
    let w = World::new();
    w.platform.set(KEY, told("a"));
    let all: Vec<_> = (0..10)
        .map(|_| w.waits(&format!("{KEY}?wait_for_change=true")))
        .collect();
    w.settled(10, 1).await;
    let began = Instant::now();
    assert!(w.shutdown.stop(seconds(5)).await);
    for one in all {
        assert_eq!(one.await.unwrap().status, 503);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn only_what_has_a_value_can_be_waited_for() {
    let w = World::new();
    for target in ["instance/", "", "instance/disks/", "instance/?alt=json"] {
        let mark = if target.contains('?') { '&' } else { '?' };
        assert_eq!(
            w.status(&format!("{target}{mark}wait_for_change=true")).await,
            400,
            "{target}"
        );
    }
    assert_eq!(w.platform.count(), 0);
    assert_eq!(w.status("nothing?wait_for_change=true").await, 404);
    let path = "instance/workload-identities?wait_for_change=true";
    assert_eq!(w.status(path).await, 403);
    assert_eq!(
        w.status("instance/service-accounts/default/token?wait_for_change=true")
            .await,
        404
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_away_ends_the_wait() {
    let w = World::new();
    w.platform.set(KEY, told("a"));
    let waits = w.waits(&format!("{KEY}?wait_for_change=true"));
    w.settled(1, 1).await;
    w.platform.set(KEY, told("gone").status(404).etag("e2"));
    assert_eq!(waits.await.unwrap().status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_is_waited_for_is_pruned_too() {
    let w = World::new();
    let question = "instance/?recursive=true&alt=json";
    w.platform.set(question, told("{\"id\":1}").json());
    let waits = [false, true].map(|identity| {
        let w = w.clone();
        tokio::spawn(async move {
            w.get_as(identity, "instance/?recursive=true&wait_for_change=true")
                .await
        })
    });
    // Two kinds of readers are two questions.
    w.settled(2, 2).await;
    let tree = "{\"id\":1,\"workloadIdentities\":\"SECRET\",\"serviceAccounts\":{\"default\":{\"token\":\"TOKEN\"}}}";
    w.platform.set(question, told(tree).json().etag("e2"));
    for (identity, waits) in [false, true].into_iter().zip(waits) {
        let got = waits.await.unwrap();
        assert_eq!(got.body.contains("SECRET"), identity);
        assert!(
            got.body.contains("ours@x") && !got.body.contains("TOKEN"),
            "{}",
            got.body
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_identity_waits_no_longer_for_what_may_hold_its_key() {
    let w = World::new();
    let tree = told("{\"workloadIdentities\":\"SECRET\"}").json();
    for path in ["instance/", "instance/attributes/"] {
        w.platform
            .set(&format!("{path}?recursive=true&alt=json"), tree.clone());
    }
    w.platform.set("instance/workload-identities", told("SECRET"));
    w.platform.set(KEY, told("a"));
    let lost = Arc::new(Notify::new());
    let waits = [
        ("instance/?recursive=true&wait_for_change=true", 403),
        ("instance/workload-identities?wait_for_change=true", 403),
        (
            "instance/attributes/?recursive=true&wait_for_change=true&timeout_sec=9",
            200,
        ),
        ("instance/attributes/x?wait_for_change=true&timeout_sec=9", 200),
    ]
    .map(|(target, status)| {
        let (w, lost) = (w.clone(), Arc::clone(&lost));
        let waits =
            tokio::spawn(async move { got(ask_until(&w.mirror, target, true, lost.notified()).await).await });
        (target, status, waits)
    });
    w.settled(4, 4).await;
    let began = Instant::now();
    lost.notify_waiters();
    for (target, status, waits) in waits {
        let got = waits.await.unwrap();
        assert_eq!(got.status, status, "{target}");
        assert_eq!(began.elapsed() < seconds(1), status == 403, "{target}");
        let denied = (status == 403).then_some(PrivateKey::Denied(NO_MORE));
        assert_eq!(got.about_key, denied, "{target}");
        assert!(status == 200 || !got.body.contains("SECRET"), "{}", got.body);
    }
    w.settled(0, 0).await;
}
