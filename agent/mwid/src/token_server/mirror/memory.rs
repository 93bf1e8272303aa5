//! What the platform said before. In: answers and failures, each with its time. Out: what holds now. Bounded in number and bytes. Never holds a
//! private key, never asks.
use super::key::Key;
use super::path;
use super::said::Said;
use super::trouble::Trouble;
use crate::backoff::Backoff;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const MOST_ENTRIES: usize = 1024;
pub(super) const MOST_BYTES: usize = 8 * 1024 * 1024;

/// For the bookkeeping of an entry, roughly.
const ENTRY: usize = 256;

/// Refusals are believed for as long as values that change.
const REFUSAL: Duration = Duration::from_secs(1);

/// How long a platform that does not answer is stood in for.
pub(super) const STALE_FOR: Duration = Duration::from_secs(24 * 3600);

/// Between two tries for a key that failed. Callers are what tries again, no timer.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

#[derive(Default)]
pub(super) struct Memory {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    /// Counts uses, so that it is known which was before which.
    uses: u64,
}

struct Entry {
    /// The last answer, and when it came.
    said: Option<(Arc<Said>, Instant)>,
    used: u64,
    /// Why the last try failed.
    trouble: Option<Failed>,
}

struct Failed {
    why: Trouble,
    again: Instant,
    pause: Backoff,
}

/// What is known of a key.
pub(super) enum Known {
    /// Nothing, or nothing that holds: ask.
    Ask,
    /// The present value.
    Fresh(Arc<Said>),
    /// The last answer. Ask, and serve this if there is no other.
    Old(Arc<Said>),
    /// The last answer, and it is too soon to ask again.
    StandIn(Arc<Said>),
    /// No answer, and it is too soon to ask again.
    Failed(Trouble, Duration),
}

/// What was said to a question with parameters was said of somebody, such as whether he may log in: that is not to be believed a day later.
fn stands_in(key: &Key, said: &Said) -> bool {
    key.parameters.is_empty() && said.stands_in()
}

impl Memory {
    pub(super) fn known(&mut self, key: &Key, now: Instant) -> Known {
        let Some(entry) = self.entries.get_mut(key) else {
            return Known::Ask;
        };
        self.uses += 1;
        entry.used = self.uses;
        let failed = entry.trouble.as_ref().filter(|failed| now < failed.again);
        match (&entry.said, failed) {
            (Some((said, at)), None) if now - *at < fresh_for(key, said) => Known::Fresh(Arc::clone(said)),
            (Some((said, at)), failed) if stands_in(key, said) && now - *at < STALE_FOR => match failed {
                None => Known::Old(Arc::clone(said)),
                Some(_) => Known::StandIn(Arc::clone(said)),
            },
            (_, Some(failed)) => Known::Failed(failed.why.clone(), failed.again - now),
            (_, None) => Known::Ask,
        }
    }

    /// The platform answered.
    pub(super) fn answered(&mut self, key: &Key, said: &Arc<Said>, now: Instant) {
        self.forget(key);
        if said.holds_identity {
            return;
        }
        self.insert(
            key,
            Entry {
                said: Some((Arc::clone(said), now)),
                used: 0,
                trouble: None,
            },
        );
    }

    /// It did not.
    pub(super) fn failed(&mut self, key: &Key, why: Trouble, now: Instant) {
        let before = self.forget(key);
        let (said, trouble) = before.map_or((None, None), |entry| (entry.said, entry.trouble));
        let mut pause = trouble.map_or_else(|| Backoff::new(PAUSE.0, PAUSE.1), |failed| failed.pause);
        let again = now + pause.next();
        let said = said.filter(|(said, at)| stands_in(key, said) && now - *at < STALE_FOR);
        self.insert(
            key,
            Entry {
                said,
                used: 0,
                trouble: Some(Failed { why, again, pause }),
            },
        );
    }

    fn insert(&mut self, key: &Key, mut entry: Entry) {
        self.uses += 1;
        entry.used = self.uses;
        self.bytes += size(key, &entry);
        self.entries.insert(key.clone(), entry);
        while self.entries.len() > MOST_ENTRIES || self.bytes > MOST_BYTES {
            // What stands for no value goes first: asking for keys that are not there must not drive out those that are.
            let Some(key) = self
                .entries
                .iter()
                .min_by_key(|(_, entry)| (entry.is_value(), entry.used))
                .map(|(key, _)| key.clone())
            else {
                return;
            };
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= size(key, &entry);
        Some(entry)
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }
}

impl Entry {
    fn is_value(&self) -> bool {
        self.said.as_ref().is_some_and(|(said, _)| said.is_value())
    }
}

fn size(key: &Key, entry: &Entry) -> usize {
    let body = entry.said.as_ref().map_or(0, |(said, _)| said.body().len());
    ENTRY + key.path.len() + key.parameters.len() + body
}

fn fresh_for(key: &Key, said: &Said) -> Duration {
    if said.is_value() {
        path::freshness(&key.path)
    } else {
        REFUSAL
    }
}
