//! Which generation a process of systemd has had. In: what tells the process from others, its unit. Out: the generation that its next credential is
//! to be of. Never keeps one for longer than a start takes, whether anybody asks again or not, nor longer than the identity may be served: it
//! holds a key.
use mtls_identity::{IdentitySnapshot, Reader};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A process fetches all its credentials at once.
const TURN: Duration = Duration::from_secs(60);
/// Units that start at once on a VM are fewer.
const MOST: usize = 256;

/// A process, by its number and its start: the number alone may be another's later.
pub(super) type Process = (i32, u64);

#[derive(Debug)]
pub(super) struct Turns {
    shared: Arc<Shared>,
    identity: Reader,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    turns: VecDeque<Turn>,
    /// Whether somebody waits for the end of the first.
    is_swept: bool,
}

#[derive(Debug)]
struct Turn {
    process: Process,
    unit: String,
    ends: Instant,
    identity: Arc<IdentitySnapshot>,
}

impl Turns {
    pub(super) fn of(identity: Reader) -> Self {
        Self {
            shared: Arc::default(),
            identity,
        }
    }

    /// What this process had before, if that is still `good` and of the name that `present` has; else it has `present` from now on. Within a
    /// runtime only.
    pub(super) fn take(
        &self,
        process: Process,
        unit: &str,
        present: Arc<IdentitySnapshot>,
        good: impl Fn(&IdentitySnapshot) -> bool,
    ) -> Arc<IdentitySnapshot> {
        let mut state = self.shared.state();
        // What may be served is decided by its name (`identity.expect`), and for `present` it was.
        let good = |turn: &Turn| turn.identity.id() == present.id() && good(&turn.identity);
        state.turns.retain(good);
        let mut turns = state.turns.iter();
        if let Some(turn) = turns.find(|turn| turn.process == process && turn.unit == unit) {
            return Arc::clone(&turn.identity);
        }
        if state.turns.len() == MOST {
            state.turns.pop_front();
        }
        state.turns.push_back(Turn {
            process,
            unit: unit.to_owned(),
            ends: Instant::now() + TURN,
            identity: Arc::clone(&present),
        });
        if !std::mem::replace(&mut state.is_swept, true) {
            let swept = sweep(Arc::downgrade(&self.shared), self.identity.clone());
            tokio::spawn(swept);
        }
        present
    }
}

/// Drops each turn when it ends, or when what it holds is taken away, and ends with the last one or with the room.
async fn sweep(turns: Weak<Shared>, mut identity: Reader) {
    while let Some(end) = turns.upgrade().and_then(|turns| turns.first_end()) {
        tokio::select! {
            () = sleep_until(end) => {}
            goes_on = identity.switched() => if goes_on {
                let present = identity.current();
                turns.upgrade().inspect(|turns| turns.keep(present.as_deref()));
            } else {
                sleep_until(end).await;
            }
        }
    }
}

impl Shared {
    /// Drops what is not of the name of the present identity.
    fn keep(&self, present: Option<&IdentitySnapshot>) {
        let is_present = |turn: &Turn| present.is_some_and(|present| present.id() == turn.identity.id());
        self.state().turns.retain(is_present);
    }

    /// When the first turn ends, of those that go on; none, and nobody waits any more, if there are none.
    fn first_end(&self) -> Option<Instant> {
        let (now, mut state) = (Instant::now(), self.state());
        state.turns.retain(|turn| now < turn.ends);
        let end = state.turns.front().map(|turn| turn.ends);
        state.is_swept = end.is_some();
        end
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::testing::Identities;

    const UNIT: &str = "payments.service";

    #[tokio::test(start_paused = true)]
    async fn a_process_has_one_generation_and_a_later_one_of_its_number_another() {
        let mut identities = Identities::new();
        let (first, second) = (identities.next(), identities.next());
        let turns = Turns::of(identities.reader.clone());
        let take = |process, unit, present| turns.take(process, unit, Arc::clone(present), |_| true);
        assert_eq!(take((7, 100), UNIT, &first).generation(), first.generation());
        assert_eq!(take((7, 100), UNIT, &second).generation(), first.generation());
        for (process, unit) in [((7, 101), UNIT), ((8, 100), UNIT), ((7, 100), "other.service")] {
            let has = take(process, unit, &second);
            assert_eq!(has.generation(), second.generation(), "{process:?} {unit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_goes_when_its_time_is_over_also_if_nobody_asks_again() {
        let mut identities = Identities::new();
        let identity = identities.next();
        let turns = Turns::of(identities.reader.clone());
        drop(turns.take((7, 100), UNIT, Arc::clone(&identity), |_| true));
        tokio::time::sleep(TURN / 2).await;
        drop(turns.take((8, 100), UNIT, Arc::clone(&identity), |_| true));
        let held = Arc::strong_count(&identity);
        tokio::time::sleep(TURN / 2 + Duration::from_millis(10)).await;
        assert_eq!(Arc::strong_count(&identity), held - 1, "the first turn is over");
        tokio::time::sleep(TURN / 2).await;
        assert_eq!(Arc::strong_count(&identity), held - 2);
        assert!(!turns.shared.state().is_swept, "nobody waits for nothing");
        drop(turns.take((9, 100), UNIT, Arc::clone(&identity), |_| true));
        tokio::time::sleep(TURN + Duration::from_millis(10)).await;
        assert_eq!(Arc::strong_count(&identity), held - 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_away_goes_at_once_and_what_has_another_name_is_not_given() {
        let (mut identities, mut others) = (Identities::new(), Identities::of("/ns/bank/sa/ledger"));
        let (first, other) = (identities.next(), others.next());
        let turns = Turns::of(identities.reader.clone());
        drop(turns.take((7, 100), UNIT, Arc::clone(&first), |_| true));
        let has = turns.take((7, 100), UNIT, Arc::clone(&other), |_| true);
        assert_eq!(has.id(), other.id(), "the first may be forbidden by now");
        let turns = Turns::of(identities.reader.clone());
        drop(turns.take((7, 100), UNIT, Arc::clone(&first), |_| true));
        let moment = Duration::from_millis(1);
        tokio::time::sleep(moment).await;
        assert_eq!(turns.shared.state().turns.len(), 1);
        identities.next();
        tokio::time::sleep(moment).await;
        assert_eq!(turns.shared.state().turns.len(), 1, "a rotation");
        identities.clear();
        tokio::time::sleep(moment).await;
        assert_eq!(turns.shared.state().turns.len(), 0);
    }
}
