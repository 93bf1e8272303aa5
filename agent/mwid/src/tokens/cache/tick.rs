//! When an answer may be given again without a look into the caches. In: their changes and the clocks. Out: ticks to compare.
use super::times::Moment;
use mtls_identity::UnixTime;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what changes in the caches of access tokens, whichever source is in force.
#[derive(Debug, Default)]
pub(in crate::tokens) struct Changes(AtomicU64);

impl Changes {
    /// To be called under the lock that the change is made under, before it: who looked earlier and answers later is found out.
    pub(in crate::tokens) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub(in crate::tokens) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// A moment, and the state of the caches then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    changes: u64,
    pub(in crate::tokens) moment: Moment,
    told: UnixTime,
}

impl Tick {
    /// None: the wall clock cannot tell its time.
    pub(in crate::tokens) fn new(changes: u64, moment: Moment) -> Option<Self> {
        moment.told().map(|told| Self {
            changes,
            moment,
            told,
        })
    }

    /// By the wall clock.
    pub(crate) fn time(&self) -> UnixTime {
        self.told
    }

    /// Whether an access token that was the answer then is the answer now, with the same life left by the wall: the caches count in whole seconds. By the
    /// time since boot, which has a fraction, the end of a token may come within the second.
    pub(crate) fn is_still(&self, now: &Self) -> bool {
        let seconds = |tick: &Self| (tick.moment.wall.as_secs(), tick.moment.boot.as_secs());
        self.changes == now.changes && seconds(self) == seconds(now)
    }
}
