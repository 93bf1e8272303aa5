//! A restart while the source is silent or broken.
use super::*;
use crate::source::dev_ca;

#[tokio::test(start_paused = true)]
async fn a_broken_source_after_a_restart_restores_what_was_published() {
    let world = World::new(DOMAIN);
    let last = published(&candidate(&world, &LeafSpec::new(ID)));
    let missing = last.path().join("missing");
    let house = house(&settings(guest_agent()), &[&missing, last.path()]);
    house.trouble().await;
    house.generation(1).await;
    assert!(
        house.clock.start.elapsed() < PATIENCE,
        "a source in trouble is not waited for"
    );
    let status = house.status(|s| s.restored_from.is_some()).await;
    assert_eq!(status.restored_from.as_deref(), Some(last.path()));
    let condition = house.condition(|c| matches!(c, Condition::Degraded(_))).await;
    assert!(text(&condition).contains("restored from"), "{condition:?}");
    assert!(house.board.is_ready());
    house.deliver(house.good()).await;
    house.generation(2).await;
    house.status(|s| s.restored_from.is_none()).await;
    house.condition(|c| *c == Condition::Ok).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_waited_for_a_moment_before_restoring() {
    let last = published(&candidate(&World::new(DOMAIN), &LeafSpec::new(ID)));
    let house = house(&settings(guest_agent()), &[last.path()]);
    house.generation(1).await;
    assert!(house.clock.start.elapsed() >= PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_working_source_makes_restoring_needless() {
    let last = published(&candidate(&World::new(DOMAIN), &LeafSpec::new(ID)));
    let house = house(&settings(guest_agent()), &[last.path()]);
    house.deliver(house.good()).await;
    house.generation(1).await;
    tokio::time::sleep(2 * PATIENCE).await;
    assert_eq!(house.inlet.reader.generation(), 1);
    assert!(house.inlet.status.borrow().restored_from.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_restored_is_proven_anew() {
    let spec = LeafSpec {
        validity: Validity { from: -100, to: -10 },
        ..LeafSpec::new(ID)
    };
    let expired = published(&candidate(&World::new(DOMAIN), &spec));
    let house = house(&settings(guest_agent()), &[expired.path()]);
    house.trouble().await;
    tokio::time::sleep(2 * PATIENCE).await;
    assert!(house.inlet.reader.current().is_none());
    assert!(!house.board.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_development_identity_is_not_restored_under_another_source() {
    let (out, mut reports) = mpsc::channel(1);
    let shutdown = Shutdown::default();
    let origin = Origin {
        out,
        clock: Arc::new(rustls::time_provider::DefaultTimeProvider),
        server: Server::of(&crate::metadata::Environment::default(), &[]).0,
        stop: shutdown.child(),
        tasks: shutdown.clone(),
    };
    let domain = mtls_identity::TrustDomain::parse("dev.internal").unwrap();
    dev_ca::start(&domain, "/ns/a/sa/b", Duration::from_secs(3600), &origin);
    let Some(Report::Delivery(delivery)) = reports.recv().await else {
        panic!("a delivery");
    };
    let last = published(&delivery.candidate);
    let house = house(&settings(guest_agent()), &[last.path()]);
    house.trouble().await;
    tokio::time::sleep(2 * PATIENCE).await;
    assert!(house.inlet.reader.current().is_none());
    // The same files are good under the source that they came from.
    let dev = settings(SourceSettings::DevCa {
        trust_domain: domain,
        path: "/ns/a/sa/b".to_owned(),
        lifetime: Duration::from_secs(3600),
    });
    let house = self::house(&dev, &[last.path()]);
    house.trouble().await;
    house.generation(1).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_of_the_future_after_a_boot_is_restored_when_its_time_comes() {
    let spec = LeafSpec {
        validity: Validity { from: 300, to: 3600 },
        ..LeafSpec::new(ID)
    };
    let last = published(&candidate(&World::new(DOMAIN), &spec));
    let house = house(&settings(guest_agent()), &[last.path()]);
    house.trouble().await;
    tokio::time::sleep(2 * PATIENCE).await;
    assert!(house.inlet.reader.current().is_none(), "its time has not come");
    house.generation(1).await;
    assert!(house.clock.start.elapsed() >= Duration::from_secs(290));
    house.status(|s| s.restored_from.is_some()).await;
}
