//! Work on a disk that may hang.
//!
//! In: work for another thread. Out: its result, however late; meanwhile the health board hears what the wait means for
//! readers. Never gives the work up: a call into a disk cannot be taken back.

use super::Task;
use crate::health::Condition;
use crate::publish::directory::Directory;
use crate::publish::error::PublishError;
use crate::publish::ledger::error_line;
use std::time::Duration;
use tokio::time::Instant;

/// A disk that takes longer than this for a few small files is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the wall clock is looked at meanwhile: so late does readiness fall at most.
const LOOK: Duration = Duration::from_secs(1);

impl Task {
    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> Result<T, PublishError> + Send + 'static,
    ) -> Result<T, PublishError> {
        let directory = self.directory.clone();
        let begun = Instant::now();
        let mut logged = false;
        let mut work = tokio::task::spawn_blocking(move || work(&directory));
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done.unwrap_or_else(|source| {
                    let path = self.directory.path().to_owned();
                    Err(PublishError::Worker { path, source })
                }),
                () = tokio::time::sleep(LOOK) => {}
            }
            let hangs = begun.elapsed() >= PATIENCE;
            if hangs && !logged {
                logged = true;
                tracing::warn!(directory = %self.directory.path().display(), "the disk does not answer; still waiting");
            }
            self.still_waiting(hangs);
        }
    }

    /// What is on disk serves its readers until it expires, whatever the disk does.
    fn still_waiting(&self, hangs: bool) {
        let (path, now) = (self.directory.path(), self.shared.now());
        let has_newer = self.reader.current().is_some_and(|identity| {
            let shown = self.published.as_ref();
            shown.is_none_or(|shown| shown.generation != identity.generation())
        });
        let why = if hangs {
            "the disk does not answer; look at the file system that holds this directory"
        } else {
            "the newer one is still being written"
        };
        let condition = match self.shown_until() {
            Some(end) if end > now && hangs => Condition::Degraded(why.to_owned()),
            Some(end) if end > now => return,
            Some(_) if has_newer => Condition::NotReady(format!("what is published has expired, and {why}")),
            None if has_newer && hangs => Condition::NotReady(why.to_owned()),
            _ => return,
        };
        self.shared.ledger.publish_is(path, condition);
        if hangs && has_newer {
            self.shared.ledger.update(path, |status| {
                // The time of the first look that found this.
                if status.trouble.as_ref().is_none_or(|line| line.text != why) {
                    status.trouble = Some(error_line(now, why.to_owned()));
                }
            });
        }
    }
}
