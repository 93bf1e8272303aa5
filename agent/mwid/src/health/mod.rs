//! Health: each part says how it is; the board says whether the whole is ready, and why not.
//!
//! In: reports of parts. Out: readiness with reasons, and a wake-up on each change. Never decides for a part.

pub(crate) mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub(crate) enum Condition {
    /// Works.
    Ok,
    /// Works for its users, but the operator should look.
    Degraded(String),
    /// Does not work; the whole is not ready.
    NotReady(String),
}

/// All parts' conditions. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    parts: Arc<watch::Sender<BTreeMap<&'static str, Condition>>>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            parts: Arc::new(watch::Sender::new(BTreeMap::new())),
        }
    }

    /// A part's own place on the board. Starts as not ready, so that nobody is ready by forgetting.
    pub(crate) fn part(&self, name: &'static str) -> Part {
        let part = Part {
            board: self.clone(),
            name,
        };
        part.set(Condition::NotReady("starting".to_owned()));
        part
    }

    /// Whether all parts are good enough to serve.
    pub(crate) fn is_ready(&self) -> bool {
        !self
            .parts
            .borrow()
            .values()
            .any(|c| matches!(c, Condition::NotReady(_)))
    }

    pub(crate) fn conditions(&self) -> BTreeMap<&'static str, Condition> {
        self.parts.borrow().clone()
    }

    /// Wakes on each change of any part.
    pub(crate) fn subscribe(&self) -> watch::Receiver<BTreeMap<&'static str, Condition>> {
        self.parts.subscribe()
    }
}

/// A part's place on the board; gone from the board when dropped.
#[derive(Debug)]
pub(crate) struct Part {
    board: Board,
    name: &'static str,
}

impl Part {
    pub(crate) fn set(&self, condition: Condition) {
        self.board.parts.send_if_modified(|parts| {
            let changed = parts.get(self.name) != Some(&condition);
            if changed {
                parts.insert(self.name, condition);
            }
            changed
        });
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.board
            .parts
            .send_if_modified(|parts| parts.remove(self.name).is_some());
    }
}
