//! Source `guest_agent`: the directory that Google's guest agents fill and replace.
//!
//! In: a directory and a poll time. Out: a report for each hint that something may have changed, within milliseconds, and for
//! each poll. Never writes, never decides whether a candidate is good. Has a thread of its own, because reading blocks.
use super::{Delivery, Origin, Report, SourceError};
use crate::report::Causes;
use mtls_identity::dir::{Hint, RETRY_AFTER, ReadError, Reading, Watch, WatchStopper, read_set};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;

pub(super) const KIND: &str = "guest_agent";

pub(super) fn start(directory: &Path, poll: Duration, origin: &Origin) {
    let (stoppers, stopper) = oneshot::channel();
    let task = Task {
        directory: directory.to_owned(),
        origin: origin.clone(),
        failures: 0,
        delivered: false,
        watch_trouble: None,
    };
    let spawned = std::thread::Builder::new()
        .name(KIND.to_owned())
        .spawn(move || task.run(poll, stoppers));
    if let Err(e) = spawned {
        // The channel is new, so there is room.
        let _full = origin.out.try_send(Report::Trouble(SourceError::Thread(e)));
        return;
    }
    let stop = origin.stop.clone();
    origin.tasks.spawn(async move {
        stop.asked().await;
        if let Ok(stopper) = stopper.await {
            stopper.stop();
        }
    });
}

struct Task {
    directory: PathBuf,
    origin: Origin,
    /// Reads in a row that found a replacement under way.
    failures: usize,
    /// Whether the last report was a delivery.
    delivered: bool,
    watch_trouble: Option<String>,
}

impl Task {
    fn run(mut self, poll: Duration, stoppers: oneshot::Sender<WatchStopper>) {
        let mut watch = Watch::new(&self.directory, poll);
        let _stopped_already = stoppers.send(watch.stopper());
        loop {
            let retry = self.failures.checked_sub(1).and_then(|n| RETRY_AFTER.get(n));
            match watch.wait(retry.copied()) {
                Hint::Stopped => return,
                Hint::Changed => self.failures = 0,
                _ => {}
            }
            self.tell_watch_trouble(&watch);
            if let Some(report) = self.look()
                && self.origin.out.blocking_send(report).is_err()
            {
                return;
            }
        }
    }

    fn look(&mut self) -> Option<Report> {
        match read_set(&self.directory) {
            Ok(reading) => {
                self.failures = 0;
                self.delivered = true;
                Some(Report::Delivery(self.delivery(reading)))
            }
            Err(e) => self.trouble(e),
        }
    }

    /// The moment in which an agent has removed the link and not yet renamed the new one is no trouble; if it lasts, it is.
    fn trouble(&mut self, error: ReadError) -> Option<Report> {
        let passing = error.is_transient();
        self.failures = if passing {
            self.failures.saturating_add(1)
        } else {
            0
        };
        let was_good = std::mem::replace(&mut self.delivered, false);
        (!was_good || !passing).then_some(Report::Trouble(SourceError::Read(error)))
    }

    fn delivery(&self, reading: Reading) -> Delivery {
        let warning = reading
            .config_status
            .filter(|status| !status.is_healthy())
            .map(|status| SourceError::ConfigStatus {
                from: self.directory.display().to_string(),
                status,
            });
        Delivery {
            candidate: reading.candidate,
            kind: KIND,
            from: self.directory.display().to_string(),
            warning,
            seen_at: self.origin.now(),
            verdict: None,
            minter: None,
        }
    }

    fn tell_watch_trouble(&mut self, watch: &Watch) {
        let trouble = watch.trouble().map(|e| Causes(e).to_string());
        if trouble != self.watch_trouble {
            match &trouble {
                Some(why) => tracing::warn!(directory = %self.directory.display(), "{why}"),
                None => tracing::info!(directory = %self.directory.display(), "changes are notified again"),
            }
            self.watch_trouble = trouble;
        }
    }
}

#[cfg(test)]
mod tests;
