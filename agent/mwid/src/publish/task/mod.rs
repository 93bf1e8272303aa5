//! The task of one published directory: writes the newest generation, tries again after trouble, sweeps old ones.
//!
//! In: a wake-up from the store. Out: the directory's files, its status, a trigger for its reactions. Latest wins: a
//! generation that was overtaken while the disk was slow is never written.

mod disk;

use super::directory::{Directory, Done, Moment};
use super::error::PublishError;
use super::ledger::error_line;
use super::metrics::ByDirectory;
use super::react::{Reactor, Trigger};
use super::resolve::Prepared;
use super::{Shared, react};
use crate::backoff::Backoff;
use crate::health::Condition;
use crate::health::status::timestamp;
use crate::report::Causes;
use crate::shutdown::Shutdown;
use mtls_identity::{IdentitySnapshot, Reader, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The task's memory.
struct Task {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    reader: Reader,
    shutdown: Shutdown,
    trigger: watch::Sender<Option<Trigger>>,
    backoff: Backoff,
    /// Asked for when the directory should be looked at although nothing is new.
    checks: watch::Receiver<()>,
    check: bool,
    /// What this task last published, as long as the store vouches for it.
    published: Option<Published>,
    /// The end of the whole generation that was on disk before this task came.
    found_until: Option<UnixTime>,
    /// When the generation that is now to be published was first seen.
    noticed: Option<(u64, Instant)>,
    retry_at: Option<Instant>,
    sweep_at: Option<Instant>,
}

struct Published {
    generation: u64,
    until: UnixTime,
    spiffe_id: String,
}

/// Starts the tasks of a directory and of its reactions.
pub(super) fn start(
    shared: &Arc<Shared>,
    prepared: Prepared,
    checks: watch::Receiver<()>,
    shutdown: &Shutdown,
) {
    let Prepared { directory, actions } = prepared;
    let (trigger, triggered) = watch::channel(None);
    if !actions.is_empty() {
        let reactor = Reactor::new(shared.clone(), directory.clone(), actions, triggered);
        shutdown.spawn(react::run(reactor, shutdown.clone()));
    }
    let task = Task {
        shared: shared.clone(),
        directory,
        reader: shared.reader.clone(),
        shutdown: shutdown.clone(),
        trigger,
        backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
        checks,
        check: false,
        published: None,
        found_until: None,
        noticed: None,
        retry_at: None,
        // What an earlier run left behind is looked at once, also without an identity.
        sweep_at: Some(Instant::now()),
    };
    shutdown.spawn(task.run());
}

impl Task {
    async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        let mut writer_is_there = true;
        // Trouble with the disk comes up again, and is told, when something is published.
        self.found_until = self.on_disk(Directory::whole_until).await.ok().flatten();
        while !shutdown.is_asked() {
            self.publish_if_new().await;
            let (retry_at, sweep_at) = (self.retry_at, self.sweep_at);
            tokio::select! {
                () = shutdown.asked() => return,
                next = self.reader.changed(), if writer_is_there => writer_is_there = next.is_some(),
                Ok(()) = self.checks.changed() => self.check = true,
                () = at(retry_at) => {}
                () = at(sweep_at) => self.sweep().await,
            }
        }
    }

    fn now(&self) -> Moment {
        Moment {
            wall: self.shared.now(),
            instant: Instant::now(),
        }
    }

    async fn publish_if_new(&mut self) {
        let check = std::mem::take(&mut self.check);
        let Some(identity) = self.reader.current() else {
            self.retry_at = None;
            self.no_longer_vouched_for();
            return;
        };
        let (generation, now) = (identity.generation(), self.now());
        let is_done = self.retry_at.is_none() && !check && self.has_published(generation);
        if is_done || identity.not_after() <= now.wall {
            self.retry_at = None; // nothing to publish, or only what has expired in the meantime
            return;
        }
        if self.noticed.is_none_or(|(seen, _)| seen != generation) {
            self.noticed = Some((generation, now.instant));
            self.backoff.reset();
        }
        let snapshot = identity.clone();
        let result = self
            .on_disk(move |directory| directory.publish(&snapshot, now))
            .await;
        match result {
            Ok(done) => self.published(&identity, done),
            Err(e) => self.failed(&e),
        }
    }

    fn published(&mut self, identity: &Arc<IdentitySnapshot>, done: Done) {
        let generation = identity.generation();
        let directory = self.directory.path();
        if done.switched && self.has_published(generation) {
            tracing::warn!(directory = %directory.display(), generation, "was damaged or gone, published anew");
        } else if let (true, Some((_, noticed))) = (done.switched, self.noticed) {
            self.shared
                .metrics
                .rotation_to_publish
                .observe(noticed.elapsed().as_secs_f64());
            tracing::info!(directory = %directory.display(), generation, "published");
        }
        let gauge = self.shared.metrics.generation.get_or_create(&self.label());
        gauge.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.published = Some(Published {
            generation,
            until: identity.not_after(),
            spiffe_id: identity.id().as_str().to_owned(),
        });
        self.found_until = None;
        self.retry_at = None;
        self.backoff.reset();
        self.sweep_at = done.sweep_at;
        let trouble = done.trouble.map(|e| Causes(&e).to_string());
        let condition = trouble.clone().map_or(Condition::Ok, Condition::Degraded);
        if let Some(text) = &trouble {
            tracing::warn!(directory = %directory.display(), "published, but an old generation stays: {text}");
            self.sweep_at = Some(Instant::now() + self.backoff.next());
        }
        let (now, react) = (self.shared.now(), !done.reacted);
        self.shared.ledger.update(directory, |status| {
            status.generation = generation;
            status.published_at = Some(timestamp(done.written));
            status.trouble = trouble.map(|text| error_line(now, text));
            for reaction in status.reactions.iter_mut().filter(|_| !react) {
                reaction.generation = generation;
            }
        });
        self.shared.ledger.publish_is(directory, condition);
        if react {
            self.trigger.send_replace(Some(Trigger {
                generation,
                spiffe_id: identity.id().as_str().to_owned(),
            }));
        }
    }

    /// The last generation is as it was; says so, and comes back.
    fn failed(&mut self, error: &PublishError) {
        let directory = self.directory.path();
        let (text, now) = (Causes(error).to_string(), self.shared.now());
        tracing::warn!(directory = %directory.display(), "not published, will try again: {text}");
        self.shared.metrics.failures.get_or_create(&self.label()).inc();
        let condition = match self.shown_until() {
            Some(end) if end > now => Condition::Degraded(text.clone()),
            Some(_) => Condition::NotReady(format!("what is published has expired, and {text}")),
            None => Condition::NotReady(text.clone()),
        };
        self.shared.ledger.publish_is(directory, condition);
        self.shared.ledger.update(directory, |status| {
            status.trouble = Some(error_line(now, text));
        });
        let mut wait = self.backoff.next();
        if let Some(end) = self.shown_until() {
            // Readiness falls when the published identity expires, not at the next try after that.
            let left = end.as_secs().saturating_sub(now.as_secs());
            if left > 0 {
                wait = wait.min(Duration::from_secs(left));
            }
        }
        self.retry_at = Some(Instant::now() + wait);
    }

    async fn sweep(&mut self) {
        let now = self.now();
        match self.on_disk(move |directory| directory.sweep(now)).await {
            Ok(next) => {
                self.sweep_at = next;
                if self.published.is_some() && self.retry_at.is_none() {
                    self.shared
                        .ledger
                        .update(self.directory.path(), |s| s.trouble = None);
                    self.shared
                        .ledger
                        .publish_is(self.directory.path(), Condition::Ok);
                }
            }
            // Without a published generation there is nothing that a leftover could harm; publishing reports trouble.
            Err(_) if self.published.is_none() => self.sweep_at = None,
            Err(e) => self.sweep_failed(&Causes(&e).to_string()),
        }
    }

    fn sweep_failed(&mut self, text: &str) {
        let directory = self.directory.path();
        tracing::warn!(directory = %directory.display(), "an old generation cannot be removed yet: {text}");
        let line = error_line(self.shared.now(), text.to_owned());
        self.shared
            .ledger
            .update(directory, |status| status.trouble = Some(line));
        self.shared
            .ledger
            .publish_is(directory, Condition::Degraded(text.to_owned()));
        self.sweep_at = Some(Instant::now() + self.backoff.next());
    }

    fn has_published(&self, generation: u64) -> bool {
        let published = self.published.as_ref();
        published.is_some_and(|published| published.generation == generation)
    }

    /// Until when readers find something useful, as far as known.
    fn shown_until(&self) -> Option<UnixTime> {
        let published = self.published.as_ref().map(|published| published.until);
        published.or(self.found_until)
    }

    /// The store has been emptied. What is on disk is left to the operator: a reader may still need it.
    fn no_longer_vouched_for(&mut self) {
        let Some(Published {
            generation,
            spiffe_id,
            ..
        }) = self.published.take()
        else {
            return;
        };
        let path = self.directory.path();
        let text = format!(
            "{} still holds generation {generation} of {spiffe_id}, which mwid no longer vouches for; remove it if \
             nobody should use it",
            path.display()
        );
        tracing::warn!("{text}");
        let line = error_line(self.shared.now(), text.clone());
        self.shared
            .ledger
            .update(path, |status| status.trouble = Some(line));
        self.shared.ledger.publish_is(path, Condition::Degraded(text));
    }

    fn label(&self) -> ByDirectory {
        ByDirectory {
            directory: self.directory.path().display().to_string(),
        }
    }
}

/// Returns at that time; never, for none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
