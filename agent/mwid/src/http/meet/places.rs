//! Who has the places of one server, so that nobody has them all.
//!
//! In: each connection and whose it is. Out: a place, or none. A client that keeps a place without using it has it only until another
//! one needs it. Never looks at more connections than it must: a flood of those who get no place is cheap.
use crate::http::pace::Pace;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Whose share of the places a connection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Holder {
    pub(crate) uid: u32,
    /// May take the places that are kept free of others: those who have to come in when others have filled the rest.
    pub(crate) trusted: bool,
}

/// How long a connection may wait for its client while somebody else waits for its place.
const SHORT: Duration = Duration::from_secs(1);
/// Between two looks for such connections, when the last one found none.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// The places of one server.
#[derive(Debug)]
pub(super) struct Places {
    /// Of one user.
    share: usize,
    /// Of all users who are not trusted.
    others: usize,
    state: Mutex<State>,
}

/// By whose it is and when it came.
type Key = (Option<Holder>, u64);

#[derive(Debug, Default)]
struct State {
    came: u64,
    open: BTreeMap<Key, Seat>,
    /// Only users with an open connection have an entry.
    users: HashMap<Holder, User>,
    others: usize,
    look_again: Option<Instant>,
}

#[derive(Debug, Default)]
struct User {
    open: usize,
    look_again: Option<Instant>,
}

#[derive(Debug)]
struct Seat {
    pace: Arc<Pace>,
    leave: CancellationToken,
}

/// A place that is taken; free again on drop.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    key: Key,
    pub(crate) pace: Arc<Pace>,
    /// Cancelled when somebody else needs the place.
    pub(crate) leave: CancellationToken,
}

impl Places {
    /// A quarter of them for one user; an eighth only for the trusted.
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            share: (all / 4).max(1),
            others: (all - all / 8).max(1),
            state: Mutex::default(),
        })
    }

    /// A place, if its share has one or can be made to.
    pub(super) fn take(self: &Arc<Self>, holder: Option<Holder>) -> Option<Place> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(holder) = holder {
            let open = state.users.get(&holder).map_or(0, |user| user.open);
            if open >= self.share && !state.free_one_of(holder, now) {
                return None;
            }
            if !holder.trusted && state.others >= self.others && !state.free_one(now) {
                return None;
            }
            // The one that made room may have been a trusted user's.
            if !holder.trusted && state.others >= self.others {
                return None;
            }
            state.users.entry(holder).or_default().open += 1;
            state.others += usize::from(!holder.trusted);
        }
        state.came += 1;
        let key = (holder, state.came);
        let (pace, leave) = (Arc::new(Pace::new()), CancellationToken::new());
        let seat = Seat {
            pace: Arc::clone(&pace),
            leave: leave.clone(),
        };
        state.open.insert(key, seat);
        Some(Place {
            places: Arc::clone(self),
            key,
            pace,
            leave,
        })
    }

    /// Asks the connection to leave that keeps its place for nothing, if there is one.
    pub(super) fn make_room(&self) {
        self.state().free_one(Instant::now());
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn free_one_of(&mut self, holder: Holder, now: Instant) -> bool {
        let Some(user) = self.users.get_mut(&holder) else {
            return false;
        };
        if user.look_again.is_some_and(|at| now < at) {
            return false;
        }
        user.look_again = Some(now + LOOK);
        let found = self.stale((Some(holder), 0)..=(Some(holder), u64::MAX), now);
        if let (Some(_), Some(user)) = (found, self.users.get_mut(&holder)) {
            user.look_again = None;
        }
        self.unseat(found)
    }

    fn free_one(&mut self, now: Instant) -> bool {
        if self.look_again.is_some_and(|at| now < at) {
            return false;
        }
        let last = Holder {
            uid: u32::MAX,
            trusted: true,
        };
        let found = self.stale((None, 0)..=(Some(last), u64::MAX), now);
        self.look_again = found.is_none().then_some(now + LOOK);
        self.unseat(found)
    }

    /// The connection that waits longest for its client, of those that do so for too long.
    fn stale(&self, among: RangeInclusive<Key>, now: Instant) -> Option<Key> {
        let waiting = self
            .open
            .range(among)
            .filter_map(|(key, seat)| seat.pace.waits_since().map(|since| (since, *key)));
        let (since, key) = waiting.min()?;
        (since + SHORT <= now).then_some(key)
    }

    fn unseat(&mut self, key: Option<Key>) -> bool {
        let seat = key.and_then(|key| self.remove(key));
        seat.inspect(|seat| seat.leave.cancel()).is_some()
    }

    fn remove(&mut self, key: Key) -> Option<Seat> {
        let seat = self.open.remove(&key)?;
        if let Some(holder) = key.0 {
            self.others -= usize::from(!holder.trusted);
            if let Some(user) = self.users.get_mut(&holder) {
                user.open -= 1;
                if user.open == 0 {
                    self.users.remove(&holder);
                }
            }
        }
        Some(seat)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.state().remove(self.key);
    }
}
