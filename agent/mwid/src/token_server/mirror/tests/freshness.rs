//! What is remembered, for how long, and what happens while the platform is slow or away.
use super::super::ask::MOST_FLIGHTS;
use super::super::memory::{MOST_BYTES, MOST_ENTRIES, STALE_FOR};
use super::*;
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn a_value_is_remembered_for_as_long_as_it_can_be_true() {
    let w = World::new();
    for (question, target, fresh) in [
        ("project/project-id", "project/project-id", seconds(300)),
        ("instance/zone", "instance/zone?x=y", seconds(300)),
        ("instance/tags", "instance/tags", seconds(1)),
        (
            "instance/?recursive=true&alt=json",
            "instance/?recursive=true",
            seconds(1),
        ),
        ("instance/id?alt=json", "instance/id?alt=json", seconds(300)),
    ] {
        w.platform.set(question, told("1").json());
        assert_eq!(w.body(target).await, "1");
        w.platform.set(question, told("2").json());
        advance(fresh - Duration::from_millis(1)).await;
        assert_eq!(w.body(target).await, "1", "{target}");
        assert_eq!(w.platform.count(), 1, "{target}");
        advance(Duration::from_millis(1)).await;
        assert_eq!(w.body(target).await, "2", "{target}");
        assert_eq!(w.platform.count(), 1, "{target}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_there_may_come() {
    let w = World::new();
    assert_eq!(w.status("project/project-id").await, 404);
    w.platform.set("project/project-id", told("p"));
    advance(Duration::from_millis(999)).await;
    assert_eq!(w.status("project/project-id").await, 404);
    advance(Duration::from_millis(1)).await;
    assert_eq!(w.body("project/project-id").await, "p");
    assert_eq!(w.platform.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_away_is_gone() {
    let w = World::new();
    w.platform.set("instance/attributes/x", told("x"));
    assert_eq!(w.status("instance/attributes/x").await, 200);
    w.platform.set("instance/attributes/x", told("").status(404));
    advance(seconds(1)).await;
    assert_eq!(w.status("instance/attributes/x").await, 404);
    w.platform.with(|state| state.away = true);
    advance(seconds(1)).await;
    assert_eq!(
        w.status("instance/attributes/x").await,
        404,
        "the last answer stands in, not the last value"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_early_is_asked_until_it_is_known() {
    let w = World::new();
    w.platform.set("project/project-id", told("p"));
    w.platform.with(|state| state.away = true);
    w.mirror
        .learn(&["project/project-id", "universe/universe-domain"]);
    tokio::time::sleep(seconds(600)).await;
    assert!(
        (40..600).contains(&w.platform.count()),
        "neither never nor a storm"
    );
    w.platform.with(|state| state.away = false);
    tokio::time::sleep(seconds(40)).await;
    w.platform.count();
    tokio::time::sleep(seconds(3600)).await;
    assert_eq!(w.platform.count(), 0, "once is enough");
    w.platform.with(|state| state.takes = seconds(3600));
    assert_eq!(w.body("project/project-id").await, "p");
    assert_eq!(w.status("universe/universe-domain").await, 404);
}

#[tokio::test(start_paused = true)]
async fn many_callers_are_one_question() {
    let w = World::new();
    w.platform.set("instance/tags", told("x"));
    w.platform.with(|state| state.takes = Duration::from_millis(50));
    let all: Vec<_> = (0..1000)
        .map(|_| {
            let w = w.clone();
            tokio::spawn(async move { w.body("instance/tags").await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), "x");
    }
    assert_eq!(w.platform.count(), 1);
    assert_eq!(w.asker().metrics.hits.get(), 0);
    assert_eq!(w.body("instance/tags").await, "x");
    assert_eq!(w.asker().metrics.hits.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_takes_the_answer_from_nobody() {
    let w = World::new();
    w.platform.set("instance/tags", told("x"));
    w.platform.with(|state| state.takes = seconds(1));
    let first = tokio::time::timeout(Duration::from_millis(10), w.body("instance/tags"));
    assert!(first.await.is_err());
    assert_eq!(w.body("instance/tags").await, "x");
    assert_eq!(w.platform.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_platform_delays_nobody_who_can_have_the_last_value() {
    let w = World::new();
    w.platform.set("instance/tags", told("old"));
    w.body("instance/tags").await;
    advance(seconds(1)).await;
    w.platform.set("instance/tags", told("new"));
    w.platform.with(|state| state.takes = seconds(4));
    let began = Instant::now();
    assert_eq!(w.body("instance/tags").await, "old");
    assert_eq!(began.elapsed(), Duration::from_millis(200));
    // The grace is counted once, from the question.
    assert_eq!(w.body("instance/tags").await, "old");
    assert_eq!(began.elapsed(), Duration::from_millis(200));
    assert_eq!(w.asker().metrics.stale.get(), 2);
    tokio::time::sleep(seconds(4)).await;
    assert_eq!(
        w.body("instance/tags").await,
        "new",
        "it went on in the background"
    );
    assert_eq!(w.platform.count(), 2);
    // Quick enough: the present value is waited for.
    w.platform.set("instance/tags", told("newer"));
    w.platform.with(|state| state.takes = Duration::from_millis(150));
    advance(seconds(1)).await;
    assert_eq!(w.body("instance/tags").await, "newer");
}

#[tokio::test(start_paused = true)]
async fn while_the_platform_is_away_the_last_value_is_served() {
    let w = World::new();
    w.platform.set("instance/tags", told("x"));
    w.platform.set("project/project-id", told("p"));
    w.get("instance/tags").await;
    w.get("project/project-id").await;
    w.platform.with(|state| state.away = true);
    w.platform.count();
    let (mut answers, began) = (0_u32, Instant::now());
    while began.elapsed() < seconds(3600) {
        assert_eq!(w.body("instance/tags").await, "x");
        assert_eq!(w.body("project/project-id").await, "p");
        answers += 1;
        advance(seconds(1)).await;
    }
    let asked = w.platform.count();
    assert!(
        answers > 3000 && asked < 6000,
        "{asked} questions for {answers} answers"
    );
    assert_eq!(w.status("instance/disks/").await, 503, "nothing is remembered");
    // Back again, alone.
    w.platform.set("instance/tags", told("y"));
    w.platform.with(|state| state.away = false);
    advance(seconds(11)).await;
    assert_eq!(w.body("instance/tags").await, "y");
    assert!(w.asker().metrics.asked_with("unreachable") > 100);
}

#[tokio::test(start_paused = true)]
async fn questions_with_parameters_are_passed_on_and_each_is_its_own() {
    let w = World::new();
    for name in ["a", "b"] {
        let question = format!("oslogin/users?username={name}");
        w.platform.set(&question, told(name));
        assert_eq!(w.body(&question).await, name);
    }
    assert_eq!(w.platform.count(), 2);
    assert_eq!(w.status("oslogin/users").await, 404, "none of them");
    let many = "a=b&".repeat(9);
    assert_eq!(w.status(&format!("oslogin/users?{many}")).await, 400);
    w.platform.with(|state| state.away = true);
    advance(seconds(1)).await;
    assert_eq!(
        w.status("oslogin/users?username=a").await,
        503,
        "who may log in is not told from memory"
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_of_yesterday_is_no_value() {
    let w = World::new();
    w.platform.set("project/project-id", told("p"));
    w.get("project/project-id").await;
    w.platform.with(|state| state.away = true);
    advance(STALE_FOR - seconds(1)).await;
    assert_eq!(w.status("project/project-id").await, 200);
    advance(seconds(20)).await;
    let reply = w.ask("project/project-id").await;
    assert_eq!(reply.status().as_u16(), 503);
    assert!(reply.headers().contains_key("retry-after"));
    w.platform.with(|state| state.away = false);
    advance(seconds(11)).await;
    assert_eq!(w.status("project/project-id").await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_work_is_asked_again_and_then_said_so() {
    for status in [429, 500, 503] {
        let w = World::new();
        w.platform.set("instance/tags", told("busy").status(status));
        let asking = tokio::spawn({
            let w = w.clone();
            async move { w.get("instance/tags").await }
        });
        while w.platform.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        w.platform.set("instance/tags", told("x"));
        assert_eq!(asking.await.unwrap().body, "x", "{status}: the second try");
        advance(seconds(1)).await;
        w.platform.set("instance/tags", told("busy").status(status));
        assert_eq!(w.body("instance/tags").await, "x");
        w.platform
            .set("instance/id", told("secret detail").status(status));
        let reply = w.ask("instance/id").await;
        assert!(reply.headers().contains_key("retry-after"));
        let got = got(reply).await;
        assert_eq!(got.status, 503, "{status}");
        assert!(!got.body.contains("secret detail"));
        w.platform.count();
        assert_eq!(w.status("instance/id").await, 503);
        assert_eq!(w.platform.count(), 0, "not asked again at once");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_values_outlast_refusals() {
    let w = World::new();
    w.platform.set("project/project-id", told("p"));
    w.get("project/project-id").await;
    for i in 0..MOST_ENTRIES * 2 {
        w.get(&format!("instance/attributes/missing{i}")).await;
    }
    let (entries, _) = w.asker().remembered();
    assert_eq!(entries, MOST_ENTRIES);
    w.platform.count();
    w.get("project/project-id").await;
    assert_eq!(
        w.platform.count(),
        0,
        "a value is not driven out by keys that are not there"
    );
    for i in 0..12 {
        let question = format!("instance/attributes/large{i}");
        w.platform.set(&question, told(&"x".repeat(1024 * 1024)));
        w.get(&question).await;
        let (_, bytes) = w.asker().remembered();
        assert!(bytes <= MOST_BYTES, "{bytes}");
    }
    let (entries, bytes) = w.asker().remembered();
    assert!(
        (7 * 1024 * 1024..=MOST_BYTES).contains(&bytes),
        "{entries} {bytes}"
    );
    w.platform.count();
    w.get("instance/attributes/large11").await;
    assert_eq!(w.platform.count(), 0, "the newest is there");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_under_way_when_nobody_asks() {
    let w = World::new();
    w.platform.set("instance/tags", told("x"));
    w.get("instance/tags").await;
    w.platform.count();
    tokio::time::sleep(seconds(24 * 3600)).await;
    assert_eq!(w.platform.count(), 0);
    assert!(w.shutdown.stop(seconds(1)).await);
}

#[tokio::test(start_paused = true)]
async fn a_stop_cuts_a_question_off() {
    let w = World::new();
    w.platform.with(|state| state.takes = seconds(4));
    let asking = tokio::spawn({
        let w = w.clone();
        async move { w.status("instance/tags").await }
    });
    while w.platform.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    assert!(w.shutdown.stop(seconds(1)).await);
    assert_eq!(asking.await.unwrap(), 503);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_ever_more_keys_and_leaves_fills_no_memory() {
    let w = World::new();
    w.platform.set("project/project-id", told("p"));
    assert_eq!(w.body("project/project-id").await, "p");
    advance(seconds(301)).await;
    w.platform.with(|state| state.takes = seconds(4));
    for n in 0..MOST_FLIGHTS + 1000 {
        let target = format!("instance/attributes/{n}");
        let left = tokio::time::timeout(Duration::from_millis(1), w.status(&target)).await;
        assert_eq!(left.ok(), (n >= MOST_FLIGHTS).then_some(503), "{n}");
    }
    assert_eq!(w.asker().under_way(), MOST_FLIGHTS);
    assert_eq!(
        w.body("project/project-id").await,
        "p",
        "what is remembered is served"
    );
    tokio::time::sleep(seconds(3600)).await;
    assert_eq!(w.asker().under_way(), 0);
    assert_eq!(w.status("instance/attributes/none").await, 404);
}

/// Questions of a user, whose answers take a while.
async fn asked_by(w: &World, uid: u32, target: &str) -> u16 {
    let trusted = uid == 0;
    let wish = Wish {
        path: target,
        query: "",
        host: "mwid.test:8174",
        whose: Some(Holder { uid, trusted }),
    };
    let grant = Grant::default();
    let answer = w
        .mirror
        .answer(wish, &grant, async { None }, async { None }, pending());
    answer.await.status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn a_user_who_makes_up_keys_at_a_slow_platform_holds_up_nobody_else() {
    let w = World::new();
    w.platform.set("instance/tags", told("x"));
    w.platform.with(|state| state.takes = seconds(4));
    let flood: Vec<_> = (0..MOST_FLIGHTS)
        .map(|n| {
            let w = w.clone();
            tokio::spawn(async move { asked_by(&w, 1001, &format!("instance/attributes/{n}")).await })
        })
        .collect();
    while w.asker().under_way() < MOST_FLIGHTS / 4 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let (other, same, root) = tokio::join!(
        asked_by(&w, 1002, "instance/tags"),
        // One of the last of the flood.
        asked_by(&w, 1003, "instance/attributes/127"),
        asked_by(&w, 0, "instance/id"),
    );
    assert_eq!((other, same, root), (200, 404, 404));
    assert!(began.elapsed() <= seconds(5), "{:?}", began.elapsed());
    let mut refused = 0;
    for one in flood {
        refused += usize::from(one.await.unwrap() == 503);
    }
    assert_eq!(refused, MOST_FLIGHTS - MOST_FLIGHTS / 4, "what is over his share");
    assert_eq!(w.asker().under_way(), 0);
}
