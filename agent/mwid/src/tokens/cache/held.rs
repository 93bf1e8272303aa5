//! An answer and its life by two clocks. In: the answer, when it was asked for, and the time. Out: how long it still holds. Never longer than
//! the stricter of the two clocks says.
use super::kept::Kept;
use super::times::Moment;
use crate::backoff::Backoff;
use mtls_identity::UnixTime;
use std::sync::Arc;
use std::time::Duration;

/// The platform hands out the same token until so much of its life is left, and then another.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// The platform's idea of five minutes may be a second behind ours, for it tells whole seconds.
const AFTER_THE_PLATFORM: Duration = Duration::from_secs(1);

/// How often something that does not expire is asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// What two clocks that tell whole seconds may differ by, for no reason.
const ROUNDING: u64 = 1;

/// A wall clock that moved further than this was set; less is what time servers do every day.
const WAS_SET: u64 = 5;

pub(super) struct Held<V> {
    pub(super) value: Arc<V>,
    /// By the time since boot.
    until: Option<Duration>,
    /// By the time since boot: from then on the source is asked again.
    renew_at: Duration,
    /// Of the two clocks, when they were last compared.
    offset: i64,
    /// The clock was set: nobody knows whether the life above is true.
    anew: bool,
}

impl<V: Kept> Held<V> {
    pub(super) fn new(value: Arc<V>, asked: Moment) -> Self {
        let life = value
            .expires_at()
            .map(|at| at.as_secs().saturating_sub(asked.wall.as_secs()));
        let until = life.map(|life| asked.boot.saturating_add(Duration::from_secs(life)));
        Self {
            value,
            until,
            renew_at: match until {
                Some(until) => until.saturating_sub(RENEW_BEFORE) + some_of(AFTER_THE_PLATFORM),
                None => asked.boot + some_of(ASK_AGAIN_AFTER),
            },
            offset: asked.offset(),
            anew: false,
        }
    }

    /// Nothing has happened to the clocks that [`Held::settle`] would have to look at.
    pub(super) fn is_settled(&self, now: Moment) -> bool {
        self.drift(now) <= ROUNDING
    }

    /// Brings both lives together after the wall clock moved: the shorter one holds.
    pub(super) fn settle(&mut self, now: Moment) {
        let drift = self.drift(now);
        if drift <= ROUNDING {
            return;
        }
        self.offset = now.offset();
        self.anew |= drift > WAS_SET;
        let (Some(until), Some(expires_at)) = (self.until, self.value.expires_at()) else {
            return;
        };
        let by_boot = until.saturating_sub(now.boot);
        let by_wall = Duration::from_secs(expires_at.as_secs().saturating_sub(now.wall.as_secs()));
        if by_wall < by_boot {
            self.until = Some(now.boot + by_wall);
            self.renew_at = self.renew_at.saturating_sub(by_boot.saturating_sub(by_wall));
        } else {
            // What is told to callers is counted from the wall clock, so the token's own end has to move with it.
            let end = now.wall.as_secs().saturating_add(by_boot.as_secs());
            self.value = Arc::new(
                self.value
                    .expiring(UnixTime::since_unix_epoch(Duration::from_secs(end))),
            );
        }
    }

    /// The whole seconds that it still holds. None: for ever.
    pub(super) fn remaining(&self, now: Moment) -> Option<u64> {
        let by_boot = self.until?.saturating_sub(now.boot).as_secs();
        let by_wall = self
            .value
            .expires_at()
            .map_or(by_boot, |at| at.as_secs().saturating_sub(now.wall.as_secs()));
        Some(by_boot.min(by_wall))
    }

    pub(super) fn is_valid(&self, now: Moment) -> bool {
        self.remaining(now).is_none_or(|seconds| seconds > 0)
    }

    /// Whether its successor is to be asked for.
    pub(super) fn is_old(&self, now: Moment) -> bool {
        self.anew || now.boot >= self.renew_at
    }

    /// When a timer should look at it first, by the time since boot. Nothing that lasts has a timer.
    pub(super) fn old_at(&self) -> Option<Duration> {
        self.until?;
        Some(if self.anew { Duration::ZERO } else { self.renew_at })
    }

    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// The platform's same one, as far as its end tells: two that were made apart end apart.
    pub(super) fn ends_with(&self, next: &Self) -> bool {
        const APART: Duration = Duration::from_secs(5);
        match (self.until, next.until) {
            (Some(this), Some(next)) => next < this + APART,
            _ => false,
        }
    }

    /// Of the two clocks against each other, in seconds, since they were compared.
    fn drift(&self, now: Moment) -> u64 {
        now.offset().abs_diff(self.offset)
    }
}

/// Between half and all of it.
pub(super) fn some_of(time: Duration) -> Duration {
    Backoff::new(time, time).next()
}
