//! All that is known about one question. In: what was fetched for it, who asks, the time. Out: what to do for who asks, and when to look
//! again. Never fetches itself, never reads a clock.
use super::held::{Held, some_of};
use super::kept::Kept;
use super::times::Moment;
use crate::backoff::Backoff;
use crate::http::Holder;
use crate::tokens::{Failure, TokenError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What all who wait for a fetch are told.
pub(super) type Outcome<V> = Result<Arc<V>, TokenError>;

/// A token with less left than this is worth a short wait for its successor, in seconds.
const FRESH: u64 = 240;

/// That short wait, from the moment the fetch began.
const LINGER: Duration = Duration::from_millis(200);

/// Between two tries, while the source fails or hands out the same old token.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The longest that a source's own wish to be left alone is honoured.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// How long a no is remembered that asking again does not change.
const REMEMBER_NO: Duration = Duration::from_secs(10);

/// The longest pause between two unasked tries after such a no: who asks is still told anew.
const LONGEST_NO: Duration = Duration::from_secs(300);

/// Somebody who asked so shortly ago will ask again: an expired token is tried for again unasked.
const RECENTLY: Duration = Duration::from_secs(600);

pub(super) struct Slot<V> {
    held: Option<Held<V>>,
    flight: Option<Flight<V>>,
    /// Why the last fetch failed, and at which kind of source.
    trouble: Option<(&'static str, TokenError)>,
    /// By the time since boot: not asked again before.
    not_before: Duration,
    backoff: Backoff,
    /// The same for tries that nobody asks for, when that is later.
    not_unasked_before: Duration,
    /// Their pause after a no that asking again does not change.
    no_backoff: Backoff,
    /// Fetched and renewed whether somebody asks or not.
    pinned: bool,
    /// There was a token once.
    had_one: bool,
    /// Since the last fetch.
    used: AtomicBool,
    /// When it was last asked for, in milliseconds since boot.
    touched: AtomicU64,
    /// How often it was asked for: none, once, more.
    uses: AtomicU8,
    /// What the shelf counts for it.
    pub(super) weight: usize,
}

/// A fetch under way.
pub(super) struct Flight<V> {
    began: Instant,
    pub(super) line: Arc<Line>,
    pub(super) done: watch::Receiver<Option<Outcome<V>>>,
}

/// Where a fetch waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Who wants it. None: mwid itself.
    pub(super) whose: Option<Holder>,
    /// Rung when somebody else waits for it too.
    pub(super) wanted: Notify,
}

impl<V> Clone for Flight<V> {
    fn clone(&self) -> Self {
        Self {
            began: self.began,
            line: Arc::clone(&self.line),
            done: self.done.clone(),
        }
    }
}

impl<V> Flight<V> {
    /// Somebody waits for it.
    pub(super) fn join(&self, whose: Option<Holder>) {
        if self.line.whose != whose {
            self.line.wanted.notify_one();
        }
    }

    /// Until when somebody who has a valid token may wait for this.
    pub(super) fn linger(&self) -> Instant {
        self.began + LINGER
    }
}

/// What to do for who asks.
pub(super) enum Verdict<V> {
    Serve(Arc<V>),
    /// Serve, and fetch in the background.
    Renew(Arc<V>),
    /// A fetch has just begun: wait a moment, then serve what there is.
    Linger(Arc<V>, Flight<V>),
    /// Fetch, and wait for it.
    Fetch,
    Wait(Flight<V>),
    Fail(TokenError),
}

impl<V: Kept> Slot<V> {
    pub(super) fn new(pinned: bool) -> Self {
        Self {
            held: None,
            flight: None,
            trouble: None,
            not_before: Duration::ZERO,
            backoff: Backoff::new(FIRST_RETRY, LAST_RETRY),
            not_unasked_before: Duration::ZERO,
            no_backoff: Backoff::new(REMEMBER_NO, LONGEST_NO),
            pinned,
            had_one: false,
            used: AtomicBool::new(false),
            touched: AtomicU64::new(0),
            uses: AtomicU8::new(0),
            weight: 0,
        }
    }

    /// The hot path: the answer, if there is nothing to do but to hand it out.
    pub(super) fn glance(&self, now: Moment) -> Option<&Arc<V>> {
        let held = self.held.as_ref()?;
        if !held.is_settled(now) || !held.is_valid(now) {
            return None;
        }
        let nothing_to_do =
            !held.is_old(now) || !(self.may_ask(now) || self.is_worth_a_moment(held, now).is_some());
        nothing_to_do.then_some(&held.value)
    }

    /// Somebody asks.
    pub(super) fn touch(&self, now: Moment) {
        // Written only when it changes something: all threads read these lines.
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
        let millis = u64::try_from(now.boot.as_millis()).unwrap_or(u64::MAX);
        if millis.saturating_sub(self.touched.load(Relaxed)) >= 1000 {
            self.touched.store(millis, Relaxed);
        }
        let uses = self.uses.load(Relaxed);
        if uses < 2 {
            self.uses.store(uses + 1, Relaxed);
        }
    }

    pub(super) fn verdict(&mut self, now: Moment) -> Verdict<V> {
        self.settle(now);
        let Some(held) = &self.held else {
            return match &self.flight {
                Some(flight) => Verdict::Wait(flight.clone()),
                None if now.boot < self.not_before => match self.refusal(now) {
                    Some(error) => Verdict::Fail(error),
                    None => Verdict::Fetch,
                },
                None => Verdict::Fetch,
            };
        };
        let value = Arc::clone(&held.value);
        if held.is_old(now) && self.may_ask(now) {
            return Verdict::Renew(value);
        }
        match self.is_worth_a_moment(held, now) {
            Some(flight) => Verdict::Linger(value, flight.clone()),
            None => Verdict::Serve(value),
        }
    }

    /// A fetch begins for somebody. Who calls this runs it, and tells its end to [`Slot::land`] and to who waits.
    pub(super) fn begin(&mut self, whose: Option<Holder>) -> (Flight<V>, watch::Sender<Option<Outcome<V>>>) {
        let (tell, done) = watch::channel(None);
        let flight = Flight {
            began: Instant::now(),
            line: Arc::new(Line {
                whose,
                ..Line::default()
            }),
            done,
        };
        self.flight = Some(flight.clone());
        (flight, tell)
    }

    /// The fetch that was begun has ended.
    pub(super) fn land(
        &mut self,
        kind: &'static str,
        outcome: Outcome<V>,
        asked: Moment,
        now: Moment,
    ) -> Outcome<V> {
        self.flight = None;
        let outcome = outcome.and_then(|value| {
            let held = Held::new(value, asked);
            if held.is_valid(now) {
                Ok(held)
            } else {
                Err(TokenError::ExpiredAlready { kind })
            }
        });
        match outcome {
            Ok(held) => {
                if self.held.as_ref().is_none_or(|before| !before.ends_with(&held)) {
                    // However short it lives: nobody has used this one.
                    self.used.store(false, Relaxed);
                }
                if held.is_old(now) {
                    // The platform keeps its token until 5:00 are left, by its own clock: again in a moment.
                    self.not_before = now.boot + self.backoff.next();
                } else {
                    self.backoff.reset();
                    self.not_before = now.boot;
                    self.used.store(false, Relaxed);
                }
                self.no_backoff.reset();
                self.not_unasked_before = self.not_before;
                self.trouble = None;
                self.had_one = true;
                Ok(Arc::clone(&self.held.insert(held).value))
            }
            // The source was not asked: what is known of it still holds.
            Err(error @ (TokenError::NoTurn { .. } | TokenError::OtherCredentials { .. })) => {
                self.not_before = now.boot + FIRST_RETRY;
                Err(error)
            }
            Err(error) => {
                self.not_before = now.boot + self.pause(&error);
                self.not_unasked_before = match error.failure() {
                    Failure::Unavailable { .. } => self.not_before,
                    Failure::NoAccount | Failure::BadRequest | Failure::Refused => {
                        now.boot + self.no_backoff.next()
                    }
                };
                self.trouble = Some((kind, error.clone()));
                Err(self.refusal(now).unwrap_or(error))
            }
        }
    }

    /// As if nothing had ever come for it: the source has other credentials.
    pub(super) fn forget(&mut self) -> Option<Held<V>> {
        self.trouble = None;
        (self.not_before, self.not_unasked_before) = (Duration::ZERO, Duration::ZERO);
        self.backoff.reset();
        self.no_backoff.reset();
        self.held.take()
    }

    /// The fetch that was begun ended without a word. When to call [`Slot::tick`] next.
    pub(super) fn abandon(&mut self, kind: &'static str, now: Moment) -> Duration {
        self.flight = None;
        let broke = TokenError::Broke { kind };
        self.not_before = now.boot + self.pause(&broke);
        self.trouble = Some((kind, broke));
        self.unasked_from()
    }

    /// How long to leave the source alone after a failure.
    fn pause(&mut self, error: &TokenError) -> Duration {
        match (error, error.failure()) {
            (_, Failure::Unavailable { retry_after }) if retry_after > FIRST_RETRY => {
                self.backoff.next().max(retry_after.min(LONGEST_WISH))
            }
            (_, Failure::Unavailable { .. }) => self.backoff.next(),
            // It is looked for again by its own rule, which is quick.
            (TokenError::NothingFound { .. }, _) => FIRST_RETRY,
            (_, Failure::NoAccount | Failure::BadRequest | Failure::Refused) => some_of(REMEMBER_NO),
        }
    }

    /// What to tell who asks while the source is left alone.
    fn refusal(&self, now: Moment) -> Option<TokenError> {
        let (kind, error) = self.trouble.as_ref()?;
        let wait = self.not_before.saturating_sub(now.boot);
        Some(match error.failure() {
            Failure::Unavailable { .. } => TokenError::Unavailable {
                kind,
                retry_after: Duration::from_secs(
                    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1),
                ),
                cause: Arc::new(error.clone()),
            },
            Failure::NoAccount | Failure::BadRequest | Failure::Refused => error.clone(),
        })
    }

    /// The clocks may have moved; what has expired is let go.
    fn settle(&mut self, now: Moment) {
        if let Some(held) = &mut self.held {
            held.settle(now);
            if !held.is_valid(now) {
                self.held = None;
            }
        }
    }

    /// Time has passed. True if a fetch is to begin unasked.
    pub(super) fn tick(&mut self, now: Moment) -> bool {
        self.settle(now);
        self.may_ask(now)
            && now.boot >= self.not_unasked_before
            && match &self.held {
                Some(held) => held.old_at().is_some() && held.is_old(now) && self.is_wanted(now),
                None => self.is_wanted(now),
            }
    }

    /// When to call [`Slot::tick`] next, by the time since boot. None: a fetch's end says so, or nobody cares.
    pub(super) fn due(&self, now: Moment) -> Option<Duration> {
        let Some(held) = &self.held else {
            let next = if self.is_wanted(now) {
                self.unasked_from()
            } else {
                self.not_before
            };
            return self.flight.is_none().then_some(next);
        };
        let old_at = held.old_at()?;
        if self.flight.is_some() {
            return held.until();
        }
        if old_at > now.boot {
            return Some(old_at);
        }
        let retry = self.is_wanted(now).then_some(self.unasked_from());
        retry.into_iter().chain(held.until()).min()
    }

    /// Nothing in it is worth keeping.
    pub(super) fn is_spent(&self, now: Moment) -> bool {
        self.held.is_none() && self.flight.is_none() && now.boot >= self.not_before && !self.is_wanted(now)
    }

    /// Whether it is fetched unasked: nobody is to meet an old token, or none.
    fn is_wanted(&self, now: Moment) -> bool {
        let recently = || {
            let ago = now
                .boot
                .saturating_sub(Duration::from_millis(self.touched.load(Relaxed)));
            self.had_one && ago < RECENTLY
        };
        self.pinned || (self.used.load(Relaxed) && (self.held.is_some() || recently()))
    }

    fn unasked_from(&self) -> Duration {
        self.not_before.max(self.not_unasked_before)
    }

    fn may_ask(&self, now: Moment) -> bool {
        self.flight.is_none() && now.boot >= self.not_before
    }

    fn is_worth_a_moment(&self, held: &Held<V>, now: Moment) -> Option<&Flight<V>> {
        let flight = self.flight.as_ref()?;
        let is_low = held.remaining(now).is_some_and(|seconds| seconds < FRESH);
        (is_low && Instant::now() < flight.linger()).then_some(flight)
    }

    pub(super) fn is_low(&self, now: Moment) -> bool {
        let remaining = self.held.as_ref().and_then(|held| held.remaining(now));
        remaining.is_some_and(|seconds| seconds < FRESH)
    }

    pub(super) fn held(&self) -> Option<&Held<V>> {
        self.held.as_ref()
    }

    pub(super) fn value_weight(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.value.weight())
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Asked for more than once: not made room of by somebody who asks for many things once.
    pub(super) fn is_used_again(&self) -> bool {
        self.uses.load(Relaxed) > 1
    }

    pub(super) fn had_one(&self) -> bool {
        self.had_one
    }

    pub(super) fn touched(&self) -> u64 {
        self.touched.load(Relaxed)
    }
}
