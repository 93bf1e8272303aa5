//! Reactions in the house of publishing: their order, retries, and what a restart remembers.

use super::*;

fn reload(unit: &str) -> Reaction {
    Reaction::Reload {
        unit: unit.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn reactions_run_in_order_are_retried_and_never_undo_the_publish() {
    let mut house = House::new();
    house
        .units
        .failures_left
        .lock()
        .unwrap()
        .insert("nginx.service".to_owned(), 3);
    let then = vec![
        reload("nginx.service"),
        Reaction::Signal {
            signal: "HUP".to_owned(),
            of: SignalTarget::Unit("haproxy.service".to_owned()),
        },
    ];
    let publishing = house.start(vec![house.settings("identity", then)]).await.unwrap();
    let one = house.identities.next();
    condition_is(
        &house,
        |c| matches!(c, Condition::Degraded(why) if why.contains("reload nginx.service")),
    )
    .await;
    assert_eq!(leaf(&house.path("identity")), one.chain_pem());
    until(&publishing, |list| {
        list[0].reactions.iter().all(|r| r.generation == 1)
    })
    .await;
    let nginx = "reload nginx.service";
    assert_eq!(
        house.asked(),
        [nginx, "signal 1 haproxy.service", nginx, nginx, nginx]
    );
    let reaction = publishing.status.borrow()[0].reactions[0].clone();
    assert_eq!((reaction.what.as_str(), reaction.failures), (nginx, 3));
    assert!(reaction.done_at.is_some() && reaction.trouble.is_none());
    condition_is(&house, |c| *c == Condition::Ok).await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_generation_ends_the_retries_of_an_older_one() {
    let mut house = House::new();
    house
        .units
        .failures_left
        .lock()
        .unwrap()
        .insert("a.service".to_owned(), 2);
    let settings = vec![house.settings("identity", vec![reload("a.service")])];
    let publishing = house.start(settings).await.unwrap();
    house.identities.next();
    until(&publishing, |list| list[0].reactions[0].failures == 1).await;
    house.identities.next();
    until(&publishing, |list| list[0].reactions[0].generation == 2).await;
    assert_eq!(house.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reaction_that_never_works_is_given_up_and_stays_in_the_status() {
    let mut house = House::new();
    house
        .units
        .failures_left
        .lock()
        .unwrap()
        .insert("a.service".to_owned(), u32::MAX);
    let settings = vec![house.settings("identity", vec![reload("a.service")])];
    let publishing = house.start(settings).await.unwrap();
    house.identities.next();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let tries = house.asked().len();
    assert!((10..100).contains(&tries), "{tries} tries");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(house.asked().len(), tries);
    assert!(publishing.status.borrow()[0].reactions[0].trouble.is_some());
    assert!(matches!(house.condition(), Condition::Degraded(_)));
}

#[tokio::test(start_paused = true)]
async fn a_restart_repeats_only_reactions_that_have_not_been_through() {
    let mut house = House::new();
    let settings = || vec![house.settings("identity", vec![reload("a.service")])];
    let first = settings();
    house
        .units
        .failures_left
        .lock()
        .unwrap()
        .insert("a.service".to_owned(), u32::MAX);
    let publishing = house.start(first).await.unwrap();
    house.identities.next();
    until(&publishing, |list| list[0].reactions[0].failures > 0).await;
    assert!(house.shutdown.stop(Duration::from_secs(5)).await);
    drop(publishing);

    for expected in [1, 0] {
        house.shutdown = Shutdown::default();
        house.board = Board::new();
        house.units = Arc::default();
        let settings = vec![house.settings("identity", vec![reload("a.service")])];
        let publishing = house.start(settings).await.unwrap();
        until(&publishing, |list| list[0].reactions[0].generation == 1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(house.asked().len(), expected);
        seen(|| house.path("identity/.reacted").exists()).await;
        assert!(house.shutdown.stop(Duration::from_secs(5)).await);
    }
}
