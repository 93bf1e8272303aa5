//! The hub: what holds at the Workload API now, for all subscribers.
//!
//! In: the store, the time, whether an identity is wanted. Out: the newest edition or why there is none, in one place that all subscribers watch:
//! the latest wins, and nobody waits for anybody. Never encodes for a subscriber, never hands out what has expired.
use super::edition::Edition;
use crate::clock::ClockJumps;
use crate::health::{Board, Condition, Part};
use crate::shutdown::Shutdown;
use mtls_identity::{Clock, IdentitySnapshot, Reader, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What holds now.
#[derive(Clone, Debug)]
pub(super) enum Now {
    /// There is no identity, and none is wanted (`identity.source: none`).
    Unwanted,
    /// There is none yet, or it was taken away and another one is waited for.
    Waiting,
    Expired(UnixTime),
    Alive(Arc<Edition>),
}

/// Where subscribers come to. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    now: watch::Receiver<Now>,
    clock: Clock,
}

/// One subscriber's memory of what it has seen.
#[derive(Debug)]
pub(super) struct Subscription(watch::Receiver<Now>);

/// What the hub looks at.
pub(super) struct Surroundings {
    pub(super) reader: Reader,
    pub(super) clock: Clock,
    /// Whether there is a source of identities.
    pub(super) wanted: watch::Receiver<bool>,
    /// How many listeners there are.
    pub(super) listeners: watch::Receiver<usize>,
    pub(super) board: Board,
}

/// The name of this part on the health board.
const PART: &str = "workload";

/// What clients of gRPC take in one message if nothing else was said to them.
const CLIENTS_TAKE: usize = 4 * 1024 * 1024;

/// In its last second an identity's end is looked for this often: clocks tell whole seconds.
const LAST_SECOND: Duration = Duration::from_millis(100);

impl Hub {
    /// Starts the task that follows the store. It ends with `shutdown`, and with it all subscriptions.
    pub(super) fn start(surroundings: Surroundings, shutdown: &Shutdown) -> Self {
        let clock = Clock::clone(&surroundings.clock);
        let mut desk = Desk {
            around: surroundings,
            told: watch::Sender::new(Now::Waiting),
            part: None,
        };
        let now = desk.told.subscribe();
        desk.tell();
        desk.report();
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = stop.asked() => {}
                () = desk.follow() => {}
            }
        });
        Self { now, clock }
    }

    /// What holds now.
    pub(super) fn now(&self) -> Now {
        self.judged(self.now.borrow().clone())
    }

    pub(super) fn subscribe(&self) -> Subscription {
        Subscription(self.now.clone())
    }

    /// The task may be a moment behind the clock; nobody gets anything in that moment.
    pub(super) fn judged(&self, now: Now) -> Now {
        match now {
            Now::Alive(edition) if is_over(&edition.identity, &self.clock) => {
                Now::Expired(edition.identity.not_after())
            }
            now => now,
        }
    }

    /// How long an identity lives on that ends then. It is over a moment after the second in which it ends.
    pub(super) fn left(&self, not_after: UnixTime) -> Duration {
        let end = not_after.as_secs().saturating_add(1);
        let now = self.clock.current_time().map_or(u64::MAX, |now| now.as_secs());
        Duration::from_secs(end.saturating_sub(now))
    }
}

impl Subscription {
    /// What the task told last, to be [judged](Hub::judged); from here on [`Subscription::changed`] waits for something else.
    pub(super) fn now(&mut self) -> Now {
        self.0.borrow_and_update().clone()
    }

    /// Returns when there is something else to see. False: there never will be, for mwid ends.
    pub(super) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// The one task's.
struct Desk {
    around: Surroundings,
    told: watch::Sender<Now>,
    /// While somebody listens.
    part: Option<Part>,
}

impl Desk {
    async fn follow(mut self) {
        let mut jumps = ClockJumps::new();
        loop {
            let end = self.wait();
            let time = async {
                match end {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                switched = self.around.reader.switched() => if !switched { return },
                changed = self.around.wanted.changed() => if changed.is_err() { return },
                changed = self.around.listeners.changed() => if changed.is_err() { return },
                () = time => {}
                () = jumps.next() => {}
            }
            self.tell();
            self.report();
        }
    }

    fn tell(&mut self) {
        let switched_at = Instant::now();
        let wanted = *self.around.wanted.borrow_and_update();
        let current = self.around.reader.current();
        let before = self.told.borrow().clone();
        let now = match (current, &before) {
            (None, _) if wanted => Now::Waiting,
            (None, _) => Now::Unwanted,
            (Some(identity), _) if is_over(&identity, &self.around.clock) => {
                Now::Expired(identity.not_after())
            }
            (Some(identity), Now::Alive(edition)) if Arc::ptr_eq(&identity, &edition.identity) => return,
            (Some(identity), Now::Alive(edition))
                if identity.generation() == edition.identity.generation() =>
            {
                // Nobody is woken: what they have is the same.
                let retimed = Arc::new(edition.retimed(identity));
                self.told.send_if_modified(|now| {
                    *now = Now::Alive(retimed);
                    false
                });
                return;
            }
            (Some(identity), Now::Alive(edition)) => {
                Now::Alive(Arc::new(Edition::new(identity, Some(edition), switched_at)))
            }
            (Some(identity), _) => Now::Alive(Arc::new(Edition::new(identity, None, switched_at))),
        };
        if std::mem::discriminant(&now) != std::mem::discriminant(&before) || matches!(now, Now::Alive(_)) {
            self.told.send_replace(now);
        }
    }

    /// Tells the board.
    fn report(&mut self) {
        if *self.around.listeners.borrow_and_update() == 0 {
            self.part = None;
            return;
        }
        let condition = match &*self.told.borrow() {
            Now::Alive(edition) if edition.largest() > CLIENTS_TAKE => Condition::Degraded(format!(
                "the trust bundles make messages of {} bytes, of which most clients take {CLIENTS_TAKE}: federate fewer trust domains",
                edition.largest()
            )),
            _ => Condition::Ok,
        };
        self.part
            .get_or_insert_with(|| self.around.board.part(PART))
            .set(condition);
    }

    /// How long until the clock alone changes something.
    fn wait(&self) -> Option<Duration> {
        let identity = self.around.reader.current()?;
        let now = self.around.clock.current_time()?.as_secs();
        match identity
            .not_after()
            .as_secs()
            .saturating_add(1)
            .checked_sub(now)?
        {
            0 => None,
            1 => Some(LAST_SECOND),
            left => Some(Duration::from_secs(left - 1)),
        }
    }
}

/// `notAfter` belongs to the validity (RFC 5280, 4.1.2.5). A clock that cannot say the time proves nothing.
fn is_over(identity: &IdentitySnapshot, clock: &Clock) -> bool {
    clock
        .current_time()
        .is_none_or(|now| now.as_secs() > identity.not_after().as_secs())
}
