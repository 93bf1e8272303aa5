//! Reactions: what is done after a directory was switched.
//!
//! In: a trigger with the new generation. Out: units reloaded, signals sent, commands run; each result checked, tried again
//! with back-off, shown in the status. Never undoes a publish, never keeps one waiting, never hands out a key.
//!
//! Reactions run in order. One that fails does not keep the next ones from running: an nginx that refuses its
//! configuration must not leave HAProxy with an old certificate. The failed ones are tried again in the same order, until
//! they work, a newer generation begins anew, or [`GIVE_UP`] has passed.

mod action;
mod run;
mod signal;
#[cfg(test)]
mod tests;

pub(super) use action::{Action, ReactionError};

use super::Shared;
use super::directory::Directory;
use super::error::PublishError;
use super::ledger::error_line;
use super::metrics::ByReaction;
use crate::backoff::Backoff;
use crate::health::status::timestamp;
use crate::report::Causes;
use crate::shutdown::Shutdown;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// After this long a failing reaction is left until the next generation or restart; it stays in the status.
const GIVE_UP: Duration = Duration::from_secs(600);

/// What the reactions are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trigger {
    pub(super) generation: u64,
    pub(super) spiffe_id: String,
}

/// The reactions of one directory.
pub(super) struct Reactor {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    actions: Vec<Action>,
    triggered: watch::Receiver<Option<Trigger>>,
}

/// Carries out reactions until stopped. A stop in the middle ends a running command.
pub(super) async fn run(mut reactor: Reactor, shutdown: Shutdown) {
    loop {
        let next = tokio::select! {
            () = shutdown.asked() => return,
            changed = reactor.triggered.changed() => changed,
        };
        if next.is_err() {
            return; // the directory's task has ended
        }
        let Some(trigger) = reactor.triggered.borrow_and_update().clone() else {
            continue;
        };
        tokio::select! {
            () = shutdown.asked() => return,
            () = reactor.carry_out(&trigger) => {}
        }
    }
}

impl Reactor {
    pub(super) fn new(
        shared: Arc<Shared>,
        directory: Arc<Directory>,
        actions: Vec<Action>,
        triggered: watch::Receiver<Option<Trigger>>,
    ) -> Self {
        Self {
            shared,
            directory,
            actions,
            triggered,
        }
    }

    async fn carry_out(&mut self, trigger: &Trigger) {
        let give_up_at = Instant::now() + GIVE_UP;
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let mut pending: Vec<usize> = (0..self.actions.len()).collect();
        loop {
            pending = self.pass(&pending, trigger).await;
            let failing = pending.iter().filter_map(|n| self.actions.get(*n));
            let names: Vec<String> = failing.map(ToString::to_string).collect();
            let trouble =
                (!names.is_empty()).then(|| format!("after the publish, failed: {}", names.join(", ")));
            self.shared.ledger.reactions_are(self.directory.path(), trouble);
            if pending.is_empty() {
                return self.remember().await;
            }
            let wait = backoff.next();
            if Instant::now() + wait > give_up_at {
                tracing::error!(
                    directory = %self.directory.path().display(), generation = trigger.generation,
                    "gave up until the next generation: {}", names.join(", ")
                );
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.triggered.changed() => {
                    self.triggered.mark_changed(); // for the caller to see
                    return;
                }
            }
        }
    }

    /// Tries each once, in order; returns those that failed.
    async fn pass(&self, pending: &[usize], trigger: &Trigger) -> Vec<usize> {
        let mut failed = Vec::new();
        for n in pending {
            let Some(action) = self.actions.get(*n) else {
                continue;
            };
            let path = self.directory.path();
            let result = action.carry_out(path, trigger, &*self.shared.units).await;
            self.tell(path, *n, action, trigger, result.as_ref().err());
            if result.is_err() {
                failed.push(*n);
            }
        }
        failed
    }

    fn tell(&self, path: &Path, n: usize, action: &Action, trigger: &Trigger, error: Option<&ReactionError>) {
        let label = ByReaction {
            directory: path.display().to_string(),
            reaction: action.to_string(),
        };
        let (now, generation) = (self.shared.now(), trigger.generation);
        let text = error.map(|e| Causes(e).to_string());
        match &text {
            None => {
                self.shared.metrics.reactions.get_or_create(&label).inc();
                tracing::info!(directory = %path.display(), generation, "done: {action}");
            }
            Some(text) => {
                self.shared.metrics.reaction_failures.get_or_create(&label).inc();
                tracing::warn!(directory = %path.display(), generation, "failed: {action}: {text}");
            }
        }
        self.shared.ledger.update(path, |status| {
            let Some(reaction) = status.reactions.get_mut(n) else {
                return;
            };
            match text {
                None => {
                    reaction.generation = generation;
                    reaction.done_at = Some(timestamp(now));
                    reaction.trouble = None;
                }
                Some(text) => {
                    reaction.failures += 1;
                    reaction.trouble = Some(error_line(now, text));
                }
            }
        });
    }

    /// So that a restart does not react again to what has been through.
    async fn remember(&self) {
        let directory = self.directory.clone();
        let path = directory.path().to_owned();
        let noted = tokio::task::spawn_blocking(move || directory.mark_reacted())
            .await
            .unwrap_or_else(|source| Err(PublishError::Worker { path, source }));
        if let Err(e) = noted {
            tracing::warn!(
                "could not note that the reactions are through, so a restart repeats them: {}",
                Causes(&e)
            );
        }
    }
}
