//! The cache over one source: one fetch a question is in flight, whoever asks and whoever stops waiting.
//!
//! In: questions. Out: answers that hold, at once if they are here. Never an expired one, never one for another question. Its rules: an answer
//! that holds is served, whatever the source does; from five minutes before its end its successor is asked for; a failure is followed by a
//! pause that grows; everything is bounded.

mod base;
mod held;
mod kept;
mod renewal;
mod shelf;
mod slot;
#[cfg(test)]
mod tests;
mod tick;
mod times;

pub(super) use base::Base;
pub(super) use kept::Ask;
pub(super) use renewal::{Caches, renew};
pub(super) use shelf::Bounds;
pub(super) use tick::Changes;
pub(crate) use tick::Tick;
pub(super) use times::{Moment, Times};

use super::TokenError;
use crate::http::Holder;
use crate::http::shares::Seat;
use futures_util::FutureExt;
use shelf::Shelf;
use slot::{Flight, Line, Outcome, Verdict};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// Where a fetch tells its end.
type Tell<A> = watch::Sender<Option<Outcome<<A as Ask>::Answer>>>;

pub(super) struct Cache<A: Ask> {
    shelf: RwLock<Shelf<A>>,
    bounds: Bounds,
    base: Arc<Base>,
    /// Of the source's credentials; changed under the shelf's lock.
    of_version: AtomicU64,
}

/// The longest that a question waits for its turn at the source; how long the source itself may take is counted from there.
const IN_LINE: Duration = Duration::from_secs(30);

/// What a look under the lock ends with.
enum Next<V> {
    Done(Outcome<V>),
    Wait(Flight<V>),
    Linger(Arc<V>, Flight<V>),
}

impl<A: Ask> Cache<A> {
    /// With `pin_default`, the default question is fetched and renewed unasked.
    pub(super) fn new(bounds: Bounds, pin_default: bool, base: &Arc<Base>) -> Arc<Self> {
        Arc::new(Self {
            shelf: RwLock::new(Shelf::new(bounds, pin_default)),
            bounds,
            base: Arc::clone(base),
            of_version: AtomicU64::new(base.source.version()),
        })
    }

    /// The answer if it is here and nothing needs to be waited for.
    pub(super) fn now(self: &Arc<Self>, ask: &A, now: Moment) -> Option<Arc<A::Answer>> {
        self.keep_up();
        if let Some(value) = self.glance(ask, now) {
            return Some(value);
        }
        // Only what is here can be old, expired or renewed.
        self.read().get(ask)?.held()?;
        match self.look(ask, now, None) {
            Next::Done(outcome) => {
                let value = outcome.ok()?;
                self.base.metrics.hit();
                Some(value)
            }
            // Who asks will come back and wait.
            Next::Wait(_) | Next::Linger(..) => None,
        }
    }

    /// The answer for one user, from here or from the source.
    pub(super) async fn get(self: &Arc<Self>, ask: &A, whose: Option<Holder>) -> Outcome<A::Answer> {
        self.keep_up();
        let now = self.base.times.now();
        if let Some(value) = self.glance(ask, now) {
            return Ok(value);
        }
        let next = self.look(ask, now, whose);
        match &next {
            Next::Done(Ok(_)) | Next::Linger(..) => self.base.metrics.hit(),
            Next::Done(Err(_)) | Next::Wait(_) => self.base.metrics.missed(),
        }
        match next {
            Next::Done(outcome) => outcome,
            Next::Wait(flight) => self.wait(flight).await,
            Next::Linger(value, flight) => {
                let until = flight.linger();
                match timeout_at(until, self.wait(flight)).await {
                    Ok(Ok(successor)) => Ok(successor),
                    Ok(Err(_)) | Err(_) => Ok(value),
                }
            }
        }
    }

    /// Asks for it in the background, if it is not here.
    pub(super) fn prefetch(self: &Arc<Self>, ask: &A) {
        drop(self.look(ask, self.base.times.now(), None));
    }

    /// Whether it is here or being asked for.
    fn knows(&self, ask: &A) -> bool {
        let shelf = self.read();
        shelf
            .get(ask)
            .is_some_and(|slot| slot.held().is_some() || slot.is_in_flight())
    }

    /// Forgets what other credentials gave than those that the source has now. What is being fetched is asked for again when it comes.
    fn keep_up(&self) {
        let version = self.base.source.version();
        if self.of_version.load(Acquire) >= version {
            return;
        }
        let mut shelf = self.write();
        self.of_version.fetch_max(version, AcqRel);
        let forgotten = shelf.forget();
        drop(shelf);
        // Outside of the lock: they are wiped.
        drop(forgotten);
        // Who is to be fetched unasked is looked for.
        self.base.alarm.at(Duration::ZERO);
    }

