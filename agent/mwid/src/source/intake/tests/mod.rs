//! Intake's promises: only proven identities, the last good one as long as it lives, the truth about readiness within a second.
//! A source and a clock in the test's hand; the clock runs with tokio's paused time.
mod jwt_svids;
mod renewed_root;
mod replace;
mod restore;

use super::*;
use crate::config::SourceSettings;
use crate::health::status::SourceStatus;
use crate::health::{Board, Condition};
use crate::source::{MOST_REPORTS, Metrics};
use mtls_identity::IdPattern;
use mtls_identity::candidate::CandidateBundles;
use rustls::time_provider::TimeProvider;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::pki::{Ca, LeafSpec, Validity, World};
use tokio::sync::watch;
use tokio::time::timeout;

const DOMAIN: &str = "pool.global.123.workload.id.goog";
const ID: &str = "spiffe://pool.global.123.workload.id.goog/ns/shop/sa/payments";
/// Of the test's clock, which costs nothing.
const LONG: Duration = Duration::from_secs(7 * 86_400);

#[derive(Debug)]
struct TestClock {
    base: Duration,
    start: Instant,
    moved: AtomicU64,
}

impl TestClock {
    fn exact(&self) -> Duration {
        self.base + self.start.elapsed() + Duration::from_secs(self.moved.load(Ordering::SeqCst))
    }
}

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.exact()))
    }
}

struct House {
    world: World,
    clock: Arc<TestClock>,
    board: Board,
    metrics: Metrics,
    inlet: Inlet,
    reports: Option<mpsc::Sender<Report>>,
    shutdown: Shutdown,
}

fn settings(source: SourceSettings) -> IdentitySettings {
    IdentitySettings { source, expect: None }
}

fn guest_agent() -> SourceSettings {
    SourceSettings::GuestAgent {
        directory: PathBuf::from("/nonexistent/for/tests"),
        poll: Duration::from_secs(86_400),
    }
}

fn house(settings: &IdentitySettings, restore_from: &[&Path]) -> House {
    let now = rustls::time_provider::DefaultTimeProvider.current_time().unwrap();
    let clock = Arc::new(TestClock {
        // Between two seconds, as real clocks are.
        base: Duration::from_secs(now.as_secs()) + Duration::from_millis(700),
        start: Instant::now(),
        moved: AtomicU64::new(0),
    });
    let (board, metrics, shutdown) = (Board::new(), Metrics::default(), Shutdown::default());
    let context = Context {
        clock: clock.clone(),
        server: Server::of(&crate::metadata::Environment::default(), &[]).0,
        provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        board: &board,
        metrics: metrics.clone(),
        restore_from: restore_from.iter().map(|p| p.to_path_buf()).collect(),
        starting_after: 0,
        shutdown: shutdown.clone(),
    };
    let (mut intake, inlet, orders) = Intake::new(settings, context);
    let (reports, receiver) = mpsc::channel(MOST_REPORTS);
    intake.begin_with(Some(Running {
        reports: receiver,
        stop: shutdown.child(),
    }));
    shutdown.spawn(intake.run(orders));
    House {
        world: World::new(DOMAIN),
        clock,
        board,
        metrics,
        inlet,
        reports: Some(reports),
        shutdown,
    }
}

impl House {
    fn candidate(&self, from: i64, to: i64) -> Candidate {
        candidate(
            &self.world,
            &LeafSpec {
                validity: Validity { from, to },
                ..LeafSpec::new(ID)
            },
        )
    }

    fn good(&self) -> Candidate {
        self.candidate(-10, 3600)
    }

    async fn report(&self, report: Report) {
        self.reports.as_ref().unwrap().send(report).await.unwrap();
    }

    async fn deliver(&self, candidate: Candidate) {
        self.report(Report::Delivery(Delivery {
            candidate,
            kind: "guest_agent",
            from: "/a/directory".to_owned(),
            warning: None,
            seen_at: self.clock.current_time().unwrap(),
            verdict: None,
            minter: None,
        }))
        .await;
    }

    async fn trouble(&self) {
        self.report(Report::Trouble(SourceError::NothingFound {
            tried: vec!["everything".to_owned()],
        }))
        .await;
    }

    async fn status(&self, what: impl FnMut(&SourceStatus) -> bool) -> SourceStatus {
        let mut status: watch::Receiver<SourceStatus> = self.inlet.status.clone();
        let found = timeout(LONG, status.wait_for(what)).await;
        let shown = format!("{:?}", self.inlet.status.borrow());
        found.expect(&shown).unwrap().clone()
    }

