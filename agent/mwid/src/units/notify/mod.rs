//! What systemd is told: ready, reloading, stopping, how it goes, still alive.
//!
//! In: a word from the wiring. Out: one datagram to systemd; nothing at all outside systemd. Never fails the caller: a
//! lost word is logged, and systemd's own time limits see to the rest.

#[cfg(test)]
mod tests;

use crate::shutdown::Shutdown;
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Everything that was to be ready is ready. Also ends a reload.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A line for `systemctl status`.
pub(crate) fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it. With the time, as `Type=notify-reload` wants it; `Type=notify` takes it too.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd is not told of the reload: no monotonic clock"),
    }
}

pub(crate) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells systemd's watchdog that the runtime still runs tasks, if it wants to know (`WatchdogSec=`): twice in each of its
/// intervals. Without a watchdog there is no task and no timer.
pub(crate) fn feed_watchdog(shutdown: &Shutdown) {
    let Some(interval) = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero()) else {
        return;
    };
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        let mut ticks = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.asked() => return,
                _ = ticks.tick() => send(&[NotifyState::Watchdog]),
            }
        }
    });
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd was not told: its notification socket does not take it");
    }
}
