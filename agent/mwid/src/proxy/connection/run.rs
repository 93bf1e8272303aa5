//! Copies until the connection ends, by itself or because its time is over. In: both sides, the limits, the peer's seat. Out: how it ended.
use super::super::peers::Seat;
use super::super::refusal::End;
use super::super::route::Route;
use super::super::splice::{Moved, Splice};
use super::caller::Caller;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A time that is as good as never, for a clock that counts seconds.
const NEVER: Duration = Duration::from_secs(30 * 86_400);

pub(super) async fn run(
    route: &Route,
    splice: &mut Splice,
    seat: &Seat,
    caller: Option<Caller>,
    since: Instant,
) -> End {
    let counters = &route.named.record.counters;
    let mut gone = pin!(seat.gone());
    let mut lost = pin!(async move {
        match caller {
            Some(mut caller) => caller.lost(route).await,
            None => pending().await,
        }
    });
    let mut limits = Limits::new(route, seat, since);
    poll_fn(|cx| {
        // First: a copy that never waits uses up the budget that tokio gives a task in one go, and then nothing else is ever ready.
        if gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(seat.why().map_or(End::Over, End::NoLonger));
        }
        if let Poll::Ready(why) = lost.as_mut().poll(cx) {
            return Poll::Ready(End::Caller(why));
        }
        let mut moved = Moved::default();
        let polled = splice.poll(cx, &mut moved);
        counters.received.inc_by(moved.received);
        counters.sent.inc_by(moved.sent);
        if let Poll::Ready(done) = polled {
            return Poll::Ready(match done {
                Ok(()) => End::Closed,
                Err(failure) => End::of(failure),
            });
        }
        limits.poll(cx, moved.steps > 0, splice.is_half_closed())
    })
    .await
}

/// The times of one connection. Has a timer only where there is something to wait for, and looks at the clock only then.
struct Limits<'a> {
    route: &'a Route,
    seat: &'a Seat,
    /// When something last moved.
    moved: Instant,
    is_half_closed: bool,
    /// Ends by the clock alone.
    fixed: Option<(Instant, Fixed)>,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug)]
enum Fixed {
    Lifetime,
    Expiry,
}

impl<'a> Limits<'a> {
    fn new(route: &'a Route, seat: &'a Seat, since: Instant) -> Self {
        let lifetime = route.settings.timeouts.lifetime;
        let lifetime = lifetime.map(|lifetime| (since + lifetime, Fixed::Lifetime));
        let left = || {
            let now = route.shared.clock.current_time()?;
            let left = seat.peer().not_after().as_secs().saturating_sub(now.as_secs());
            // One more second: until the last one is over.
            Some(Duration::from_secs(left.saturating_add(1)).min(NEVER))
        };
        let expiry = route.settings.close_expired.then(left).flatten();
        let expiry = expiry.map(|left| (Instant::now() + left, Fixed::Expiry));
        Self {
            route,
            seat,
            moved: Instant::now(),
            is_half_closed: false,
            fixed: lifetime.into_iter().chain(expiry).min_by_key(|(at, _)| *at),
            timer: None,
        }
    }

    /// Ready when a limit is reached.
    fn poll(&mut self, cx: &mut Context<'_>, moved: bool, is_half_closed: bool) -> Poll<End> {
        let timeouts = &self.route.settings.timeouts;
        let still = if is_half_closed {
            shorter(timeouts.half_close, timeouts.idle)
        } else {
            timeouts.idle
        };
        if still.is_some() && (moved || is_half_closed != self.is_half_closed) {
            self.moved = Instant::now();
        }
        self.is_half_closed = is_half_closed;
        let still = still.map(|still| self.moved + still);
        let fixed = self.fixed.map(|(at, _)| at);
        let Some(next) = still.into_iter().chain(fixed).min() else {
            self.timer = None;
            return Poll::Pending;
        };
        // By the clock: a timer is not ready either when the task's budget is used up.
        if moved && fixed.is_some_and(|at| Instant::now() >= at) {
            return Poll::Ready(self.reached(next));
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
        // Only ever moved to an earlier time here; one that is too early finds out when it goes off.
        if next < timer.deadline() {
            timer.as_mut().reset(next);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= next {
                return Poll::Ready(self.reached(next));
            }
            timer.as_mut().reset(next);
        }
        Poll::Pending
    }

    fn reached(&self, at: Instant) -> End {
        match self.fixed {
            Some((fixed, Fixed::Lifetime)) if fixed <= at => End::Lifetime,
            Some((fixed, Fixed::Expiry)) if fixed <= at => {
                End::Expired(self.seat.peer().id().clone(), self.seat.peer().not_after())
            }
            _ if self.is_half_closed => End::HalfClosed,
            _ => End::Idle,
        }
    }
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}
