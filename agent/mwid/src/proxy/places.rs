//! Places: of connections, and of handshakes in flight. In: connections that begin, and those that are done. Out: a turn. Who holds a place without getting
//! anywhere has it only until another one needs it, so that silent connections cannot keep others out.
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{AcquireError, Mutex as Queue, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a handshake, or the first byte of a connection, may take while others wait for its place.
const SHORT: Duration = Duration::from_secs(1);
/// Between two looks for such handshakes.
const LOOK: Duration = Duration::from_millis(50);

/// One route's places of one kind.
#[derive(Debug)]
pub(super) struct Turns {
    slots: Arc<Semaphore>,
    /// Who waits for a place, in the order in which they came: the first alone looks for one.
    queue: Queue<()>,
    running: Mutex<Running>,
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
    pub(super) fn new(most: usize) -> Arc<Self> {
        Self::of(Arc::new(Semaphore::new(most)))
    }

    /// Of places that are there already.
    pub(super) fn of(slots: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            slots,
            queue: Queue::default(),
            running: Mutex::default(),
        })
    }

    /// A place; none: all are taken.
    pub(super) fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Waits for a place, and asks the oldest of those that stay to leave if it had its time: one, whose place comes free as soon as its task runs.
    /// Cancelled without loss.
    pub(super) async fn wait(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let _first = self.queue.lock().await;
        let mut slot = pin!(Arc::clone(&self.slots).acquire_owned());
        while !self.displace_oldest() {
            if let Ok(slot) = tokio::time::timeout(LOOK, slot.as_mut()).await {
                return slot;
            }
        }
        slot.await
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

    /// Asks the oldest to leave that had its time. True when somebody was asked.
    pub(super) fn displace_oldest(&self) -> bool {
        let running = self.running();
        let now = Instant::now();
        let mut late = running
            .turns
            .values()
            .take_while(|(since, _)| now >= *since + SHORT);
        let oldest = late.find(|(_, displaced)| !displaced.is_cancelled());
        oldest.inspect(|(_, displaced)| displaced.cancel()).is_some()
    }

    /// Nothing in here panics half way.
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
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
        let turns = Turns::new(2);
        let old = turns.begin(turns.free().unwrap());
        let young = turns.begin(turns.free().unwrap());
        assert!(turns.free().is_none(), "both are taken");
        let begun = Instant::now();
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.wait().await.unwrap() }
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
        let turns = Turns::new(4);
        let mut late: Vec<Turn> = (0..4).map(|_| turns.begin(turns.free().unwrap())).collect();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let turns = Arc::clone(&turns);
            waiting.spawn(async move { turns.wait().await.unwrap() });
        }
        // The one that was asked to leave takes its time.
        tokio::time::sleep(SHORT * 10).await;
        let asked = |late: &[Turn]| {
            late.iter()
                .filter(|turn| turn.stay.displaced.is_cancelled())
                .count()
        };
        assert_eq!(asked(&late), 1, "for the first of the two");
        late.remove(0);
        let first = waiting.join_next().await.unwrap().unwrap();
        tokio::time::sleep(LOOK).await;
        assert_eq!(asked(&late), 1, "for the second");
        late.remove(0);
        let second = waiting.join_next().await.unwrap().unwrap();
        tokio::time::sleep(SHORT).await;
        assert_eq!(asked(&late), 0, "nobody waits any more");
        drop((first, second));
    }
}
