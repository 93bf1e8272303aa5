//! Has a connection copied until it ends, by itself or because its time is over. In: both sides, the limits, the peer's seat. Out: how it ended, and both
//! sides. Sleeps while bytes are copied: what it waits for is everything else.
use super::super::copiers::{Copying, Done, Socket};
use super::super::peers::Seat;
use super::super::refusal::End;
use super::super::route::Route;
use super::super::splice::Splice;
use super::caller::Caller;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A connection that is over.
pub(super) struct Over {
    /// None: it could not even begin.
    pub(super) splice: Option<Box<Splice<Socket>>>,
    pub(super) end: End,
}

pub(super) async fn run(
    route: &Arc<Route>,
    splice: Box<Splice>,
    seat: &Seat,
    caller: Option<Box<Caller>>,
    since: Instant,
) -> Over {
    let mut limits = Limits::new(route, since);
    let copying = match route.shared.copiers.copy(*splice, route, limits.idle.is_some()) {
        Ok(copying) => copying,
        Err(error) => {
            let end = End::Local(error);
            return Over { splice: None, end };
        }
    };
    let over = until(&copying, &mut limits, seat, route, caller).await;
    let (done, end) = match over {
        Ok(done) => (done, None),
        Err(end) => {
            copying.give_back();
            (poll_fn(|cx| copying.poll_done(cx)).await, Some(end))
        }
    };
    let Done { splice, how } = done;
    // It may have ended by itself before it was asked back.
    let end = match (how, end) {
        (Some(Ok(())), _) => End::Closed,
        (Some(Err(failure)), _) => End::of(failure),
        (None, end) => end.unwrap_or(End::Over),
    };
    Over {
        splice: Some(splice),
        end,
    }
}

/// Returns when it is over, or why it has to be.
async fn until(
    copying: &Copying,
    limits: &mut Limits,
    seat: &Seat,
    route: &Route,
    caller: Option<Box<Caller>>,
) -> Result<Done, End> {
    let mut gone = pin!(seat.gone());
    // Boxed, for its room: most routes are inbound and have none.
    let mut lost = caller.map(|mut caller| Box::pin(async move { caller.lost(route).await }));
    poll_fn(|cx| {
        if let Poll::Ready(done) = copying.poll_done(cx) {
            return Poll::Ready(Ok(done));
        }
        if gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(seat.why().map_or(End::Over, End::NoLonger)));
        }
        if let Some(lost) = &mut lost
            && let Poll::Ready(why) = lost.as_mut().poll(cx)
        {
            return Poll::Ready(Err(End::Caller(why)));
        }
        let moved = limits.are_any().then(|| copying.moved());
        limits.poll(cx, moved, copying.is_half_closed()).map(Err)
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

    fn are_any(&self) -> bool {
        self.idle.is_some() || self.half_close.is_some()
    }

    /// Ready when a limit is reached. `moved` is when something last moved, if it did since the last call.
    pub(in super::super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        moved: Option<Instant>,
        is_half_closed: bool,
    ) -> Poll<End> {
        let still = if is_half_closed {
            shorter(self.half_close, self.idle)
        } else {
            self.idle
        };
        if is_half_closed != self.is_half_closed {
            self.moved = Instant::now();
        }
        self.moved = moved.map_or(self.moved, |at| self.moved.max(at));
        self.is_half_closed = is_half_closed;
        let still = still.map(|still| self.moved + still);
        let Some(next) = still.into_iter().chain(self.over).min() else {
            self.timer = None;
            return Poll::Pending;
        };
        // By the clock: a timer is not ready either when the task's budget is used up.
        if moved.is_some() && self.over.is_some_and(|at| Instant::now() >= at) {
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
                Poll::Ready(limits.poll(cx, Some(Instant::now()), false))
            })
            .await
        };
        assert!(busy().await.is_pending());
        tokio::time::advance(lifetime).await;
        assert!(matches!(busy().await, Poll::Ready(End::Lifetime)));
    }
}
