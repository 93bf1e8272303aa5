//! What all caches over one source share. In: the source, the clocks, the room's books. Out: leave to ask, a place to ring the timer. Never
//! outlives its source: when that is replaced, all fetches end.
use super::tick::Changes;
use super::times::Times;
use crate::http::shares::Seats;
use crate::http::turns::Turns;
use crate::shutdown::Shutdown;
use crate::tokens::TokenSource;
use crate::tokens::ledger::Ledger;
use crate::tokens::metrics::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;

/// Questions under way at the source for the first time, and beside them those whose answer somebody uses already: a flood of new ones does
/// not keep old ones from being renewed. Of the former a quarter is one user's.
const FIRST_TIME: usize = 64;
const AGAIN: usize = 16;

/// What is under way is never pushed out of the caches, so that one user must not fill them.
const SEATS: usize = 4096;

pub(in crate::tokens) struct Base {
    pub(in crate::tokens) source: Arc<dyn TokenSource>,
    pub(in crate::tokens) times: Times,
    pub(in crate::tokens) metrics: Metrics,
    pub(in crate::tokens) ledger: Ledger,
    pub(super) changes: Arc<Changes>,
    /// Stops with this source.
    pub(in crate::tokens) stop: Shutdown,
    /// Waits for its tasks.
    pub(in crate::tokens) tasks: Shutdown,
    pub(super) alarm: Alarm,
    /// A fetch of the default token has ended well since this was looked at.
    pub(super) default_came: AtomicBool,
    pub(super) first_time: Turns,
    pub(super) again: Turns,
    /// Of users' questions under way for the first time, with those that wait for their turn.
    pub(super) seats: Arc<Seats>,
}

impl Base {
    pub(in crate::tokens) fn new(
        source: Arc<dyn TokenSource>,
        times: Times,
        metrics: Metrics,
        ledger: Ledger,
        changes: &Arc<Changes>,
        shutdown: &Shutdown,
    ) -> Self {
        Self {
            source,
            times,
            metrics,
            ledger,
            changes: Arc::clone(changes),
            stop: shutdown.child(),
            tasks: shutdown.clone(),
            alarm: Alarm::new(),
            default_came: AtomicBool::new(false),
            first_time: Turns::new(FIRST_TIME),
            again: Turns::new(AGAIN),
            seats: Seats::new(SEATS),
        }
    }
}

/// Wakes the one timer of a source.
pub(super) struct Alarm {
    /// When it rings next, in milliseconds since boot.
    set_to: AtomicU64,
    ring: Notify,
}

impl Alarm {
    fn new() -> Self {
        Self {
            set_to: AtomicU64::new(u64::MAX),
            ring: Notify::new(),
        }
    }

    /// Somebody must be looked at by then.
    pub(super) fn at(&self, due: Duration) {
        let due = millis(due);
        if self.set_to.fetch_min(due, SeqCst) > due {
            self.ring.notify_one();
        }
    }

    /// Something changed that the health board tells.
    pub(super) fn now(&self) {
        self.ring.notify_one();
    }

    /// Nothing is due any more; what is found to be due is to be set again.
    pub(super) fn clear(&self) {
        self.set_to.store(u64::MAX, SeqCst);
    }

    /// None: never.
    pub(super) fn due(&self) -> Option<Duration> {
        Some(self.set_to.load(SeqCst))
            .filter(|millis| *millis < u64::MAX)
            .map(Duration::from_millis)
    }

    pub(super) async fn rung(&self) {
        self.ring.notified().await;
    }
}

/// Rounded up, so that a timer does not ring before its time.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(u64::MAX - 1, |millis| millis.saturating_add(1))
}
