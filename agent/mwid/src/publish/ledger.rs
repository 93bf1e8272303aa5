//! What is known about each published directory: for `/status`, and for the health board.
//!
//! In: what the tasks report. Out: one list of statuses, one condition for the part `publish`. Never decides what to do.

use super::resolve::Prepared;
use crate::health::status::timestamp;
use crate::health::status::{ErrorLine, PublishStatus, ReactionStatus};
use crate::health::{Condition, Part};
use mtls_identity::UnixTime;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// All directories' statuses and conditions.
pub(super) struct Ledger {
    status: watch::Sender<Vec<PublishStatus>>,
    part: Part,
    expects_identity: AtomicBool,
    conditions: Mutex<BTreeMap<PathBuf, Both>>,
}

/// A directory's publish and its reactions fail and heal apart from each other.
struct Both {
    publish: Condition,
    reactions: Option<String>,
}

impl Ledger {
    pub(super) fn new(part: Part, expects_identity: bool) -> (Self, watch::Receiver<Vec<PublishStatus>>) {
        let (status, receiver) = watch::channel(Vec::new());
        let ledger = Self {
            status,
            part,
            expects_identity: AtomicBool::new(expects_identity),
            conditions: Mutex::default(),
        };
        (ledger, receiver)
    }

    /// Begins anew for these directories; names those that are gone. A directory that was known keeps its condition
    /// until its new task has looked, so that a reload does not flap readiness.
    pub(super) fn reset(&self, prepared: &[Prepared]) -> Vec<PathBuf> {
        let mut conditions = self.conditions();
        let mut old = std::mem::take(&mut *conditions);
        for one in prepared {
            let path = one.directory.path().to_owned();
            let known = old.remove(&path).map(|both| both.publish);
            let publish = known.unwrap_or_else(|| self.first_condition());
            conditions.insert(
                path,
                Both {
                    publish,
                    reactions: None,
                },
            );
        }
        self.tell(&conditions);
        drop(conditions);
        self.status.send_modify(|list| {
            *list = prepared
                .iter()
                .map(|one| {
                    let path = one.directory.path();
                    let known = list.iter().find(|status| status.directory == path);
                    status_of(one, known)
                })
                .collect();
        });
        old.into_keys().collect()
    }

    /// Other settings say whether an identity is to come at all; what was published already counts as before.
    pub(super) fn expect_identity(&self, expected: bool) {
        let before = self.first_condition();
        self.expects_identity.store(expected, Ordering::SeqCst);
        let untouched: Vec<PathBuf> = self
            .status
            .borrow()
            .iter()
            .filter(|s| s.generation == 0)
            .map(|s| s.directory.clone())
            .collect();
        let mut conditions = self.conditions();
        for (path, both) in conditions.iter_mut() {
            if untouched.contains(path) && both.publish == before {
                both.publish = self.first_condition();
            }
        }
        self.tell(&conditions);
    }

    fn first_condition(&self) -> Condition {
        if self.expects_identity.load(Ordering::SeqCst) {
            Condition::NotReady("nothing published yet".to_owned())
        } else {
            Condition::Ok
        }
    }

    /// Changes a directory's status. Unknown directories (of settings no longer in force) are passed over.
    pub(super) fn update(&self, directory: &Path, change: impl FnOnce(&mut PublishStatus)) {
        self.status.send_if_modified(|list| {
            let found = list.iter_mut().find(|status| status.directory == directory);
            let known = found.is_some();
            if let Some(status) = found {
                change(status);
            }
            known
        });
    }

    pub(super) fn publish_is(&self, directory: &Path, condition: Condition) {
        let mut conditions = self.conditions();
        if let Some(both) = conditions.get_mut(directory) {
            both.publish = condition;
        }
        self.tell(&conditions);
    }

    pub(super) fn reactions_are(&self, directory: &Path, trouble: Option<String>) {
        let mut conditions = self.conditions();
        if let Some(both) = conditions.get_mut(directory) {
            both.reactions = trouble;
        }
        self.tell(&conditions);
    }

    fn conditions(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Both>> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worst of all, with every reason of that kind.
    fn tell(&self, conditions: &BTreeMap<PathBuf, Both>) {
        let (mut not_ready, mut degraded) = (Vec::new(), Vec::new());
        for (path, both) in conditions {
            match &both.publish {
                Condition::Ok => {}
                Condition::Degraded(why) => degraded.push(format!("{}: {why}", path.display())),
                Condition::NotReady(why) => not_ready.push(format!("{}: {why}", path.display())),
            }
            if let Some(why) = &both.reactions {
                degraded.push(format!("{}: {why}", path.display()));
            }
        }
        self.part.set(if !not_ready.is_empty() {
            Condition::NotReady(not_ready.join("; "))
        } else if !degraded.is_empty() {
            Condition::Degraded(degraded.join("; "))
        } else {
            Condition::Ok
        });
    }
}

fn status_of(one: &Prepared, known: Option<&PublishStatus>) -> PublishStatus {
    PublishStatus {
        directory: one.directory.path().to_owned(),
        generation: known.map_or(0, |status| status.generation),
        published_at: known.and_then(|status| status.published_at),
        trouble: known.and_then(|status| status.trouble.clone()),
        reactions: one
            .actions
            .iter()
            .map(|action| ReactionStatus {
                what: action.to_string(),
                generation: 0,
                done_at: None,
                failures: 0,
                trouble: None,
            })
            .collect(),
    }
}

/// Something that went wrong, now.
pub(super) fn error_line(at: UnixTime, text: String) -> ErrorLine {
    ErrorLine {
        at: timestamp(at),
        text,
    }
}
