//! Disks that hang or refuse, restarts on them, damage by hand, and identities that are no longer vouched for.

use super::*;

/// Lets everything else run until this is so. A paused clock stands still while a call to the disk hangs.
async fn comes(house: &House, wanted: impl Fn(&Condition) -> bool) {
    let start = std::time::Instant::now();
    while !wanted(&house.condition()) {
        let condition = house.condition();
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "never came: {condition:?}"
        );
        tokio::task::yield_now().await;
    }
}

/// Until the task's thread is in the call that hangs.
async fn hangs(house: &House) {
    let start = std::time::Instant::now();
    while house.faulty.is_to_hang() {
        assert!(start.elapsed() < Duration::from_secs(20), "that call never came");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_told_and_costs_readiness_at_the_end_of_what_is_published() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    house.identities.next_for(300);
    until(&publishing, |list| list[0].generation == 1).await;
    let go = house.faulty.hang("create_file");
    house.identities.next();
    hangs(&house).await;
    assert_eq!(house.condition(), Condition::Ok);
    for _ in 0..6 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    comes(
        &house,
        |c| matches!(c, Condition::Degraded(why) if why.contains("the disk does not answer")),
    )
    .await;
    house.clock.advance(301);
    tokio::time::advance(Duration::from_secs(1)).await;
    comes(
        &house,
        |c| matches!(c, Condition::NotReady(why) if why.contains("has expired")),
    )
    .await;
    drop(go);
    until(&publishing, |list| {
        list[0].generation == 2 && list[0].trouble.is_none()
    })
    .await;
    condition_is(&house, |c| *c == Condition::Ok).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_published_before_a_restart_is_good_enough_while_the_disk_refuses() {
    let mut house = House::new();
    let settings = || vec![house.settings("identity", vec![])];
    let (first, second) = (settings(), settings());
    let publishing = house.start(first).await.unwrap();
    house.identities.next_for(300);
    until(&publishing, |list| list[0].generation == 1).await;
    assert!(house.shutdown.stop(Duration::from_secs(5)).await);
    drop(publishing);
    house.shutdown = Shutdown::default();
    house
        .faulty
        .spoil(1, Fault::AlwaysCall("create_file", Errno::ROFS));
    house.identities.next();
    let _publishing = house.start(second).await.unwrap();
    condition_is(
        &house,
        |c| matches!(c, Condition::Degraded(why) if why.contains("read-only")),
    )
    .await;
    house.clock.advance(301);
    condition_is(
        &house,
        |c| matches!(c, Condition::NotReady(why) if why.contains("has expired")),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_try_tells_the_same_error_in_the_same_words() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    house
        .faulty
        .spoil(1, Fault::AlwaysCall("create_file", Errno::NOSPC));
    house.identities.next();
    let mut texts = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let before = publishing.status.borrow()[0].trouble.clone().map(|line| line.at);
        until(&publishing, |list| {
            let trouble = list[0].trouble.as_ref();
            trouble.is_some_and(|line| Some(line.at) != before)
        })
        .await;
        texts.insert(publishing.status.borrow()[0].trouble.clone().unwrap().text);
        house.clock.advance(1);
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
    let text = texts.first().unwrap();
    assert!(text.contains("/.identity/00000001-*/certificates.pem"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn readiness_falls_at_the_end_of_what_is_published_and_not_at_the_next_try() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    let one = house.identities.next_for(300);
    until(&publishing, |list| list[0].generation == 1).await;
    house
        .faulty
        .spoil(1, Fault::AlwaysCall("create_file", Errno::NOSPC));
    house.identities.next();
    // Long enough for the longest back-off.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let left = one.not_after().as_secs() - publishing.shared.now().as_secs();
    house.clock.advance(left - 1);
    let at = timestamp_of(&publishing);
    until(&publishing, |list| {
        list[0].trouble.as_ref().is_some_and(|line| line.at == at)
    })
    .await;
    house.clock.advance(1);
    let last_try = Instant::now();
    condition_is(&house, |c| matches!(c, Condition::NotReady(_))).await;
    let late = last_try.elapsed();
    assert!(
        late < Duration::from_millis(1500),
        "{late:?} after the try with 1 s left"
    );
}

fn timestamp_of(publishing: &Publishing) -> jiff::Timestamp {
    crate::health::status::timestamp(publishing.shared.now())
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_expired_before_it_could_be_published_never_is() {
    let mut house = House::new();
    house.identities.next_for(300);
    house.clock.advance(301);
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!house.path("identity").exists());
    let two = house.identities.next();
    until(&publishing, |list| list[0].generation == 2).await;
    assert_eq!(leaf(&house.path("identity")), two.chain_pem());
}

#[tokio::test(start_paused = true)]
async fn damage_is_mended_when_asked_to_look() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    let one = house.identities.next();
    until(&publishing, |list| list[0].generation == 1).await;
    let path = house.path("identity");
    let first = std::fs::read_link(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    publishing.verify_all();
    seen(|| path.exists()).await;
    assert_eq!(leaf(&path), one.chain_pem());
    std::fs::write(path.join("private_key.pem"), "cut").unwrap();
    publishing.verify_all();
    seen(|| {
        std::fs::read_to_string(path.join("private_key.pem")).is_ok_and(|key| key == *one.private_key_pem())
    })
    .await;
    // What the removed link showed is swept too, once its readers have had their time.
    house.clock.advance(100);
    let old = house.dir.path().join(first);
    seen(|| !old.exists()).await;
    condition_is(&house, |c| *c == Condition::Ok).await;
    assert_eq!(publishing.status.borrow()[0].generation, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_vouched_for_is_told_until_something_is_published_again() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    publishing.verify_all();
    house.identities.next();
    until(&publishing, |list| list[0].generation == 1).await;
    house.identities.clear();
    publishing.verify_all();
    condition_is(&house, |c| {
        matches!(c, Condition::Degraded(why)
            if why.contains("identity still holds generation 1 of spiffe://") && why.contains("no longer vouches"))
    })
    .await;
    // The sweep of old generations does not take the word back.
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(matches!(house.condition(), Condition::Degraded(_)));
    assert!(publishing.status.borrow()[0].trouble.is_some());
    assert!(house.path("identity/private_key.pem").exists());
    house.identities.next();
    condition_is(&house, |c| *c == Condition::Ok).await;
    assert!(publishing.status.borrow()[0].trouble.is_none());
}
