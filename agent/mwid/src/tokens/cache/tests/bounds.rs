//! Many questions: bounded, and who asks for many things once does not push out what others use.
use super::*;
use crate::http::Holder;

#[tokio::test(start_paused = true)]
async fn ten_thousand_audiences_stay_within_the_bounds_and_push_out_nobody() {
    let house = House::new(false);
    let used: Vec<IdAsk> = (0..50).map(|n| audience(&format!("https://used-{n}"))).collect();
    house.serves(&default()).await;
    for _ in 0..2 {
        for ask in &used {
            house.tokens.id(ask).await.unwrap();
        }
    }
    let asked = house.source.asked();
    for n in 0..10_000 {
        let ask = audience(&format!("https://{n}.{}", "x".repeat(1000)));
        house.tokens.id(&ask).await.unwrap();
        if n % 100 == 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    let metrics = house.metrics();
    let read = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).expect(name);
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let entries = read("token_cache_entries{kind=\"id\"}");
    let bytes = read("token_cache_bytes{kind=\"id\"}");
    let evicted = read("token_cache_evictions_total{kind=\"id\"}");
    println!("10,000 audiences: {entries} entries, {bytes} bytes, {evicted} pushed out");
    assert!(entries <= 4096 && bytes <= 8 * 1024 * 1024);
    assert!(entries > 1000, "a cache all the same");
    assert_eq!(entries + evicted, 10_050);
    assert_eq!(house.source.asked(), asked + 10_000);
    for ask in &used {
        assert!(house.tokens.id_now(ask).is_some(), "{}", ask.audience);
    }
    assert!(house.tokens.access_now(&default()).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_used_long_ago_gives_way_to_what_is_used() {
    let house = House::new(false);
    let ask = |n: usize| audience(&format!("https://{n}"));
    for n in 0..6000 {
        for _ in 0..2 {
            house.tokens.id(&ask(n)).await.unwrap();
        }
        if n % 100 == 0 {
            sleep(seconds(2)).await;
            assert!(house.tokens.id(&ask(0)).await.is_ok());
        }
    }
    assert!(
        house.tokens.id_now(&ask(0)).is_some(),
        "used all the time, so still here"
    );
    assert!(house.tokens.id_now(&ask(1)).is_none(), "used at the start only");
    assert!(house.tokens.id_now(&ask(5999)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_new_questions_waits_in_line_and_keeps_nobody_from_renewing() {
    let house = House::new(false);
    house.serves(&scoped("used")).await;
    sleep(seconds(LIFE - 200)).await;
    house.source.becomes(Mode::Slow(seconds(20)));
    let flood: Vec<_> = (0..500)
        .map(|n| {
            let tokens = house.tokens.clone();
            tokio::spawn(async move { tokens.id(&audience(&format!("https://{n}"))).await })
        })
        .collect();
    sleep(seconds(1)).await;
    house.serves(&scoped("used")).await;
    let before = Instant::now();
    house.serves(&default()).await;
    assert!(before.elapsed() <= seconds(21), "{:?}", before.elapsed());
    let token = house.tokens.access_now(&scoped("used")).expect("renewed");
    assert!(house.left(&token) > 3000);
    let mut served = 0;
    for each in flood {
        served += usize::from(each.await.unwrap().is_ok());
    }
    let most = house.source.most_under_way();
    println!("{served} of 500 served, {most} under way at most");
    assert!(most <= 64 + 16 + 1, "{most}");
    assert!(served >= 64, "{served}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_line_is_not_a_failure_of_the_source() {
    let house = House::new(false);
    house.source.becomes(Mode::Slow(seconds(20)));
    let before = Instant::now();
    let flood: Vec<_> = (0..200)
        .map(|n| {
            let tokens = house.tokens.clone();
            tokio::spawn(async move { tokens.id(&audience(&format!("https://{n}"))).await })
        })
        .collect();
    let (mut served, mut without_a_turn) = (0, 0);
    for each in flood {
        match each.await.unwrap() {
            Ok(_) => served += 1,
            Err(error @ TokenError::NoTurn { .. }) => {
                assert!(matches!(error.failure(), Failure::Unavailable { .. }));
                without_a_turn += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    // The second 64 began after 20 s and took 20 s more, which is longer than one question may take.
    assert_eq!((served, without_a_turn), (128, 72));
    assert!(before.elapsed() <= seconds(41), "{:?}", before.elapsed());
    assert_eq!(house.source.asked(), 128, "nobody else came to ask");
    assert!(house.tokens.status().trouble.is_none());
    assert_eq!(house.tokens.status().fetches, 128);
    house.source.becomes(Mode::Good);
    assert!(house.tokens.id(&audience("https://199")).await.is_ok(), "at once");
}

#[tokio::test(start_paused = true)]
async fn more_questions_at_once_than_there_is_room_for_are_refused_for_now() {
    let house = House::new(false);
    house.source.becomes(Mode::Hangs);
    let callers: Vec<_> = (0..4200)
        .map(|n| {
            let tokens = house.tokens.clone();
            tokio::spawn(async move { tokens.id(&audience(&format!("https://{n}"))).await.unwrap_err() })
        })
        .collect();
    let mut refused = 0;
    for caller in callers {
        let error = caller.await.unwrap();
        assert!(matches!(error.failure(), Failure::Unavailable { .. }));
        refused += usize::from(matches!(error, TokenError::TooManyAtOnce { .. }));
    }
    assert!(refused >= 4200 - 4096, "{refused}");
}

#[test]
fn what_is_too_heavy_is_not_kept() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let house = House::new(false);
        let ask = scoped(&"x".repeat(9 * 1024 * 1024));
        let error = house.tokens.access(&ask).await.unwrap_err();
        assert!(matches!(error, TokenError::TooManyAtOnce { .. }), "{error:?}");
        house.serves(&default()).await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_user_who_asks_for_thousands_of_audiences_holds_up_nobody_else() {
    let house = House::new(false);
    house.source.becomes(Mode::Slow(seconds(20)));
    let of = |uid: u32| {
        let trusted = uid == 0;
        house.tokens.asked_by(Some(Holder { uid, trusted }))
    };
    let flood: Vec<_> = (0..3000)
        .map(|n| {
            let tokens = of(1001);
            tokio::spawn(async move { tokens.id(&audience(&format!("https://{n}"))).await })
        })
        .collect();
    while house.source.asked() < 16 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    let (other, same, root) = (of(1002), of(1003), of(0));
    let (mine, last, roots) = (
        audience("https://mine"),
        audience("https://1000"),
        audience("https://root"),
    );
    let (other, same, root) = tokio::join!(other.id(&mine), same.id(&last), root.id(&roots));
    assert!(
        other.is_ok() && same.is_ok() && root.is_ok(),
        "{other:?} {same:?} {root:?}"
    );
    assert!(began.elapsed() <= seconds(21), "{:?}", began.elapsed());
    let (mut served, mut refused) = (0, 0);
    for one in flood {
        match one.await.unwrap() {
            Ok(_) => served += 1,
            Err(TokenError::TooManyOfYours { .. }) => refused += 1,
            Err(error) => assert!(matches!(error, TokenError::NoTurn { .. }), "{error:?}"),
        }
    }
    // Two rounds of his sixteen, and the one that another wanted too.
    assert_eq!((served, refused), (33, 3000 - 1024));
    assert!(house.tokens.status().trouble.is_none());
}
