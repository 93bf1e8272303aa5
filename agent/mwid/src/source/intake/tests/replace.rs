//! Other settings while an identity is in force.
use super::*;

#[tokio::test(start_paused = true)]
async fn a_narrower_expect_takes_the_identity_away() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.good()).await;
    house.generation(1).await;
    let expecting = |pattern: &str| IdentitySettings {
        expect: Some(IdPattern::parse(pattern).unwrap()),
        ..settings(guest_agent())
    };
    house
        .inlet
        .replace(expecting("spiffe://pool.global.123.workload.id.goog/ns/shop/**"))
        .await;
    assert_eq!(house.inlet.reader.generation(), 1, "it still matches");
    house
        .inlet
        .replace(expecting("spiffe://pool.global.123.workload.id.goog/ns/bank/**"))
        .await;
    assert!(house.inlet.reader.current().is_none());
    assert!(!house.board.is_ready());
    assert_eq!(house.metrics.generation.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn source_none_wants_no_identity() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.good()).await;
    house.generation(1).await;
    house.inlet.replace(settings(SourceSettings::None)).await;
    assert!(house.inlet.reader.current().is_none());
    assert!(house.board.is_ready());
    assert_eq!(house.inlet.status.borrow().kind, "none");
}

#[tokio::test(start_paused = true)]
async fn another_source_goes_on_from_the_identity_and_the_generation() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.good()).await;
    let before = house.generation(1).await;
    let dev = settings(SourceSettings::DevCa {
        trust_domain: mtls_identity::TrustDomain::parse("dev.internal").unwrap(),
        path: "/a".to_owned(),
        lifetime: Duration::from_secs(3600),
    });
    house.inlet.replace(dev).await;
    let now = house.generation(2).await;
    assert_ne!(before.id(), now.id());
    assert!(house.status(|s| s.kind == "dev_ca").await.for_development);
    // Back: a development identity is not served a moment longer.
    house.inlet.replace(settings(guest_agent())).await;
    assert!(house.inlet.reader.current().is_none());
}
