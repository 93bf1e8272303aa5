//! What time it is. In: the wall clock, which people set, and the time since boot, which nobody can set and which goes on while the machine
//! sleeps. Out: both at once. Never believes one of them alone.
use mtls_identity::{Clock, UnixTime};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The time since boot, as a test may choose it.
pub(crate) type BootClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The clocks.
#[derive(Clone)]
pub(in crate::tokens) struct Times {
    pub(in crate::tokens) wall: Clock,
    pub(in crate::tokens) boot: BootClock,
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tokens) struct Moment {
    pub(in crate::tokens) wall: UnixTime,
    pub(in crate::tokens) boot: Duration,
}

impl Times {
    pub(in crate::tokens) fn new(wall: Clock) -> Self {
        Self {
            wall,
            boot: Arc::new(crate::clock::since_boot),
        }
    }

    pub(in crate::tokens) fn now(&self) -> Moment {
        Moment {
            // A wall clock that cannot tell its time leaves the decision to the other: nothing is expired at the epoch by the wall.
            wall: self
                .wall
                .current_time()
                .unwrap_or_else(|| UnixTime::since_unix_epoch(Duration::ZERO)),
            boot: (self.boot)(),
        }
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Times").field("now", &self.now()).finish()
    }
}

impl Moment {
    /// The wall clock's time, if it could tell it.
    pub(in crate::tokens) fn told(self) -> Option<UnixTime> {
        (self.wall.as_secs() > 0).then_some(self.wall)
    }

    /// How far the wall is ahead of the time since boot, in seconds: it changes only when somebody sets the clock.
    pub(super) fn offset(self) -> i64 {
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        seconds(self.wall.as_secs()) - seconds(self.boot.as_secs())
    }
}
