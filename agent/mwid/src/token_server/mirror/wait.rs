//! Waits for changes. In: a key, and what the caller knows of it. Out: the next value, or the present one when the time is over. All who wait for the
//! same change are one question at the platform. Never gives up because the platform is away.
use super::ask::{Asker, Heard, locked};
use super::key::Key;
use super::metrics::Counted;
use super::query::Wait;
use super::trouble::Trouble;
use super::{LONGEST_WAIT, Mirror};
use crate::backoff::Backoff;
use crate::http::Holder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// Callers who wait at once. What one user may take of them, the doors decide with their places: a quarter of each door's. There are three
/// doors as a rule, so that the most that one user can hold leaves more than half of these to others.
pub(super) const CALLERS: usize = 2 * crate::token_server::CONNECTIONS;

/// Questions that wait at the platform at once. Keys beyond them are looked at now and then.
const POLLS: usize = 32;
const LOOK: Duration = Duration::from_secs(10);

/// How long the platform is asked to wait, and how long it may take for that.
const ROUND: Duration = Duration::from_secs(300);
const SLACK: Duration = Duration::from_secs(10);

/// After a failure, or a server that does not wait.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A key, and the ETag that is to change.
type Change = (Key, String);

/// Where what became of a question is told to all who wait for it.
type Teller = Arc<watch::Sender<Option<Heard>>>;

pub(super) struct Waiting {
    callers: Semaphore,
    polls: Semaphore,
    asked: Mutex<HashMap<Change, Teller>>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self {
            callers: Semaphore::new(CALLERS),
            polls: Semaphore::new(POLLS),
            asked: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        locked(&self.asked).len()
    }
}

impl Mirror {
    /// The value once it differs from what the caller knows, or when its time is over.
    pub(super) async fn changed(
        &self,
        asker: &Arc<Asker>,
        key: &Key,
        wait: Wait,
        whose: Option<Holder>,
    ) -> Heard {
        let Ok(_place) = self.waiting.callers.try_acquire() else {
            return Err(Trouble::Crowded);
        };
        let _waiting = Counted::in_(&asker.metrics.waiting);
        let until = Instant::now() + wait.timeout.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        let present = asker.get(key, whose).await?;
        // What has no ETag is no value that could change.
        let Some(tag) = present.tag().filter(|_| present.is_value()) else {
            return Ok(present);
        };
        if wait.last_etag.is_some_and(|known| known != tag) {
            return Ok(present);
        }
        let change = (key.clone(), tag.to_owned());
        loop {
            let mut told = self.join(asker, &change);
            tokio::select! {
                biased;
                () = asker.shutdown.asked() => return Err(Trouble::Stopping),
                heard = heard(&mut told) => {
                    // With none the question ended in the moment in which we came: it is asked anew.
                    if let Some(heard) = heard {
                        return heard;
                    }
                }
                () = sleep_until(until) => return asker.get(key, whose).await,
            }
        }
    }

    /// The question for this change that is under way; if there is none, it begins.
    fn join(&self, asker: &Arc<Asker>, change: &Change) -> watch::Receiver<Option<Heard>> {
        let mut asked = locked(&self.waiting.asked);
        if let Some(tell) = asked.get(change) {
            return tell.subscribe();
        }
        let (tell, told) = watch::channel(None);
        let tell = Arc::new(tell);
        asked.insert(change.clone(), Arc::clone(&tell));
        drop(asked);
        let poll = Poll {
            asker: Arc::clone(asker),
            waiting: Arc::clone(&self.waiting),
            change: change.clone(),
        };
        asker.shutdown.spawn(async move { poll.run(&tell).await });
        told
    }
}

/// What became of the question; none: it ended because nobody waited.
async fn heard(told: &mut watch::Receiver<Option<Heard>>) -> Option<Heard> {
    told.wait_for(Option::is_some).await.ok()?.clone()
}

/// One question that waits at the platform for as long as somebody waits for it.
struct Poll {
    asker: Arc<Asker>,
    waiting: Arc<Waiting>,
    change: Change,
}

impl Poll {
    async fn run(self, tell: &watch::Sender<Option<Heard>>) {
        let heard = tokio::select! {
            biased;
            () = self.asker.shutdown.asked() => Err(Trouble::Stopping),
            () = self.deserted(tell) => return,
            heard = self.next() => heard,
        };
        self.asker.remember(&self.change.0, &heard);
        locked(&self.waiting.asked).remove(&self.change);
        tell.send_replace(Some(heard));
    }

    /// Nobody waits any more, and nobody can come any more.
    async fn deserted(&self, tell: &watch::Sender<Option<Heard>>) {
        loop {
            tell.closed().await;
            let mut asked = locked(&self.waiting.asked);
            if tell.is_closed() {
                asked.remove(&self.change);
                return;
            }
        }
    }

    /// The first answer that is another one.
    async fn next(&self) -> Heard {
        let (key, tag) = &self.change;
        let mut pause = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let began = Instant::now();
            match self.round().await {
                Ok(said) if said.is_value() && said.tag() == Some(tag) => {
                    self.asker.remember(key, &Ok(said));
                    if began.elapsed() < PAUSE.0 {
                        sleep(pause.next()).await;
                    } else {
                        pause.reset();
                    }
                }
                Ok(said) => return Ok(said),
                // Away: whoever waits goes on waiting.
                Err(_) => sleep(pause.next()).await,
            }
        }
    }

    async fn round(&self) -> Heard {
        let (key, tag) = &self.change;
        let Ok(_place) = self.waiting.polls.try_acquire() else {
            sleep(LOOK).await;
            return self.asker.once(key, None, &Notify::new()).await;
        };
        let _poll = Counted::in_(&self.asker.metrics.polls);
        let question = key.question(Some((tag, ROUND.as_secs())));
        self.asker.ask(key, &question, Some(ROUND + SLACK)).await
    }
}
