//! The whole of publishing: status, health, trouble that heals, reloads, reactions. Time is paused: waiting costs nothing.

mod reactions;
mod trouble;

use super::fs::faulty::{Fault, Faulty};
use super::testing::{Identities, TestClock, TestUnits, fast_directory};
use super::*;
use crate::config::{FileSet, Reaction, SignalTarget, StorePassword};
use crate::health::Condition;
use rustix::io::Errno;
use std::path::Path;
use tokio::time::Instant;

struct House {
    dir: tempfile::TempDir,
    identities: Identities,
    clock: Arc<TestClock>,
    units: Arc<TestUnits>,
    faulty: Arc<Faulty>,
    board: Board,
    shutdown: Shutdown,
}

impl House {
    fn new() -> Self {
        Self {
            dir: fast_directory(),
            identities: Identities::new(),
            clock: TestClock::new(),
            units: Arc::default(),
            faulty: Arc::default(),
            board: Board::new(),
            shutdown: Shutdown::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self, name: &str, then: Vec<Reaction>) -> PublishSettings {
        PublishSettings {
            directory: self.path(name),
            files: vec![FileSet::Gce],
            owner: None,
            group: None,
            key_mode: 0o640,
            store_password: StorePassword(zeroize::Zeroizing::new("changeit".to_owned())),
            then,
        }
    }

    async fn start(&self, settings: Vec<PublishSettings>) -> Result<Publishing, PublishError> {
        let context = Context {
            reader: self.identities.reader.clone(),
            clock: self.clock.clone(),
            board: &self.board,
            metrics: Metrics::new(),
            runtime_dir: self.dir.path().to_owned(),
            units: self.units.clone(),
            shutdown: self.shutdown.clone(),
            expects_identity: true,
        };
        start_on(settings, context, self.faulty.clone()).await
    }

    fn condition(&self) -> Condition {
        self.board.conditions()["publish"].clone()
    }

    fn asked(&self) -> Vec<String> {
        self.units.asked.lock().unwrap().clone()
    }
}

impl Publishing {
    /// Both phases of a reload.
    async fn replace(&mut self, settings: Vec<PublishSettings>) -> Result<(), PublishError> {
        let ready = self.prepare(settings).await?;
        self.apply(ready);
        Ok(())
    }
}

async fn until(publishing: &Publishing, what: impl Fn(&[PublishStatus]) -> bool) {
    let mut status = publishing.status.clone();
    let seen = tokio::time::timeout(Duration::from_secs(3600), status.wait_for(|list| what(list))).await;
    assert!(seen.is_ok(), "never came: {:?}", publishing.status.borrow());
}

async fn condition_is(house: &House, wanted: impl Fn(&Condition) -> bool) {
    let mut board = house.board.subscribe();
    let seen = board.wait_for(|parts| wanted(&parts["publish"]));
    let seen = tokio::time::timeout(Duration::from_secs(3600), seen).await;
    assert!(seen.is_ok(), "never came: {:?}", house.condition());
}

/// What only the disk shows. The deadline is real time: the paused clock runs as fast as it is asked.
async fn seen(what: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(30), "never came");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn leaf(path: &Path) -> String {
    std::fs::read_to_string(path.join("certificates.pem")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_generation_is_published_and_ready_comes_with_the_first() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    assert!(matches!(house.condition(), Condition::NotReady(_)));
    for n in 1..=3 {
        let identity = house.identities.next();
        until(&publishing, |list| list[0].generation == n).await;
        assert_eq!(leaf(&house.path("identity")), identity.chain_pem());
        assert!(publishing.status.borrow()[0].published_at.is_some());
        condition_is(&house, |c| *c == Condition::Ok).await;
    }
    // The old ones go by themselves.
    let hidden = house.path(".identity");
    seen(|| std::fs::read_dir(&hidden).unwrap().count() == 1).await;
    assert!(house.shutdown.stop(Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn without_an_identity_to_come_nothing_is_missing() {
    let house = House::new();
    let context = Context {
        reader: house.identities.reader.clone(),
        clock: house.clock.clone(),
        board: &house.board,
        metrics: Metrics::new(),
        runtime_dir: house.dir.path().to_owned(),
        units: house.units.clone(),
        shutdown: house.shutdown.clone(),
        expects_identity: false,
    };
    let settings = vec![house.settings("identity", vec![])];
    let _publishing = start_on(settings, context, house.faulty.clone()).await.unwrap();
    assert_eq!(house.condition(), Condition::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_reported_and_heals_alone() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    let one = house.identities.next();
    until(&publishing, |list| list[0].generation == 1).await;
    for errno in [Errno::NOSPC, Errno::ACCESS, Errno::ROFS] {
        let before = publishing.status.borrow()[0].generation;
        house.faulty.spoil(1, Fault::AlwaysCall("create_file", errno));
        let next = house.identities.next();
        until(&publishing, |list| list[0].trouble.is_some()).await;
        condition_is(&house, |c| matches!(c, Condition::Degraded(_))).await;
        let trouble = publishing.status.borrow()[0].trouble.clone().unwrap().text;
        assert!(trouble.contains(".identity/"), "{trouble}");
        assert!(trouble.contains(" ("), "no fix: {trouble}");
        assert!(trouble.contains("os error"), "{trouble}");
        assert_eq!(publishing.status.borrow()[0].generation, before);
        assert_ne!(leaf(&house.path("identity")), next.chain_pem());
        // Several tries later it is still trouble.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(publishing.status.borrow()[0].trouble.is_some());
        house.faulty.heal();
        until(&publishing, |list| {
            list[0].generation == before + 1 && list[0].trouble.is_none()
        })
        .await;
        condition_is(&house, |c| *c == Condition::Ok).await;
        assert_eq!(leaf(&house.path("identity")), next.chain_pem());
    }
    assert_ne!(leaf(&house.path("identity")), one.chain_pem());
}

#[tokio::test(start_paused = true)]
async fn trouble_costs_readiness_once_what_is_published_has_expired() {
    let mut house = House::new();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    house.identities.next_for(300);
    until(&publishing, |list| list[0].generation == 1).await;
    house
        .faulty
        .spoil(1, Fault::AlwaysCall("create_file", Errno::NOSPC));
    house.identities.next();
    condition_is(&house, |c| matches!(c, Condition::Degraded(_))).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(matches!(house.condition(), Condition::Degraded(_)));
    house.clock.advance(301);
    condition_is(&house, |c| matches!(c, Condition::NotReady(_))).await;
    let Condition::NotReady(why) = house.condition() else {
        panic!("{:?}", house.condition());
    };
    assert!(why.contains("has expired"), "{why}");
    assert!(why.contains("No space left"), "{why}");
}

#[tokio::test]
async fn one_slow_directory_does_not_delay_another() {
    let mut house = House::new();
    let settings = vec![house.settings("slow", vec![]), house.settings("quick", vec![])];
    let publishing = house.start(settings).await.unwrap();
    let claim = publishing.shared.claim(&house.path("slow"));
    let (held, is_held) = std::sync::mpsc::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let guard = claim.hold();
        held.send(()).unwrap();
        let _ = wait.recv();
        drop(guard);
    });
    is_held.recv().unwrap();
    house.identities.next();
    until(&publishing, |list| list[1].generation == 1).await;
    assert_eq!(publishing.status.borrow()[0].generation, 0);
    assert!(matches!(house.condition(), Condition::NotReady(why) if why.contains("/slow")));
    house.identities.next();
    house.identities.next();
    until(&publishing, |list| list[1].generation == 3).await;
    drop(go);
    holder.join().unwrap();
    until(&publishing, |list| list[0].generation == 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_cannot_work_changes_nothing_and_one_that_can_does() {
    let mut house = House::new();
    let mut publishing = house.start(vec![house.settings("a", vec![])]).await.unwrap();
    house.identities.next();
    until(&publishing, |list| list[0].generation == 1).await;

    let mut bad = house.settings("b", vec![]);
    bad.group = Some("no-such-group-here".to_owned());
    let error = publishing
        .replace(vec![house.settings("a", vec![]), bad])
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there is no group `no-such-group-here`"),
        "{error}"
    );
    std::fs::create_dir(house.path("full")).unwrap();
    std::fs::write(house.path("full/file"), "x").unwrap();
    let error = publishing
        .replace(vec![house.settings("full", vec![])])
        .await
        .unwrap_err();
    assert!(matches!(error, PublishError::NotEmpty { .. }), "{error}");
    let twice = vec![house.settings("a", vec![]), house.settings("a", vec![])];
    assert!(matches!(
        publishing.replace(twice).await,
        Err(PublishError::SameDirectoryTwice { .. })
    ));
    assert_eq!(publishing.status.borrow().len(), 1);
    assert!(!house.path("b").exists());

    // The same directory with another mode, and a second one.
    let mut a = house.settings("a", vec![]);
    a.key_mode = 0o600;
    publishing
        .replace(vec![a, house.settings("b", vec![])])
        .await
        .unwrap();
    until(&publishing, |list| list.iter().all(|one| one.generation == 1)).await;
    condition_is(&house, |c| *c == Condition::Ok).await;
    let mode = |name: &str| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(house.path(name).join("private_key.pem"))
            .unwrap()
            .mode()
            & 0o777
    };
    seen(|| mode("a") == 0o600).await;
    assert_eq!(mode("b"), 0o640);

    publishing
        .replace(vec![house.settings("b", vec![])])
        .await
        .unwrap();
    let two = house.identities.next();
    until(&publishing, |list| list[0].generation == 2).await;
    assert_eq!(leaf(&house.path("b")), two.chain_pem());
    assert_ne!(leaf(&house.path("a")), two.chain_pem(), "no longer renewed");
    assert!(house.shutdown.stop(Duration::from_secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_not_ours_at_the_start_is_reported_and_heals() {
    let mut house = House::new();
    std::fs::create_dir(house.path("identity")).unwrap();
    std::fs::write(house.path("identity/file"), "x").unwrap();
    let publishing = house
        .start(vec![house.settings("identity", vec![])])
        .await
        .unwrap();
    house.identities.next();
    condition_is(
        &house,
        |c| matches!(c, Condition::NotReady(why) if why.contains("move the directory away")),
    )
    .await;
    std::fs::remove_file(house.path("identity/file")).unwrap();
    until(&publishing, |list| list[0].generation == 1).await;
    condition_is(&house, |c| *c == Condition::Ok).await;
}

type Change = fn(&mut PublishSettings);

#[tokio::test]
async fn settings_that_can_never_work_are_refused_at_the_start() {
    let house = House::new();
    let with = |change: Change| {
        let mut settings = house.settings("identity", vec![]);
        change(&mut settings);
        vec![settings]
    };
    let cases: [(Change, &str); 5] = [
        (
            |s| s.owner = Some("nobody-of-that-name".to_owned()),
            "no owner `nobody-of-that-name`",
        ),
        (
            |s| s.directory = PathBuf::from("identity"),
            "not an absolute path",
        ),
        (
            |s| {
                s.files = vec![FileSet::Pkcs12];
                s.store_password = StorePassword(zeroize::Zeroizing::new("pä".to_owned()));
            },
            "not ASCII",
        ),
        (
            |s| {
                s.then = vec![Reaction::Signal {
                    signal: "HOP".to_owned(),
                    of: SignalTarget::Unit("a.service".to_owned()),
                }];
            },
            "there is no signal `HOP`",
        ),
        (
            |s| {
                s.then = vec![Reaction::Run {
                    command: vec!["true".to_owned()],
                    timeout: Duration::from_secs(1),
                }];
            },
            "not a whole path",
        ),
    ];
    for (change, words) in cases {
        let error = house.start(with(change)).await.err().unwrap();
        let text = Causes(&error).to_string();
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
}
