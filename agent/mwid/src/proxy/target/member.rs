//! One target of a route, and how it fares. In: what came of dials, handshakes and looks. Out: whether it is up, since when, and when to look again.
//! Lives on when the route's other settings change. Writes one line when it goes down and one when it comes back.
use super::super::metrics::{Metrics, TargetLabels};
use super::super::refusal::Refusal;
use super::super::route::Shared;
use super::names::Name;
use crate::backoff::Backoff;
use crate::config::Target;
use crate::health::status::{ErrorLine, TargetStatus, timestamp};
use crate::report::Causes;
use mtls_identity::{Clock, UnixTime};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// From a target's going down to the first look, and the most between two looks.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// What is kept of an error's text; causes may name what others wrote.
const MOST_TEXT: usize = 300;

pub(super) struct Member {
    pub(super) target: Target,
    /// Of a target that is a name.
    pub(super) name: Option<Arc<Name>>,
    labels: TargetLabels,
    open: AtomicUsize,
    state: Mutex<State>,
    metrics: Metrics,
    clock: Clock,
    /// Wakes who looks after those that are down.
    down: Arc<Notify>,
}

struct State {
    since: Option<UnixTime>,
    last_error: Option<ErrorLine>,
    /// None: it is up.
    down: Option<Down>,
    /// Whether its route is in force, so that it has its place in the metrics.
    shown: bool,
}

struct Down {
    backoff: Backoff,
    next: Instant,
    /// A look is on its way.
    looking: bool,
}

/// When to look at a target.
pub(super) enum Due {
    Never,
    At(Instant),
}

impl Member {
    pub(super) fn new(route: &str, target: &Target, shared: &Shared) -> Arc<Self> {
        let name = match target {
            Target::Name { host, .. } => Some(shared.names.name(host)),
            Target::Tcp(_) | Target::Unix(_) => None,
        };
        Arc::new(Self {
            labels: TargetLabels::new(route, &target.to_string()),
            target: target.clone(),
            name,
            open: AtomicUsize::new(0),
            state: Mutex::new(State {
                since: shared.clock.current_time(),
                last_error: None,
                down: None,
                shown: false,
            }),
            metrics: shared.metrics.clone(),
            clock: Clock::clone(&shared.clock),
            down: Arc::clone(&shared.down),
        })
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().down.is_none()
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// It did what it is there for.
    pub(super) fn worked(&self) {
        let mut state = self.state();
        if state.down.take().is_none() {
            return;
        }
        state.since = self.clock.current_time();
        self.tell(&state);
        let TargetLabels { route, target } = &self.labels;
        tracing::info!(target: "mwid::proxy", %route, to = %target, "the target is up again");
    }

    /// It did not. What is our own fault, or a caller's, says nothing about a target.
    pub(super) fn failed(&self, why: &Refusal) {
        if !why.is_the_targets() {
            return;
        }
        let text = bounded(Causes(why).to_string());
        let now = self.clock.current_time();
        let mut state = self.state();
        state.last_error = Some(ErrorLine {
            at: now.map(timestamp).unwrap_or_default(),
            text: text.clone(),
        });
        if state.down.is_some() {
            return;
        }
        let mut backoff = Backoff::new(LOOKS.0, LOOKS.1);
        state.down = Some(Down {
            next: Instant::now() + backoff.next(),
            backoff,
            looking: false,
        });
        state.since = now;
        self.tell(&state);
        drop(state);
        self.down.notify_one();
        let TargetLabels { route, target } = &self.labels;
        tracing::warn!(target: "mwid::proxy", %route, to = %target, "the target is down: {text}");
    }

    pub(super) fn due(&self) -> Due {
        match &self.state().down {
            Some(down) if !down.looking => Due::At(down.next),
            _ => Due::Never,
        }
    }

    pub(super) fn look_begins(&self) {
        if let Some(down) = &mut self.state().down {
            down.looking = true;
        }
    }

    /// After [`Member::worked`] or [`Member::failed`].
    pub(super) fn look_ends(&self) {
        if let Some(down) = &mut self.state().down {
            down.looking = false;
            down.next = Instant::now() + down.backoff.next();
        }
    }

    /// Its route is in force; a change of it may be what mends a target, so that one that is down is looked at now.
    pub(super) fn show(&self) {
        let mut state = self.state();
        state.shown = true;
        if let Some(down) = &mut state.down {
            down.next = Instant::now();
        }
        self.tell(&state);
    }

    /// No route has it any more.
    pub(super) fn hide(&self) {
        self.state().shown = false;
        self.metrics.no_target(&self.labels);
    }

    /// A connection that has to do with old addresses.
    pub(super) fn uses_old_addresses(&self) {
        self.metrics.stale_addresses(&self.labels);
    }

    pub(super) fn status(&self) -> TargetStatus {
        let (addresses, old_addresses) = self.name.as_ref().map(|name| name.known()).unwrap_or_default();
        let state = self.state();
        TargetStatus {
            target: self.labels.target.to_string(),
            up: state.down.is_none(),
            since: state.since.map(timestamp),
            open: u64::try_from(self.open()).unwrap_or(u64::MAX),
            last_error: state.last_error.clone(),
            addresses,
            old_addresses: old_addresses.map(bounded),
        }
    }

    fn tell(&self, state: &State) {
        if state.shown {
            self.metrics.target_up(&self.labels, state.down.is_none());
        }
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn bounded(mut text: String) -> String {
    if text.len() > MOST_TEXT {
        let end = text.floor_char_boundary(MOST_TEXT);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The target of one connection, which it counts until it is dropped.
pub(in super::super) struct Chosen(pub(super) Arc<Member>);

impl Chosen {
    pub(super) fn new(member: &Arc<Member>) -> Self {
        member.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(member))
    }

    pub(in super::super) fn target(&self) -> &Target {
        &self.0.target
    }

    /// Somebody was met there who may be there.
    pub(in super::super) fn worked(&self) {
        self.0.worked();
    }

    pub(in super::super) fn failed(&self, why: &Refusal) {
        self.0.failed(why);
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
