//! Whether a process started before a run of its unit did. In: ticks since the boot, as /proc has them; the wall clock's time, as a file has it. Out:
//! which came first. Says before only when it is sure: a clock that was set meanwhile makes no process a leftover.
use crate::caller::evidence::stat::start_time;
use nix::time::{ClockId, clock_gettime};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A tick, which the kernel shows to programs as a hundredth of a second whatever its own clock does.
const TICK: i64 = 10;
/// Files are stamped by a clock that ticks, and processes too: each some 10 ms too early.
const BLUR: i64 = 30;
/// A file system that was made when the first process started, at the boot or at a container's start, by the clock of that time.
const RUN: &str = "/run";
/// It is not made later than so long after; what looks longer is a clock that was set back since.
const EARLY: i64 = 60_000;

/// By how much the wall clock is ahead of the time since the boot, in milliseconds: the most that is known of, so that a run never seems to
/// have begun later than it did when the clock was set back.
#[derive(Debug)]
pub(super) struct Clocks(AtomicI64);

impl Clocks {
    pub(super) fn new() -> Self {
        let ahead = now().map_or(i64::MAX, |now| now.ahead(made(RUN).zip(first_process())));
        Self(AtomicI64::new(ahead))
    }

    /// Whether a process that started at `ticks` did so before what was stamped then.
    pub(super) fn is_before(&self, ticks: u64, stamped: SystemTime) -> bool {
        let (Some(now), Ok(ticks)) = (now(), i64::try_from(ticks)) else {
            return false;
        };
        let ahead = self.0.fetch_max(now.wall - now.boot, Ordering::Relaxed);
        let stamped = stamped.duration_since(UNIX_EPOCH).ok();
        let Some(stamped) = stamped.and_then(|since| i64::try_from(since.as_millis()).ok()) else {
            return false;
        };
        now.is_before(ticks.saturating_mul(TICK), stamped, ahead)
    }
}

/// In milliseconds.
#[derive(Clone, Copy)]
struct Now {
    wall: i64,
    boot: i64,
}

impl Now {
    /// What is known at the start: of now, and of when a file system was made and the first process started.
    fn ahead(self, first: Option<(i64, i64)>) -> i64 {
        let ahead = self.wall - self.boot;
        let then = first.map(|(made, started)| made.saturating_sub(started));
        then.filter(|then| *then > ahead + EARLY).unwrap_or(ahead)
    }

    fn is_before(self, started: i64, stamped: i64, ahead: i64) -> bool {
        let stamped = stamped.saturating_sub(ahead.max(self.wall - self.boot));
        // Nothing was stamped in the future, but by another clock.
        stamped <= self.boot && started.saturating_add(BLUR) < stamped
    }
}

fn now() -> Option<Now> {
    let read = |clock| {
        let read = clock_gettime(clock).ok()?;
        read.tv_sec()
            .checked_mul(1000)?
            .checked_add(read.tv_nsec() / 1_000_000)
    };
    // In this order: should this thread be kept waiting between the two, what was stamped seems older, and nobody a leftover.
    let boot = read(ClockId::CLOCK_BOOTTIME)?;
    let wall = read(ClockId::CLOCK_REALTIME)?;
    Some(Now { wall, boot })
}

/// When a directory was made, where its file system tells.
fn made(directory: &str) -> Option<i64> {
    let found = statx(CWD, directory, AtFlags::empty(), StatxFlags::BTIME).ok()?;
    let is_told = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    is_told.then(|| found.stx_btime.tv_sec.saturating_mul(1000))
}

fn first_process() -> Option<i64> {
    let ticks = start_time(&std::fs::read("/proc/1/stat").ok()?)?;
    i64::try_from(ticks).ok()?.checked_mul(TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 s after a boot at 50,000 s of the wall clock.
    const NOW: Now = Now {
        wall: 51_000_000,
        boot: 1_000_000,
    };
    const AHEAD: i64 = 50_000_000;

    #[test]
    fn who_started_before_is_told_from_who_started_after() {
        let stamped = AHEAD + 700_000;
        for (started, before) in [
            (0, true),
            (699_960, true),
            (699_980, false),
            (700_000, false),
            (900_000, false),
        ] {
            assert_eq!(NOW.is_before(started, stamped, AHEAD), before, "{started}");
        }
    }

    #[test]
    fn a_clock_that_was_set_makes_nobody_a_leftover() {
        // Set back by an hour after the run began, seen by us or told by what was made at the boot.
        let hour = 3_600_000;
        let stamped = AHEAD + hour + 700_000;
        assert!(!NOW.is_before(700_000, stamped, AHEAD), "stamped in the future");
        let long = Now {
            wall: NOW.wall + 5 * hour,
            boot: NOW.boot + 5 * hour,
        };
        assert!(long.is_before(700_000, stamped, AHEAD), "nothing is known of it");
        let set_back = AHEAD + hour;
        assert_eq!(long.ahead(Some((set_back + 2_000, 1_000))), set_back + 1_000);
        assert!(!long.is_before(700_000, stamped, AHEAD + hour));
        // Set forward since: who started just before may seem to have started after, and no other way round.
        assert!(!NOW.is_before(700_000, AHEAD - hour + 700_000, AHEAD));
        assert_eq!(NOW.ahead(Some((AHEAD + 2_000, 10))), AHEAD, "an ordinary boot");
        let late = Some((AHEAD + 902_000, 900_000));
        assert_eq!(NOW.ahead(late), AHEAD, "a container, long after the boot");
        assert_eq!(NOW.ahead(None), AHEAD);
    }

    #[test]
    fn this_process_started_before_now_and_after_the_boot() {
        let stat = std::fs::read("/proc/self/stat").unwrap();
        let started = start_time(&stat).unwrap();
        let clocks = Clocks::new();
        let now = || now().unwrap().boot;
        // Until it is older than the clocks are blurred.
        while now() < i64::try_from(started).unwrap() * TICK + 3 * BLUR {
            std::thread::yield_now();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let made = file.as_file().metadata().unwrap().modified().unwrap();
        assert!(clocks.is_before(started, made));
        assert!(!clocks.is_before(started, UNIX_EPOCH));
    }
}