    async fn condition(&self, what: impl Fn(&Condition) -> bool) -> Condition {
        let mut parts = self.board.subscribe();
        let found = timeout(LONG, parts.wait_for(|parts| parts.get(PART).is_some_and(&what))).await;
        let shown = format!("{:?}", self.board.conditions());
        found.expect(&shown).unwrap()[PART].clone()
    }

    async fn generation(&self, generation: u64) -> Arc<IdentitySnapshot> {
        let mut reader = self.inlet.reader.clone();
        while reader.generation() < generation {
            let shown = format!("{:?}", self.inlet.status.borrow());
            timeout(LONG, reader.changed()).await.expect(&shown).unwrap();
        }
        assert_eq!(reader.generation(), generation);
        reader.current().unwrap()
    }
}

fn candidate(world: &World, spec: &LeafSpec) -> Candidate {
    let leaf = world.leaf_of(spec);
    Candidate {
        certificates_pem: leaf.chain_pem.into_bytes().into(),
        private_key_pem: leaf.key_pem.into_bytes().into(),
        bundles: CandidateBundles::OwnPem(world.root.cert_pem.clone().into_bytes()),
    }
}

fn published(candidate: &Candidate) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("certificates.pem"), &candidate.certificates_pem).unwrap();
    std::fs::write(dir.path().join("private_key.pem"), &*candidate.private_key_pem).unwrap();
    let (name, bundles) = match &candidate.bundles {
        CandidateBundles::OwnPem(roots) => ("ca_certificates.pem", roots.clone()),
        CandidateBundles::MapJson(json) => ("trust_bundles.json", json.clone()),
        CandidateBundles::Parsed(bundles) => ("trust_bundles.json", bundles.to_map_json().into_bytes()),
    };
    std::fs::write(dir.path().join(name), bundles).unwrap();
    dir
}

fn is_not_ready(condition: &Condition) -> bool {
    matches!(condition, Condition::NotReady(_))
}

fn text(condition: &Condition) -> &str {
    match condition {
        Condition::Ok => "",
        Condition::Degraded(why) | Condition::NotReady(why) => why,
    }
}

#[tokio::test(start_paused = true)]
async fn a_proven_candidate_makes_ready() {
    let house = house(&settings(guest_agent()), &[]);
    assert!(!house.board.is_ready());
    house.deliver(house.good()).await;
    let identity = house.generation(1).await;
    assert_eq!(identity.id().as_str(), ID);
    house.condition(|c| *c == Condition::Ok).await;
    let status = house.status(|s| s.last_answer.is_some()).await;
    assert_eq!(
        (status.kind.as_str(), status.from.as_deref()),
        ("guest_agent", Some("/a/directory"))
    );
    assert_eq!(house.metrics.generation.get(), 1);
    assert_eq!(
        house.metrics.not_after.get().cast_unsigned(),
        identity.not_after().as_secs()
    );
}

