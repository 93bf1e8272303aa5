//! Places: of connections, and of handshakes in flight. In: connections that begin, and those that are done. Out: a turn. Who holds a place without getting
//! anywhere has it only until another one needs it, so that silent connections cannot keep others out.
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a handshake, or the hello of a connection, may take while others wait for its place.
const SHORT: Duration = Duration::from_secs(1);
/// Between two looks for such handshakes.
const LOOK: Duration = Duration::from_millis(50);

/// One route's places of one kind.
#[derive(Debug)]
pub(super) struct Turns {
    slots: Arc<Semaphore>,
    /// How many there are, taken or free.
    most: Mutex<usize>,
    first: First,
    waiting: Mutex<Waiting>,
    running: Mutex<Running>,
}

/// Who of those that wait has the next place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// In the order in which they came.
    Oldest,
    /// So that whoever comes is served, however many wait in vain: of those in front, each would have its second at a place before.
    Newest,
}

/// When one came, and a number of its own: two may have come at once.
type Came = (Instant, u64);

/// Those who wait, in the order in which they came. The first alone looks for a place.
#[derive(Debug, Default)]
struct Waiting {
    numbers: u64,
    bells: BTreeMap<Came, Arc<Notify>>,
}

/// One who waits; the next one is told when it is gone.
struct Wait<'a> {
    turns: &'a Turns,
    came: Came,
    /// Rung when it may have become the first, or is so no more.
    bell: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Running {
    came: u64,
    /// In the order in which they came.
    turns: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// A handshake in flight; its place is free again on drop.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) stay: Stay,
    _slot: OwnedSemaphorePermit,
}

/// One who may be asked to leave its place; not any more on drop.
#[derive(Debug)]
pub(super) struct Stay {
    turns: Arc<Turns>,
    number: u64,
    /// Cancelled when somebody else needs the place.
    pub(super) displaced: CancellationToken,
}

