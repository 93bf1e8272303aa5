//! Copies until the connection ends, by itself or because its time is over. In: both sides, the limits, the peer's seat. Out: how it ended.
use super::super::peers::Seat;
use super::super::refusal::End;
use super::super::route::Route;
use super::super::splice::{Moved, Splice};
use super::caller::Caller;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

pub(super) async fn run(
    route: &Route,
    splice: &mut Splice,
    seat: &Seat,
    caller: Option<Box<Caller>>,
    since: Instant,
) -> End {
    let counters = &route.named.record.counters;
    let mut gone = pin!(seat.gone());
    // Boxed, for its room: most routes are inbound and have none.
    let mut lost = caller.map(|mut caller| Box::pin(async move { caller.lost(route).await }));
    let mut limits = Limits::new(route, since);
    poll_fn(|cx| {
        // First: a copy that never waits uses up the budget that tokio gives a task in one go, and then nothing else is ever ready.
        if gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(seat.why().map_or(End::Over, End::NoLonger));
        }
        if let Some(lost) = &mut lost
            && let Poll::Ready(why) = lost.as_mut().poll(cx)
        {
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

/// The times of one connection, copied or HTTP. Has a timer only where there is something to wait for, and looks at the clock only then.
pub(in super::super) struct Limits {
    idle: Option<Duration>,
    half_close: Option<Duration>,
    /// When something last moved.
    moved: Instant,
    is_half_closed: bool,
    /// When its lifetime is over.
    over: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Limits {
    pub(in super::super) fn new(route: &Route, since: Instant) -> Self {
        let timeouts = &route.settings.timeouts;
        Self {
            idle: timeouts.idle,
            half_close: timeouts.half_close,
            moved: Instant::now(),
            is_half_closed: false,
            over: timeouts.lifetime.map(|lifetime| since + lifetime),
            timer: None,
        }
    }

    /// Ready when a limit is reached.
    pub(in super::super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved: bool,
        is_half_closed: bool,
    ) -> Poll<End> {
        let still = if is_half_closed {
            shorter(self.half_close, self.idle)
        } else {
            self.idle
        };
        if still.is_some() && (moved || is_half_closed != self.is_half_closed) {
            self.moved = Instant::now();
        }
        self.is_half_closed = is_half_closed;
        let still = still.map(|still| self.moved + still);
        let Some(next) = still.into_iter().chain(self.over).min() else {
            self.timer = None;
            return Poll::Pending;
        };
        // By the clock: a timer is not ready either when the task's budget is used up.
        if moved && self.over.is_some_and(|at| Instant::now() >= at) {
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
        match self.over {
            Some(over) if over <= at => End::Lifetime,
            _ if self.is_half_closed => End::HalfClosed,
            _ => End::Idle,
        }
    }
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::coop;

    /// As after a copy that never had to wait.
    #[tokio::test(start_paused = true)]
    async fn a_lifetime_ends_where_the_tasks_budget_is_used_up() {
        let lifetime = Duration::from_secs(60);
        let mut limits = Limits {
            idle: Some(lifetime * 2),
            half_close: None,
            moved: Instant::now(),
            is_half_closed: false,
            over: Some(Instant::now() + lifetime),
            timer: None,
        };
        let mut busy = async || {
            poll_fn(|cx| {
                while let Poll::Ready(used) = coop::poll_proceed(cx) {
                    used.made_progress();
                }
                Poll::Ready(limits.poll(cx, true, false))
            })
            .await
        };
        assert!(busy().await.is_pending());
        tokio::time::advance(lifetime).await;
        assert!(matches!(busy().await, Poll::Ready(End::Lifetime)));
    }
}