    /// What is known without asking or counting: for the status and the health board.
    pub(super) fn peek(&self, ask: &A, now: Moment) -> Option<Arc<A::Answer>> {
        let shelf = self.read();
        let held = shelf.get(ask)?.held()?;
        held.is_valid(now).then(|| Arc::clone(&held.value))
    }

    pub(super) fn valid(&self, now: Moment) -> usize {
        self.read().valid(now)
    }

    fn glance(&self, ask: &A, now: Moment) -> Option<Arc<A::Answer>> {
        let shelf = self.read();
        let slot = shelf.get(ask)?;
        let value = slot.glance(now)?;
        slot.touch(now);
        self.base.metrics.hit();
        Some(Arc::clone(value))
    }

    /// Looks closely, and begins a fetch if it takes one.
    fn look(self: &Arc<Self>, ask: &A, now: Moment, whose: Option<Holder>) -> Next<A::Answer> {
        let (next, evicted) = self.look_under_the_lock(ask, now, whose);
        self.base.metrics.evicted(A::KIND, evicted);
        next
    }

    fn look_under_the_lock(
        self: &Arc<Self>,
        ask: &A,
        now: Moment,
        whose: Option<Holder>,
    ) -> (Next<A::Answer>, u64) {
        let mut shelf = self.write();
        let (slot, evicted) = shelf.slot(ask);
        let Some(slot) = slot else {
            let error = TokenError::TooManyAtOnce {
                kind: self.base.source.kind(),
                most: self.bounds.entries,
            };
            return (Next::Done(Err(error)), evicted);
        };
        slot.touch(now);
        let next = match slot.verdict(now) {
            Verdict::Serve(value) => Next::Done(Ok(value)),
            Verdict::Fail(error) => Next::Done(Err(error)),
            Verdict::Wait(flight) => {
                flight.join(whose);
                Next::Wait(flight)
            }
            Verdict::Linger(value, flight) => Next::Linger(value, flight),
            Verdict::Renew(value) => {
                let (is_low, (flight, tell)) = (slot.is_low(now), slot.begin(None));
                self.fly(ask.clone(), tell, (&flight, true, None));
                if is_low {
                    Next::Linger(value, flight)
                } else {
                    Next::Done(Ok(value))
                }
            }
            Verdict::Fetch => {
                let again = slot.had_one() || ask.is_default();
                let whose = whose.filter(|_| !again);
                let seat = whose.map(|_| self.base.seats.take(whose));
                if matches!(seat, Some(None)) {
                    let kind = self.base.source.kind();
                    return (Next::Done(Err(TokenError::TooManyOfYours { kind })), evicted);
                }
                let (flight, tell) = slot.begin(whose);
                self.fly(ask.clone(), tell, (&flight, again, seat.flatten()));
                Next::Wait(flight)
            }
        };
        (next, evicted)
    }

    /// Waits for a fetch that is bounded itself.
    async fn wait(&self, mut flight: Flight<A::Answer>) -> Outcome<A::Answer> {
        let told = flight.done.wait_for(Option::is_some).await;
        match told.ok().and_then(|told| told.clone()) {
            Some(outcome) => outcome,
            // Beside a fault of ours, only a stop ends a fetch without a word.
            None if self.base.stop.is_asked() => Err(TokenError::Stopping),
            None => Err(TokenError::Broke {
                kind: self.base.source.kind(),
            }),
        }
    }

    /// Runs a fetch apart from all who wait for it. `again` is one whose answer somebody uses already.
    fn fly(
        self: &Arc<Self>,
        ask: A,
        tell: Tell<A>,
        (flight, again, seat): (&Flight<A::Answer>, bool, Option<Seat>),
    ) {
        let (cache, stop) = (Arc::clone(self), self.base.stop.clone());
        let line = Arc::clone(&flight.line);
        self.base.tasks.spawn(async move {
            let _seat = seat;
            tokio::select! {
                biased;
                () = stop.asked() => {}
                () = cache.fetch(ask, &tell, (&line, again)) => {}
            }
        });
    }

