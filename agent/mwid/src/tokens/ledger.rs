//! How one source is doing. In: the ends of its fetches. Out: the room's part of the health board, the words of the status, a log line when
//! something changes. Never a token, and never what one caller's odd question did to that caller alone.
use super::cache::Moment;
use super::metrics::Metrics;
use super::{Failure, TokenError};
use crate::health::status::{ErrorLine, timestamp};
use crate::health::{Condition, Part};
use crate::report::Causes;
use mtls_identity::UnixTime;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of the board, and whose turn it is to write there: the predecessor of a source may still be ending.
pub(super) struct Place(Mutex<(u64, Option<Part>)>);

impl Place {
    pub(super) fn new(part: Option<Part>) -> Arc<Self> {
        Arc::new(Self(Mutex::new((0, part))))
    }

    /// From now on only the owner of this turn writes.
    fn next_turn(&self) -> u64 {
        let mut place = self.lock();
        place.0 += 1;
        place.0
    }

    fn set(&self, turn: u64, condition: Condition) {
        let place = self.lock();
        if let (now, Some(part)) = &*place
            && *now == turn
        {
            part.set(condition);
        }
    }

    /// Without any source.
    pub(super) fn nothing_wanted(&self) {
        let turn = self.next_turn();
        self.set(turn, Condition::Ok);
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Option<Part>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Ledger {
    place: Arc<Place>,
    turn: u64,
    /// The settings name the source, so it must have a token.
    is_named: bool,
    metrics: Metrics,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    last_answer: Option<UnixTime>,
    trouble: Option<ErrorLine>,
}

impl Ledger {
    /// Takes over the place on the board.
    pub(super) fn new(place: &Arc<Place>, is_named: bool, metrics: Metrics) -> Self {
        Self {
            place: Arc::clone(place),
            turn: place.next_turn(),
            is_named,
            metrics,
            book: Mutex::default(),
        }
    }

    /// A fetch has ended.
    pub(super) fn landed(&self, error: Option<&TokenError>, of_default: bool, now: Moment) {
        let mut book = self.book();
        let Some(error) = error else {
            book.last_answer = Some(now.wall);
            if book.trouble.take().is_some() {
                tracing::info!("the source of tokens answers again");
            }
            return;
        };
        // The pause is told to who asks; the reason is the same while it lasts.
        let error = match error {
            TokenError::Unavailable { cause, .. } => cause,
            other => other,
        };
        let is_the_sources = matches!(error.failure(), Failure::Unavailable { .. });
        let must_be_there = self.is_named && of_default;
        if !is_the_sources && !must_be_there {
            tracing::debug!(error = %Causes(error), "no token");
            return;
        }
        let text = Causes(error).to_string();
        if book.trouble.as_ref().is_none_or(|before| before.text != text) {
            tracing::warn!("no new token: {text}");
        }
        book.trouble = Some(ErrorLine {
            at: timestamp(now.wall),
            text,
        });
    }

    /// Tells the board. `default_until` is of the default token, while it holds.
    pub(super) fn settle(&self, default_until: Option<UnixTime>) {
        let trouble = self.book().trouble.as_ref().map(|line| line.text.clone());
        let condition = match (default_until, trouble) {
            (None, trouble) if self.is_named => Condition::NotReady(match trouble {
                Some(text) => format!("there is no token: {text}"),
                None => "there is no token yet, its source is being asked".to_owned(),
            }),
            (_, Some(text)) => Condition::Degraded(format!("no new token: {text}")),
            (_, None) => Condition::Ok,
        };
        self.metrics.default_until(default_until);
        self.place.set(self.turn, condition);
    }

    pub(super) fn last_answer(&self) -> Option<UnixTime> {
        self.book().last_answer
    }

    pub(super) fn trouble(&self) -> Option<ErrorLine> {
        self.book().trouble.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