#[tokio::test(start_paused = true)]
async fn broken_candidates_never_displace_a_good_one() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.good()).await;
    let good = house.generation(1).await;
    let bent = |change: fn(&mut Candidate, &World)| {
        let mut candidate = house.good();
        change(&mut candidate, &house.world);
        candidate
    };
    let broken = [
        (
            "key_mismatch",
            bent(|c, w| c.private_key_pem = w.leaf("/x").key_pem.into_bytes().into()),
        ),
        ("certificates_empty", bent(|c, _| c.certificates_pem.clear())),
        ("expired", house.candidate(-3600, -1)),
        (
            "bad_signature",
            bent(|c, _| c.bundles = CandidateBundles::OwnPem(Ca::root(DOMAIN).cert_pem.into_bytes())),
        ),
        (
            "bundles",
            bent(|c, _| c.bundles = CandidateBundles::MapJson(b"{".to_vec())),
        ),
    ];
    for (refusals, (reason, candidate)) in (1..).zip(broken) {
        house.deliver(candidate).await;
        let status = house.status(|s| s.refusals == refusals).await;
        assert!(status.refused.is_some(), "{reason}");
        assert_eq!(house.metrics.refusals_for(reason), 1, "{reason}: {status:?}");
        assert!(
            Arc::ptr_eq(&good, &house.inlet.reader.current().unwrap()),
            "{reason}"
        );
        assert!(house.board.is_ready(), "{reason}");
    }
    house.deliver(house.good()).await;
    house.generation(2).await;
    house.status(|s| s.refused.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn expect_refuses_every_other_identity() {
    let settings = IdentitySettings {
        expect: Some(IdPattern::parse("spiffe://pool.global.123.workload.id.goog/ns/bank/**").unwrap()),
        ..settings(guest_agent())
    };
    let house = house(&settings, &[]);
    house.deliver(house.good()).await;
    house.status(|s| s.refusals == 1).await;
    assert_eq!(house.metrics.refusals_for("unexpected_id"), 1);
    assert!(house.inlet.reader.current().is_none());
    let condition = house.condition(|c| text(c).contains("refused")).await;
    assert!(is_not_ready(&condition));
}

#[tokio::test(start_paused = true)]
async fn the_same_identity_again_is_no_new_generation() {
    let house = house(&settings(guest_agent()), &[]);
    let spec = LeafSpec::new(ID);
    let leaf = house.world.leaf_of(&spec);
    let again = || Candidate {
        certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
        private_key_pem: leaf.key_pem.clone().into_bytes().into(),
        bundles: CandidateBundles::OwnPem(house.world.root.cert_pem.clone().into_bytes()),
    };
    for _ in 0..3 {
        house.deliver(again()).await;
    }
    house
        .deliver(Candidate {
            certificates_pem: vec![].into(),
            ..again()
        })
        .await;
    house.status(|s| s.refusals == 1).await;
    assert_eq!(house.inlet.reader.generation(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_began_earlier_is_taken_when_the_platform_goes_back() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.candidate(-10, 3600)).await;
    house.deliver(house.candidate(-500, 3600)).await;
    house.generation(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_of_the_near_future_is_proven_when_its_time_comes() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.candidate(3600, 7200)).await;
    let condition = house.condition(|c| text(c).contains("not valid before")).await;
    assert!(is_not_ready(&condition));
    house.generation(1).await;
    let waited = house.clock.start.elapsed();
    assert!((3598..=3630).contains(&waited.as_secs()), "{waited:?}");
    house.condition(|c| *c == Condition::Ok).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_right_proves_the_waiting_candidate_within_a_minute() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.candidate(86_400, 2 * 86_400)).await;
    house.status(|s| s.refusals == 1).await;
    house.clock.moved.store(86_400, Ordering::SeqCst);
    house.generation(1).await;
    assert!(house.clock.start.elapsed() <= Duration::from_secs(61));
}

#[tokio::test(start_paused = true)]
async fn a_newer_candidate_takes_the_place_of_the_waiting_one() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.candidate(60, 7200)).await;
    house.deliver(house.good()).await;
    let now = house.generation(1).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(Arc::ptr_eq(&now, &house.inlet.reader.current().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn expiry_drops_readiness_within_a_second_and_says_who_and_when() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.candidate(-10, 100)).await;
    let identity = house.generation(1).await;
    house.condition(|c| *c == Condition::Ok).await;
    let condition = house.condition(is_not_ready).await;
    // Valid through the whole of its last second.
    let end = Duration::from_secs(identity.not_after().as_secs() + 1);
    let late = house.clock.exact().checked_sub(end).expect("not before the end");
    println!("readiness fell {late:?} after the end");
    assert!(late < Duration::from_secs(1), "{late:?}");
    assert!(
        text(&condition).contains(ID) && text(&condition).contains("expired at"),
        "{condition:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rotation_moves_the_end() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.candidate(-10, 100)).await;
    house.generation(1).await;
    house.deliver(house.candidate(-10, 1000)).await;
    house.generation(2).await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    assert!(house.board.is_ready());
    house.condition(is_not_ready).await;
    assert!(house.clock.start.elapsed().as_secs() >= 1000);
}

#[tokio::test(start_paused = true)]
async fn trouble_degrades_only_late_in_life() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.candidate(-10, 290)).await;
    house.generation(1).await;
    house.trouble().await;
    house.status(|s| s.trouble.is_some()).await;
    house.condition(|c| *c == Condition::Ok).await;
    let condition = house.condition(|c| matches!(c, Condition::Degraded(_))).await;
    let at = house.clock.start.elapsed().as_secs();
    assert!((185..=200).contains(&at), "{at}");
    assert!(text(&condition).contains("tried everything"), "{condition:?}");
    assert!(house.board.is_ready());
    house.deliver(house.good()).await;
    house.condition(|c| *c == Condition::Ok).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_is_a_trouble_and_no_loop() {
    let mut house = house(&settings(guest_agent()), &[]);
    house.deliver(house.good()).await;
    house.generation(1).await;
    house.reports = None;
    let status = house.status(|s| s.trouble.is_some()).await;
    assert!(status.trouble.unwrap().text.contains("has ended"));
    assert!(house.board.is_ready());
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_the_intake() {
    let house = house(&settings(guest_agent()), &[]);
    house.deliver(house.good()).await;
    let mut reader = house.inlet.reader.clone();
    assert!(reader.changed().await.is_some());
    assert!(house.shutdown.stop(Duration::from_secs(5)).await);
    assert!(reader.changed().await.is_none(), "the writer is gone");
}
