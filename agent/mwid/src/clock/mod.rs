//! The kernel's clocks beside the wall's.
//!
//! In: nothing. Out: the time since the machine was started, and a wake-up when the wall clock was set. Never the wall clock itself: that one is
//! handed down, so that tests can choose it.

mod jump;

pub(crate) use jump::ClockJumps;

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The time since the machine was started, sleep included. Nobody can set it.
pub(crate) fn since_boot() -> Duration {
    // The clock is there since Linux 2.6.39.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_time_since_boot_goes_on() {
        let first = super::since_boot();
        assert!(!first.is_zero());
        assert!(super::since_boot() >= first);
    }
}
