//! Asks the platform: one question a key at a time, whoever wants it and whoever stops waiting. In: keys. Out: answers, remembered, or why there is
//! none. Never lets a caller who could have the last value wait for a slow platform.
use super::key::Key;
use super::memory::{Known, Memory};
use super::metrics::Metrics;
use super::platform::Platform;
use super::said::Said;
use super::trouble::Trouble;
use crate::backoff::Backoff;
use crate::http::Holder;
use crate::http::shares::Seats;
use crate::http::turns::Turns;
use crate::shutdown::Shutdown;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What came of a question.
pub(super) type Heard = Result<Arc<Said>, Trouble>;

/// How long a caller who could have the last value waits for the present one, counted from when it was asked for.
pub(super) const GRACE: Duration = Duration::from_millis(200);

/// Questions at the platform at once. Others wait for their turn; a user who asks for much waits for his own.
const AT_ONCE: usize = 8;

/// Questions under way, with those that wait for their turn. A question outlives a caller who leaves, so that the callers' places do not bound
/// them: whoever asks for ever more keys and leaves must not fill the memory. One user
/// has a quarter of them, so that he leaves room for others.
pub(super) const MOST_FLIGHTS: usize = 512;

/// A platform that is replaced refuses work for less than a second.
const TRIES: u32 = 3;
const PAUSE: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(600));

/// The same for what is asked for before anybody does.
const LEARN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Between two lines in the log about a platform that is away.
const QUIET: Duration = Duration::from_secs(60);

/// Who asks, and what was heard.
pub(super) struct Asker {
    platform: Box<dyn Platform>,
    memory: Mutex<Memory>,
    flights: Mutex<HashMap<Key, Flight>>,
    turns: Turns,
    seats: Arc<Seats>,
    told: Mutex<Told>,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
}

/// A question that is under way.
#[derive(Clone)]
struct Flight {
    since: Instant,
    heard: watch::Receiver<Option<Heard>>,
    /// Who began it, and how to tell that somebody else waits for it too.
    whose: Option<Holder>,
    wanted: Arc<Notify>,
}

/// What the log knows.
#[derive(Default)]
struct Told {
    away: bool,
    at: Option<Instant>,
}

