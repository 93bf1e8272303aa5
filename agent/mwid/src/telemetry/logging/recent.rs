//! The newest warnings and errors, for `/status`. In: events. Out: at most [`MOST`] lines. Never grows.
use super::Now;
use super::line::Line;
use crate::health::status::ErrorLine;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The records of callers and of connections: the status shows them elsewhere, and a flood of those who were refused must not push out our own
/// troubles.
const ELSEWHERE: [&str; 2] = ["mwid::access", "mwid::proxy"];

/// How many lines are kept.
pub(crate) const MOST: usize = 32;

/// The newest warnings and errors. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recent {
    now: Now,
    lines: Arc<Mutex<VecDeque<ErrorLine>>>,
}

impl Recent {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            now,
            lines: Arc::new(Mutex::new(VecDeque::with_capacity(MOST))),
        }
    }

    /// Newest last.
    pub(crate) fn lines(&self) -> Vec<ErrorLine> {
        // A deque of whole lines is usable even if a holder of the lock panicked.
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if ELSEWHERE.contains(&event.metadata().target()) {
            return;
        }
        let line = ErrorLine {
            at: (self.now)(),
            text: Line::of(event).sentence(),
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MOST {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}