impl Turns {
    pub(super) fn new(most: usize, first: First) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(most)),
            most: Mutex::new(most),
            first,
            waiting: Mutex::default(),
            running: Mutex::default(),
        })
    }

    /// From now on there are so many. Nobody loses a place by it: where more are taken, the next ones that come free are no more.
    pub(super) fn resize(&self, most: usize) {
        let mut now = self.most.lock().unwrap_or_else(PoisonError::into_inner);
        if most > *now {
            self.slots.add_permits(most - *now);
        }
        let less = now.saturating_sub(most);
        let taken = less - self.slots.forget_permits(less);
        *now = most;
        if let Ok(taken @ 1..) = u32::try_from(taken) {
            let slots = Arc::clone(&self.slots);
            // It queues for them before all who come later.
            tokio::spawn(async move {
                if let Ok(gone) = slots.acquire_many(taken).await {
                    gone.forget();
                }
            });
        }
    }

    /// A place; none: all are taken.
    pub(super) fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Whether half of them are free, or more.
    pub(super) fn is_half_free(&self) -> bool {
        let most = *self.most.lock().unwrap_or_else(PoisonError::into_inner);
        self.slots.available_permits() * 2 >= most
    }

    /// Waits for a place, and asks the oldest of those that stay to leave if it had its time: one, whose place comes free as soon as its task runs.
    /// Who waits came `since` then, whenever its task got here. Cancelled without loss.
    pub(super) async fn wait(&self, since: Instant) -> Result<OwnedSemaphorePermit, AcquireError> {
        let wait = Wait::new(self, since);
        loop {
            while !wait.is_first() {
                wait.bell.notified().await;
            }
            // One that came free meanwhile is nobody's to be asked for.
            if let Some(slot) = self.free() {
                return Ok(slot);
            }
            let mut slot = pin!(Arc::clone(&self.slots).acquire_owned());
            loop {
                self.make_room();
                tokio::select! {
                    biased;
                    slot = slot.as_mut() => return slot,
                    () = wait.bell.notified() => break,
                    () = sleep(LOOK) => {}
                }
            }
        }
    }

    /// Begins a handshake at a place.
    pub(super) fn begin(self: &Arc<Self>, slot: OwnedSemaphorePermit) -> Turn {
        Turn {
            stay: self.stay(),
            _slot: slot,
        }
    }

    /// Stays at a place that one has already, until others need it.
    pub(super) fn stay(self: &Arc<Self>) -> Stay {
        let displaced = CancellationToken::new();
        let mut running = self.running();
        running.came += 1;
        let number = running.came;
        running.turns.insert(number, (Instant::now(), displaced.clone()));
        Stay {
            turns: Arc::clone(self),
            number,
            displaced,
        }
    }

    /// Asks the oldest to leave that had its time, unless one is leaving already.
    fn make_room(&self) {
        let is_leaving = |running: &Running| running.turns.values().any(|(_, asked)| asked.is_cancelled());
        if !is_leaving(&self.running()) {
            self.displace_oldest();
        }
    }

    /// Asks the oldest to leave that had its time.
    pub(super) fn displace_oldest(&self) {
        let running = self.running();
        let now = Instant::now();
        let mut late = running
            .turns
            .values()
            .take_while(|(since, _)| now >= *since + SHORT);
        if let Some((_, oldest)) = late.find(|(_, displaced)| !displaced.is_cancelled()) {
            oldest.cancel();
        }
    }

    /// Nothing in here panics half way.
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Turns::running`].
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Wait<'a> {
    fn new(turns: &'a Turns, since: Instant) -> Self {
        let bell = Arc::new(Notify::new());
        let mut waiting = turns.waiting();
        let before = waiting.first(turns.first).cloned();
        waiting.numbers += 1;
        let came = (since, waiting.numbers);
        waiting.bells.insert(came, Arc::clone(&bell));
        let is_first = waiting
            .first(turns.first)
            .is_some_and(|first| Arc::ptr_eq(first, &bell));
        if let (true, Some(before)) = (is_first, before) {
            before.notify_one();
        }
        Self { turns, came, bell }
    }

    fn is_first(&self) -> bool {
        let waiting = self.turns.waiting();
        let first = waiting.first(self.turns.first);
        first.is_some_and(|first| Arc::ptr_eq(first, &self.bell))
    }
}

impl Waiting {
    fn first(&self, first: First) -> Option<&Arc<Notify>> {
        let mut all = self.bells.values();
        match first {
            First::Oldest => all.next(),
            First::Newest => all.next_back(),
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting();
        waiting.bells.remove(&self.came);
        if let Some(next) = waiting.first(self.turns.first) {
            next.notify_one();
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.turns.running().turns.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_gets_nowhere_makes_room_after_a_second_and_not_before() {
        let turns = Turns::new(2, First::Oldest);
        let old = turns.begin(turns.free().unwrap());
        let young = turns.begin(turns.free().unwrap());
        assert!(turns.free().is_none(), "both are taken");
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.wait(Instant::now()).await.unwrap() }
        });
        old.stay.displaced.cancelled().await;
        assert!(begun.elapsed() >= SHORT, "it had its time: {:?}", begun.elapsed());
        assert!(!young.stay.displaced.is_cancelled(), "one place is enough");
        drop(old);
        let slot = waiting.await.unwrap();
        assert!(!young.stay.displaced.is_cancelled());
        drop((young, slot));
        assert!(turns.free().is_some());
        assert!(turns.running().turns.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_those_who_wait_displaces_one() {
        let turns = Turns::new(4, First::Oldest);
        let mut late: Vec<Turn> = (0..4).map(|_| turns.begin(turns.free().unwrap())).collect();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let turns = Arc::clone(&turns);
            waiting.spawn(async move { turns.wait(Instant::now()).await.unwrap() });
        }
        // The one that was asked to leave takes its time.
        sleep(SHORT * 10).await;
        let asked = |late: &[Turn]| {
            late.iter()
                .filter(|turn| turn.stay.displaced.is_cancelled())
                .count()
        };
        assert_eq!(asked(&late), 1, "for the first of the two");
        late.remove(0);
        let first = waiting.join_next().await.unwrap().unwrap();
        sleep(LOOK).await;
        assert_eq!(asked(&late), 1, "for the second");
        late.remove(0);
        let second = waiting.join_next().await.unwrap().unwrap();
        sleep(SHORT).await;
        assert_eq!(asked(&late), 0, "nobody waits any more");
        drop((first, second));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_displaced_where_a_place_is_free() {
        let turns = Turns::new(1, First::Newest);
        let old = turns.begin(turns.free().unwrap());
        let other = turns.stay();
        sleep(SHORT * 2).await;
        // It saw no place, and before it waits there is one.
        let Turn { stay, _slot } = old;
        drop(_slot);
        drop(turns.wait(Instant::now()).await.unwrap());
        assert!(!stay.displaced.is_cancelled() && !other.displaced.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn places_that_are_taken_count_when_there_are_more_or_fewer() {
        let turns = Turns::new(3, First::Oldest);
        let free = || std::iter::from_fn(|| turns.free()).collect::<Vec<_>>().len();
        let mut taken: Vec<_> = (0..3).map_while(|_| turns.free()).collect();
        turns.resize(4);
        assert_eq!(free(), 1, "one more");
        turns.resize(1);
        // Twice in a row, and up again before any came free.
        turns.resize(0);
        turns.resize(2);
        sleep(LOOK).await;
        assert_eq!(free(), 0, "three are taken of two");
        for (left, wanted) in [(2, 0), (1, 1), (0, 2)] {
            taken.truncate(left);
            sleep(LOOK).await;
            assert_eq!(free(), wanted, "{left} are taken of two");
        }
    }

    /// Each of those that wait would have a second at the place; who comes waits for one of them at most.
    #[tokio::test(start_paused = true)]
    async fn whoever_comes_last_is_served_however_many_wait_where_that_is_wanted() {
        for (first, longest, shortest) in [
            (First::Newest, SHORT + LOOK, Duration::ZERO),
            (First::Oldest, SHORT * 102, SHORT * 99),
        ] {
            let turns = Turns::new(1, first);
            let mut hold = tokio::task::JoinSet::new();
            for _ in 0..100 {
                let turns = Arc::clone(&turns);
                hold.spawn(async move {
                    let turn = match turns.free() {
                        Some(slot) => turns.begin(slot),
                        None => turns.begin(turns.wait(Instant::now()).await.unwrap()),
                    };
                    turn.stay.displaced.cancelled().await;
                });
            }
            sleep(LOOK).await;
            let begun = Instant::now();
            drop(turns.wait(Instant::now()).await.unwrap());
            let waited = begun.elapsed();
            assert!((shortest..=longest).contains(&waited), "{first:?}: {waited:?}");
            // And the others after it.
            sleep(SHORT * 102).await;
            assert!(turns.waiting().bells.is_empty(), "{first:?}");
            hold.shutdown().await;
        }
    }

    /// The task of one that came earlier may get here later.
    #[tokio::test(start_paused = true)]
    async fn who_came_last_is_first_whoever_asks_first() {
        for (first, wanted) in [(First::Newest, [3, 2, 1]), (First::Oldest, [1, 2, 3])] {
            let turns = Turns::new(1, first);
            let held = turns.free().unwrap();
            let begun = Instant::now();
            let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
            for came in [2, 3, 1] {
                let (turns, sender) = (Arc::clone(&turns), sender.clone());
                tokio::spawn(async move {
                    let slot = turns.wait(begun + LOOK * came).await.unwrap();
                    sender.send(came).unwrap();
                    drop(slot);
                });
            }
            sleep(LOOK / 2).await;
            drop(held);
            let mut order = [0; 3];
            for came in &mut order {
                *came = served.recv().await.unwrap();
            }
            assert_eq!(order, wanted, "{first:?}");
        }
    }

    /// One that gives up while it is the first, or was just served, leaves the others as they were.
    #[tokio::test(start_paused = true)]
    async fn those_who_give_up_keep_nobody_waiting() {
        for first in [First::Newest, First::Oldest] {
            let turns = Turns::new(1, first);
            let held = turns.begin(turns.free().unwrap());
            let mut waiting = tokio::task::JoinSet::new();
            for milliseconds in [500, 100, 300, 10_000, 200, 400] {
                let turns = Arc::clone(&turns);
                let patience = Duration::from_millis(milliseconds);
                waiting.spawn(async move {
                    tokio::time::timeout(patience, turns.wait(Instant::now()))
                        .await
                        .is_ok()
                });
            }
            sleep(Duration::from_millis(600)).await;
            drop(held);
            let mut served = 0;
            while let Some(one) = waiting.join_next().await {
                served += usize::from(one.unwrap());
            }
            assert_eq!(served, 1, "{first:?}: the patient one");
            assert!(turns.free().is_some());
        }
    }
}
