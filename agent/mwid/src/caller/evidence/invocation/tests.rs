//! Runs of units in a directory of the test.
use super::*;
use std::os::unix::fs::symlink;
use std::time::Duration;

const PAYMENTS: &str = "payments.service";
const LONG: Duration = Duration::from_secs(20);

struct Systemd(tempfile::TempDir);

impl Systemd {
    fn new() -> (Self, Invocations) {
        let directory = tempfile::tempdir().unwrap();
        let all = Invocations::at(directory.path());
        (Self(directory), all)
    }

    fn link(&self, unit: &str) -> PathBuf {
        self.0.path().join(format!("{PREFIX}{unit}"))
    }

    /// As systemd does it.
    fn starts(&self, unit: &str, id: &str) {
        let new = self.0.path().join(".#new");
        symlink(id, &new).unwrap();
        std::fs::rename(new, self.link(unit)).unwrap();
    }

    fn stops(&self, unit: &str) {
        std::fs::remove_file(self.link(unit)).unwrap();
    }
}

async fn soon<T>(ends: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, ends).await.unwrap()
}

#[tokio::test]
async fn a_stop_and_a_new_start_end_a_run_and_what_others_do_does_not() {
    for stops in [true, false] {
        let (systemd, all) = Systemd::new();
        systemd.starts(PAYMENTS, "1");
        systemd.starts("other.service", "2");
        let run = Arc::new(all.of(PAYMENTS).unwrap().unwrap());
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let run = Arc::clone(&run);
                tokio::spawn(async move { run.over().await })
            })
            .collect();
        let other = all.of("other.service").unwrap().unwrap();
        systemd.stops("other.service");
        soon(other.over()).await;
        assert!(!run.is_over() && waits.iter().all(|one| !one.is_finished()));
        if stops {
            systemd.stops(PAYMENTS);
        } else {
            systemd.starts(PAYMENTS, "3");
        }
        for one in waits {
            soon(one).await.unwrap();
        }
        assert!(run.is_over());
        soon(run.over()).await;
        assert_eq!(all.of(PAYMENTS).is_err(), stops);
    }
}

/// Time goes fast here, so that a look now and then would be seen as one.
#[tokio::test(start_paused = true)]
async fn where_no_event_is_to_be_had_it_is_looked_for() {
    let (systemd, all) = Systemd::new();
    systemd.starts(PAYMENTS, "1");
    assert!(all.0.reader.set(None).is_ok(), "there is no reader");
    let run = all.of(PAYMENTS).unwrap().unwrap();
    assert!(tokio::time::timeout(LOOK * 3, run.over()).await.is_err());
    systemd.stops(PAYMENTS);
    tokio::time::timeout(LOOK, run.over()).await.unwrap();
}

#[tokio::test]
async fn without_systemd_nothing_is_told_and_a_stopped_unit_is_not_running() {
    let (systemd, all) = Systemd::new();
    assert!(matches!(all.of(PAYMENTS), Err(Denial::Stopped { unit }) if unit == PAYMENTS));
    systemd.starts(PAYMENTS, "1");
    let run = all.of(PAYMENTS).unwrap().unwrap();
    let waits = tokio::spawn(async move { run.over().await });
    tokio::task::yield_now().await;
    // Its end is the end of all runs.
    drop(systemd);
    soon(waits).await.unwrap();
    assert!(all.of(PAYMENTS).unwrap().is_none());
}

/// Who waits may do so before a rule asks for the unit: after a reload, for one.
#[tokio::test]
async fn who_waits_already_is_told_of_the_end_of_a_run_that_is_found_later() {
    let (systemd, all) = Systemd::new();
    systemd.starts(PAYMENTS, "1");
    let life = Arc::new(crate::caller::evidence::Life::default());
    let waits = tokio::spawn({
        let life = Arc::clone(&life);
        async move { life.over().await }
    });
    tokio::task::yield_now().await;
    life.found_in(all.of(PAYMENTS).unwrap().unwrap());
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    systemd.stops(PAYMENTS);
    soon(waits).await.unwrap();
    assert!(life.is_over());
}

#[tokio::test]
async fn where_the_kernel_does_not_tell_the_run_there_is_no_unit() {
    let (systemd, all) = Systemd::new();
    // Not what systemd makes: reading it as a link fails, and not for want of it.
    std::fs::write(systemd.link(PAYMENTS), "1").unwrap();
    let told = all.of(PAYMENTS);
    assert!(
        matches!(&told, Err(Denial::Run { unit, .. }) if unit == PAYMENTS),
        "{told:?}"
    );
    // Nor a directory that is none.
    let file = tempfile::NamedTempFile::new().unwrap();
    let told = Invocations::at(file.path()).of(PAYMENTS);
    assert!(matches!(&told, Err(Denial::Run { .. })), "{told:?}");
    assert!(Invocations::at("/not/there").of(PAYMENTS).unwrap().is_none());
}

#[tokio::test]
async fn the_number_of_units_is_bounded_and_those_beyond_are_looked_for() {
    let (systemd, all) = Systemd::new();
    let held: Vec<_> = (0..MOST)
        .map(|i| all.0.watched.add(&i.to_string()).unwrap())
        .collect();
    systemd.starts(PAYMENTS, "1");
    assert!(all.of(PAYMENTS).unwrap().unwrap().news.is_none());
    drop(held);
    assert!(
        all.of(PAYMENTS).unwrap().unwrap().news.is_some(),
        "who left made room"
    );
}
