//! What the hub tells, and when.
use super::super::hub::Now;
use super::*;
use crate::health::Condition;

#[tokio::test(start_paused = true)]
async fn an_identity_is_served_until_its_last_second_and_not_a_moment_longer() {
    let mut house = House::new();
    house.rotate(100);
    house.settle().await;
    let mut subscription = house.site.hub.subscribe();
    let Now::Alive(edition) = subscription.now() else {
        panic!("{:?}", subscription.now());
    };
    let end = edition.identity.not_after().as_secs();
    house.clock.0.store(end, Ordering::SeqCst);
    assert!(
        matches!(house.site.hub.now(), Now::Alive(_)),
        "notAfter is part of its life"
    );
    house.clock.0.store(end + 1, Ordering::SeqCst);
    assert!(
        matches!(house.site.hub.now(), Now::Expired(_)),
        "before the task looked"
    );
    // The task's own timer, which it set when the end was a hundred seconds away.
    assert!(subscription.changed().await);
    assert!(matches!(subscription.now(), Now::Expired(at) if at.as_secs() == end));
    house.clock.0.store(end - 10, Ordering::SeqCst);
    house.rotate(3600);
    assert!(subscription.changed().await);
    assert!(matches!(subscription.now(), Now::Alive(edition) if edition.identity.generation() == 2));
}

#[tokio::test(start_paused = true)]
async fn a_later_end_of_the_same_identity_wakes_nobody_and_counts() {
    let mut house = House::new();
    let day = 24 * 3600;
    let root = testkit::pki::Ca::root_valid(DOMAIN, Validity { from: -day, to: 600 });
    let renewed = root.renewed(Validity {
        from: 300,
        to: 99 * day,
    });
    let both = format!("{}{}", root.cert_pem, renewed.cert_pem);
    let intermediate = root.intermediate();
    house.world = World { root, intermediate };
    house.world.root.cert_pem = both;
    let leaf = house.leaf(3600);
    let identity = house.proven(&leaf, &[]);
    let first_end = identity.not_after().as_secs();
    house.writer.publish(identity);
    house.settle().await;
    let mut subscription = house.site.hub.subscribe();
    drop(subscription.now());
    house.clock.0.fetch_add(400, Ordering::SeqCst);
    let identity = house.proven(&leaf, &[]);
    assert!(identity.not_after().as_secs() > first_end);
    house.writer.publish(identity);
    // Nothing tells the hub, so it looks again before the end that it knows of.
    house.clock.0.store(first_end, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(600)).await;
    house.settle().await;
    house.clock.0.store(first_end + 1, Ordering::SeqCst);
    assert!(matches!(house.site.hub.now(), Now::Alive(_)));
    let woken = tokio::time::timeout(Duration::from_secs(1), subscription.changed()).await;
    assert!(woken.is_err(), "what subscribers have is the same");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_tells_how_far_it_has_come() {
    let mut house = House::new();
    house.rotate(3600);
    house.settle().await;
    let caller = Caller::who_may(true);
    let mut streams: Vec<_> = (0..4)
        .map(|_| Box::pin(house.feed(&caller, SVID).begin().unwrap()))
        .collect();
    for stream in &mut streams {
        at_hand(stream).unwrap().unwrap();
    }
    house.rotate(3600);
    house.settle().await;
    let reached = || match house.site.hub.now() {
        Now::Alive(edition) => (edition.subscribers(), edition.slowest()),
        other => panic!("{other:?}"),
    };
    assert_eq!(reached(), (0, Duration::ZERO), "first messages are no rotation's");
    tokio::time::advance(Duration::from_millis(3)).await;
    for stream in &mut streams[..3] {
        at_hand(stream).unwrap().unwrap();
    }
    assert_eq!(reached(), (3, Duration::from_millis(3)));
    tokio::time::advance(Duration::from_millis(4)).await;
    at_hand(&mut streams[3]).unwrap().unwrap();
    assert_eq!(reached(), (4, Duration::from_millis(7)));
}

#[tokio::test(start_paused = true)]
async fn the_board_knows_of_it_while_somebody_listens() {
    let house = House::new();
    house.settle().await;
    assert_eq!(house.board.conditions().get("workload"), Some(&Condition::Ok));
    house.listeners.send_replace(0);
    house.settle().await;
    assert!(house.board.conditions().is_empty());
}
