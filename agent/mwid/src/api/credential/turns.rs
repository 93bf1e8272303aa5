//! Which generation a process of systemd has had. In: its number, its unit. Out: the generation that its next credential is to be of. Never keeps one
//! for longer than a start takes.
use mtls_identity::IdentitySnapshot;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A process fetches all its credentials at once. A number may be another's later.
const TURN: Duration = Duration::from_secs(60);
/// Units that start at once on a VM are fewer.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<VecDeque<Turn>>);

#[derive(Debug)]
struct Turn {
    pid: i32,
    unit: String,
    began: Instant,
    identity: Arc<IdentitySnapshot>,
}

impl Turns {
    /// What this process had before, if that is still `good`; else it has `present` from now on.
    pub(super) fn take(
        &self,
        pid: i32,
        unit: &str,
        present: Arc<IdentitySnapshot>,
        good: impl Fn(&IdentitySnapshot) -> bool,
    ) -> Arc<IdentitySnapshot> {
        let now = Instant::now();
        // Nothing in here panics half way.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|turn| now - turn.began < TURN && good(&turn.identity));
        if let Some(turn) = turns.iter().find(|turn| turn.pid == pid && turn.unit == unit) {
            return Arc::clone(&turn.identity);
        }
        if turns.len() == MOST {
            turns.pop_front();
        }
        turns.push_back(Turn {
            pid,
            unit: unit.to_owned(),
            began: now,
            identity: Arc::clone(&present),
        });
        present
    }
}
