//! The record of what was granted and denied.
//!
//! In: each grant and denial. Out: a log line (target `mwid::access`) for each new one, a line for its repeats at most once a minute, the newest
//! for `/status`, and counters. Never more lines than a person can read, whatever callers do: what no line tells of is counted in the next. Never
//! a token, and never what a caller wrote before it was cleaned.
mod entry;
mod limiter;
#[cfg(test)]
mod tests;

pub(super) use entry::{Entry, Subject, Who, Why};

use crate::health::status::CallerLine;
use limiter::Limiter;
use mtls_identity::Clock;
use prometheus_client::metrics::counter::Counter;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the lines go: `MWID_LOG=mwid::access=warn,info` leaves the grants out.
macro_rules! target {
    () => {
        "mwid::access"
    };
}

/// So many subjects are remembered.
const MOST: usize = 512;
/// So many go when there are more, so that this is not done each time.
const FORGOTTEN_AT_ONCE: usize = 64;
/// So many are shown in the status, and so many of one user.
const SHOWN: usize = 64;
const SHOWN_OF_ONE: usize = 32;

pub(super) struct Audit {
    clock: Clock,
    /// How often something was denied.
    denials: AtomicU64,
    entries: Mutex<HashMap<Arc<Subject>, Arc<Entry>>>,
    lines: Mutex<Lines>,
}

struct Lines {
    limiter: Limiter,
    /// Grants and denials that no line told of.
    left_out: (u64, u64),
}

impl Audit {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            denials: AtomicU64::new(0),
            entries: Mutex::default(),
            lines: Mutex::new(Lines {
                limiter: Limiter::new(),
                left_out: (0, 0),
            }),
        }
    }

    /// The entry of this subject, to be kept and [noted](Self::note). Takes a lock that all connections share.
    pub(super) fn entry(&self, subject: Subject, detail: Option<String>, counter: Counter) -> Arc<Entry> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&subject) {
            return Arc::clone(entry);
        }
        if entries.len() >= MOST {
            let forgotten = forget(&mut entries);
            self.lines().leave_out(&forgotten);
        }
        let subject = Arc::new(subject);
        let entry = Arc::new(Entry::new(Arc::clone(&subject), detail, counter));
        entries.insert(subject, Arc::clone(&entry));
        entry
    }

    /// Puts one more of these on record.
    pub(super) fn note(&self, entry: &Entry, pid: Option<i32>) {
        self.note_at(entry, pid, self.now());
    }

    /// In seconds.
    pub(super) fn now(&self) -> u64 {
        self.clock.current_time().map_or(0, |now| now.as_secs())
    }

    /// The same at a time that is known already.
    pub(super) fn note_at(&self, entry: &Entry, pid: Option<i32>, now: u64) {
        if entry.subject.denied.is_some() {
            self.denials.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(times) = entry.hit(pid, now) {
            self.say(entry, times, now);
        }
    }

    fn say(&self, entry: &Entry, times: u64, now: u64) {
        let mut lines = self.lines();
        if !lines.limiter.take(entry.subject.who.uid(), now) {
            lines.left_out.add(entry, times);
            return;
        }
        let (grants, denials) = std::mem::take(&mut lines.left_out);
        drop(lines);
        if grants + denials > 0 {
            tracing::warn!(
                target: target!(),
                grants,
                denials,
                "... and {} more that no line tells of",
                grants + denials
            );
        }
        write(entry, times);
    }

    /// How often something was denied.
    pub(super) fn denials(&self) -> u64 {
        self.denials.load(Ordering::Relaxed)
    }

    /// The newest, newest last.
    pub(super) fn recent(&self) -> Vec<CallerLine> {
        let mut entries: Vec<Arc<Entry>> = self.entries().values().cloned().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.last()));
        let mut of_user = HashMap::new();
        entries.retain(|entry| {
            let shown = of_user.entry(entry.subject.who.uid()).or_insert(0);
            *shown += 1;
            *shown <= SHOWN_OF_ONE
        });
        entries.truncate(SHOWN);
        entries.iter().rev().map(|entry| entry.line()).collect()
    }

    /// Nothing in here panics half way.
    fn entries(&self) -> MutexGuard<'_, HashMap<Arc<Subject>, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the oldest entries of the user who has most of them.
fn forget(entries: &mut HashMap<Arc<Subject>, Arc<Entry>>) -> Vec<Arc<Entry>> {
    let mut by_user: HashMap<Option<u32>, Vec<&Arc<Entry>>> = HashMap::new();
    for entry in entries.values() {
        by_user.entry(entry.subject.who.uid()).or_default().push(entry);
    }
    let mut most = by_user.into_values().max_by_key(Vec::len).unwrap_or_default();
    most.sort_by_key(|entry| entry.last());
    let forgotten: Vec<Arc<Entry>> = most.into_iter().take(FORGOTTEN_AT_ONCE).cloned().collect();
    for entry in &forgotten {
        entry.forgotten.store(true, Ordering::Relaxed);
        entries.remove(&entry.subject);
    }
    forgotten
}

trait Count {
    fn add(&mut self, entry: &Entry, times: u64);
}

impl Count for (u64, u64) {
    fn add(&mut self, entry: &Entry, times: u64) {
        match entry.subject.denied {
            None => self.0 += times,
            Some(_) => self.1 += times,
        }
    }
}

impl Lines {
    fn leave_out(&mut self, forgotten: &[Arc<Entry>]) {
        for entry in forgotten {
            self.left_out.add(entry, entry.take_untold());
        }
    }
}

fn write(entry: &Entry, times: u64) {
    let Subject {
        who,
        listener,
        what,
        denied,
        rule,
    } = &*entry.subject;
    let (uid, gid, unit) = match who {
        Who::Attested { uid, gid, unit } => (Some(*uid), *gid, unit.as_deref()),
        Who::Unattested(_) => (None, None, None),
    };
    let pid = entry.pid();
    match denied {
        None => {
            tracing::info!(target: target!(), uid, pid, gid, unit, listener, what, rule, times, "granted");
        }
        Some(Why { hints, .. }) => {
            let why = entry.why();
            let hint = (!hints.is_empty()).then_some(hints.as_str());
            tracing::warn!(
                target: target!(),
                uid, pid, gid, unit, listener, what, rule, why, hint, times, "denied"
            );
        }
    }
}