impl Asker {
    pub(super) fn new(platform: Box<dyn Platform>, metrics: Metrics, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self {
            platform,
            memory: Mutex::default(),
            flights: Mutex::default(),
            turns: Turns::new(AT_ONCE),
            seats: Seats::new(MOST_FLIGHTS),
            told: Mutex::default(),
            metrics,
            shutdown,
        })
    }

    /// The present answer, or the last one if the platform is slow or away.
    pub(super) async fn get(self: &Arc<Self>, key: &Key, whose: Option<Holder>) -> Heard {
        let old = match locked(&self.memory).known(key, Instant::now()) {
            Known::Fresh(said) => {
                self.metrics.hits.inc();
                return Ok(said);
            }
            Known::StandIn(said) => {
                self.metrics.stale.inc();
                return Ok(said);
            }
            Known::Failed(why, _) => return Err(why),
            Known::Old(said) => Some(said),
            Known::Ask => None,
        };
        let Some(mut flight) = self.join(key, whose) else {
            return self.stand_in(old, Trouble::Crowded);
        };
        let done = flight.heard.wait_for(Option::is_some);
        let heard = match &old {
            None => done.await,
            Some(_) => match tokio::time::timeout_at(flight.since + GRACE, done).await {
                Ok(done) => done,
                Err(_) => return self.stand_in(old, Trouble::Stopping),
            },
        };
        match heard.map(|heard| heard.clone()) {
            Ok(Some(Ok(said))) => Ok(said),
            Ok(Some(Err(why))) => self.stand_in(old, why),
            // The one who asks has ended without a word: mwid stops.
            Ok(None) | Err(_) => self.stand_in(old, Trouble::Stopping),
        }
    }

    /// Asks until there is an answer.
    pub(super) async fn learn(self: &Arc<Self>, key: &Key) {
        let mut pause = Backoff::new(LEARN.0, LEARN.1);
        while self.get(key, None).await.is_err() {
            tokio::time::sleep(pause.next()).await;
        }
    }

    fn stand_in(&self, old: Option<Arc<Said>>, why: Trouble) -> Heard {
        let said = old.ok_or(why)?;
        self.metrics.stale.inc();
        Ok(said)
    }

    /// The question about this key that is under way; if there is none, it begins. None: too many are under way, or too many of his.
    fn join(self: &Arc<Self>, key: &Key, whose: Option<Holder>) -> Option<Flight> {
        let mut flights = locked(&self.flights);
        if let Some(flight) = flights.get(key) {
            if flight.whose != whose {
                flight.wanted.notify_one();
            }
            return Some(flight.clone());
        }
        if flights.len() >= MOST_FLIGHTS {
            return None;
        }
        let seat = match whose {
            Some(_) => Some(self.seats.take(whose)?),
            None => None,
        };
        let (tell, heard) = watch::channel(None);
        let flight = Flight {
            since: Instant::now(),
            heard,
            whose,
            wanted: Arc::default(),
        };
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let (asker, key, wanted) = (Arc::clone(self), key.clone(), Arc::clone(&flight.wanted));
        self.shutdown.spawn(async move {
            let _seat = seat;
            let heard = tokio::select! {
                biased;
                () = asker.shutdown.asked() => Err(Trouble::Stopping),
                heard = asker.insist(&key, whose, &wanted) => heard,
            };
            asker.remember(&key, &heard);
            // First remembered, then no longer under way: whoever comes in between finds one of them.
            locked(&asker.flights).remove(&key);
            tell.send_replace(Some(heard));
        });
        Some(flight)
    }

    /// Asks again where that is likely to help.
    async fn insist(&self, key: &Key, whose: Option<Holder>, wanted: &Notify) -> Heard {
        let mut pause = Backoff::new(PAUSE.0, PAUSE.1);
        for _ in 1..TRIES {
            match self.once(key, whose, wanted).await {
                Err(why) if why.passes() => tokio::time::sleep(pause.next()).await,
                heard => return heard,
            }
        }
        self.once(key, whose, wanted).await
    }

    /// Asks once, in turn.
    pub(super) async fn once(&self, key: &Key, whose: Option<Holder>, wanted: &Notify) -> Heard {
        let _turn = self.turns.next(whose, wanted).await;
        self.ask(key, &key.question(None), None).await
    }

    /// Asks once, now.
    pub(super) async fn ask(&self, key: &Key, question: &str, within: Option<Duration>) -> Heard {
        let path = || key.path.clone();
        let heard = match self.platform.ask(question, within).await {
            Err(error) => Err(Trouble::Away {
                path: path(),
                source: Arc::new(error),
            }),
            Ok(answer) => match answer.status.as_u16() {
                status @ (429 | 500..=599) => Err(Trouble::Busy { path: path(), status }),
                _ => match Said::of(key, answer) {
                    Ok(said) => Ok(Arc::new(said)),
                    Err(error) => Err(Trouble::Unreadable {
                        path: path(),
                        source: Arc::new(error),
                    }),
                },
            },
        };
        self.metrics.asked(outcome(&heard));
        self.log(&heard);
        heard
    }

    pub(super) fn remember(&self, key: &Key, heard: &Heard) {
        let now = Instant::now();
        let mut memory = locked(&self.memory);
        match heard {
            Ok(said) => memory.answered(key, said, now),
            Err(Trouble::Stopping) => {}
            Err(why) => memory.failed(key, why.clone(), now),
        }
    }

    /// When it makes sense to ask again for a key that failed.
    pub(super) fn retry_after(&self, key: &Key) -> Duration {
        match locked(&self.memory).known(key, Instant::now()) {
            Known::Failed(_, after) => after,
            _ => Duration::from_secs(1),
        }
    }

    /// One line when the platform goes away and one when it is back, however many callers meet it.
    fn log(&self, heard: &Heard) {
        let mut told = locked(&self.told);
        match heard {
            Ok(_) if std::mem::take(&mut told.away) => {
                tracing::info!("the platform's metadata server answers again");
            }
            Ok(_) => {}
            Err(why) => {
                let now = Instant::now();
                if told.at.is_none_or(|at| now - at >= QUIET) {
                    (told.away, told.at) = (true, Some(now));
                    tracing::warn!(
                        error = why as &dyn std::error::Error,
                        "callers get the metadata that mwid remembers"
                    );
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        locked(&self.flights).len()
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        locked(&self.memory).size()
    }
}

/// Out of a small fixed set.
fn outcome(heard: &Heard) -> &'static str {
    match heard {
        Err(why) => why.reason(),
        Ok(said) if said.status.is_success() => "ok",
        Ok(said) => match said.status.as_u16() {
            301 => "moved",
            404 => "not_found",
            _ => "refused",
        },
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these; if it did, what is in there is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
