//! The places for handshakes in flight. In: connections that begin, and those that are done. Out: a turn. Who holds a turn without getting anywhere has
//! it only until another one needs it, so that silent connections cannot keep others out.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a handshake may take while others wait for its place.
const SHORT: Duration = Duration::from_secs(1);
/// Between two looks for such handshakes.
const LOOK: Duration = Duration::from_millis(50);

/// The turns of one route.
#[derive(Debug)]
pub(super) struct Turns {
    slots: Arc<Semaphore>,
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
    turns: Arc<Turns>,
    number: u64,
    /// Cancelled when somebody else needs the place.
    pub(super) displaced: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(most)),
            running: Mutex::default(),
        })
    }

    /// A place to be filled with [`Turns::begin`]; none: all are taken.
    pub(super) fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    /// Waits for a place, and asks the oldest handshake to leave if it had its time. Cancelled without loss.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            self.displace_oldest();
            let slot = Arc::clone(&self.slots).acquire_owned();
            match tokio::time::timeout(LOOK, slot).await {
                Ok(slot) => return slot.ok(),
                Err(_elapsed) => {}
            }
        }
    }

    /// Begins a handshake at a place.
    pub(super) fn begin(self: &Arc<Self>, slot: OwnedSemaphorePermit) -> Turn {
        let displaced = CancellationToken::new();
        let mut running = self.running();
        running.came += 1;
        let number = running.came;
        running.turns.insert(number, (Instant::now(), displaced.clone()));
        Turn {
            turns: Arc::clone(self),
            number,
            displaced,
            _slot: slot,
        }
    }

    fn displace_oldest(&self) {
        let running = self.running();
        let now = Instant::now();
        let mut late = running
            .turns
            .values()
            .take_while(|(since, _)| now >= *since + SHORT);
        if let Some((_, displaced)) = late.find(|(_, displaced)| !displaced.is_cancelled()) {
            displaced.cancel();
        }
    }

    /// Nothing in here panics half way.
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
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
        old.displaced.cancelled().await;
        assert!(begun.elapsed() >= SHORT, "it had its time: {:?}", begun.elapsed());
        assert!(!young.displaced.is_cancelled(), "one place is enough");
        drop(old);
        let slot = waiting.await.unwrap();
        assert!(!young.displaced.is_cancelled());
        drop((young, slot));
        assert!(turns.free().is_some());
        assert!(turns.running().turns.is_empty());
    }
}