    async fn fetch(&self, ask: A, tell: &Tell<A>, (line, again): (&Line, bool)) {
        let base = &self.base;
        let lane = match again {
            _ if ask.is_default() => None,
            true => Some(&base.again),
            false => Some(&base.first_time),
        };
        let landing = Landing {
            cache: self,
            ask: &ask,
        };
        let leave = match lane {
            Some(lane) => timeout(IN_LINE, lane.next(line.whose, &line.wanted))
                .await
                .map(Some),
            None => Ok(None),
        };
        // From here on it is the source that takes its time.
        let (began, asked) = (Instant::now(), base.times.now());
        let (outcome, is_asked) = match leave {
            Ok(_leave) => (self.put(&ask).await, true),
            Err(_) => ((Err(self.no_turn()), u64::MAX), false),
        };
        let now = base.times.now();
        self.keep_up();
        let (outcome, due, evicted) = self.land(&ask, outcome, asked, now);
        landing.done();
        base.metrics.evicted(A::KIND, evicted);
        if is_asked {
            base.metrics
                .fetched(A::KIND, outcome.as_ref().err(), began.elapsed());
            base.ledger.landed(outcome.as_ref().err(), ask.is_default(), now);
        }
        if let Some(due) = due {
            base.alarm.at(due);
        }
        if ask.is_default() && outcome.is_ok() {
            base.default_came.store(true, Relaxed);
        }
        base.alarm.now();
        tell.send_replace(Some(outcome));
    }

    /// Asks the source, and once more if its credentials have changed meanwhile. With which version the answer was made.
    async fn put(&self, ask: &A) -> (Result<A::Answer, TokenError>, u64) {
        let source = &self.base.source;
        let version = source.version();
        let outcome = self.put_once(ask).await;
        let newer = source.version();
        if newer == version {
            return (outcome, version);
        }
        (self.put_once(ask).await, newer)
    }

    /// Asks the source, for as long as it is given.
    async fn put_once(&self, ask: &A) -> Result<A::Answer, TokenError> {
        let source = self.base.source.as_ref();
        let (kind, within) = (|| source.kind(), source.patience());
        let asking = async { ask.put(source).await };
        match timeout(within, AssertUnwindSafe(asking).catch_unwind()).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(TokenError::Broke { kind: kind() }),
            Err(_) => Err(TokenError::TimedOut {
                kind: kind(),
                after: within,
            }),
        }
    }

    fn no_turn(&self) -> TokenError {
        TokenError::NoTurn {
            kind: self.base.source.kind(),
            after: IN_LINE,
        }
    }

    /// Puts the end of a fetch into its slot, and says when to look at that next.
    fn land(
        &self,
        ask: &A,
        (outcome, version): (Result<A::Answer, TokenError>, u64),
        asked: Moment,
        now: Moment,
    ) -> (Outcome<A::Answer>, Option<Duration>, u64) {
        let mut shelf = self.write();
        let kind = self.base.source.kind();
        let outcome = if version < self.of_version.load(Acquire) {
            Err(TokenError::OtherCredentials { kind })
        } else {
            outcome.map(Arc::new)
        };
        let Some(slot) = shelf.get_mut(ask) else {
            // What is being fetched is never pushed out.
            return (outcome, None, 0);
        };
        let outcome = slot.land(kind, outcome, asked, now);
        let due = slot.due(now);
        let evicted = shelf.weigh(ask);
        self.base.metrics.holds(A::KIND, shelf.len(), shelf.bytes());
        (outcome, due, evicted)
    }

    /// Looks at everything, begins what is due, and sets the alarm for what will be.
    fn sweep(self: &Arc<Self>, now: Moment) {
        self.keep_up();
        let mut shelf = self.write();
        let sweep = shelf.sweep(now);
        for ask in sweep.fetch {
            if let Some(slot) = shelf.get_mut(&ask) {
                let (flight, tell) = slot.begin(None);
                self.fly(ask, tell, (&flight, true, None));
            }
        }
        if let Some(next) = sweep.next {
            self.base.alarm.at(next);
        }
        let (entries, bytes) = (shelf.len(), shelf.bytes());
        drop(shelf);
        self.base.metrics.holds(A::KIND, entries, bytes);
    }

    fn read(&self) -> RwLockReadGuard<'_, Shelf<A>> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelf<A>> {
        let shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        self.base.changes.one_more();
        shelf
    }
}

/// A fetch under way. If it ends without a word (a stop, or a fault of ours), its question can be asked again all the same.
struct Landing<'a, A: Ask> {
    cache: &'a Cache<A>,
    ask: &'a A,
}

impl<A: Ask> Landing<'_, A> {
    fn done(self) {
        std::mem::forget(self);
    }
}

impl<A: Ask> Drop for Landing<'_, A> {
    fn drop(&mut self) {
        let base = &self.cache.base;
        let next = self
            .cache
            .write()
            .get_mut(self.ask)
            .map(|slot| slot.abandon(base.source.kind(), base.times.now()));
        if let Some(next) = next {
            base.alarm.at(next);
        }
    }
}
