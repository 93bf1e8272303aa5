//! Jumps of the wall clock. In: the kernel's word that the clock was set, or that the machine slept. Out: a wake-up. Never wakes for
//! anything else: a timer in the far future is cancelled by the kernel when the clock is set (timerfd_create(2)).
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// Some 60 years after 1970 and more; the timer is not meant to end.
const FAR: Duration = Duration::from_secs(u32::MAX as u64);

pub(crate) struct ClockJumps(Option<AsyncFd<Timer>>);

struct Timer(Arc<TimerFd>);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl ClockJumps {
    /// Without such a timer jumps are seen with the next report of the source.
    pub(crate) fn new() -> Self {
        match armed().map_err(std::io::Error::from).and_then(register) {
            Ok(timer) => Self(Some(timer)),
            Err(error) => {
                tracing::debug!(%error, "no timer that tells of a clock that was set");
                Self(None)
            }
        }
    }

    /// With what makes it tell of a jump, for tests.
    #[cfg(test)]
    pub(crate) fn at_hand() -> (Self, impl Fn()) {
        let timer = armed().unwrap();
        let hand = Arc::clone(&timer.0);
        let jump = move || {
            let soon = Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(1)));
            hand.set(soon, TimerSetTimeFlags::empty()).unwrap();
        };
        (Self(Some(register(timer).unwrap())), jump)
    }

    /// Returns when the clock was set. Can be cancelled without loss.
    pub(crate) async fn next(&mut self) {
        loop {
            let Some(timer) = &self.0 else {
                return std::future::pending().await;
            };
            let Ok(mut ready) = timer.readable().await else {
                self.0 = None;
                continue;
            };
            let read = ready.get_inner().0.wait();
            ready.clear_ready();
            drop(ready);
            match read.and_then(|()| arm(&timer.get_ref().0)) {
                Ok(()) => return,
                Err(nix::errno::Errno::EAGAIN) => {}
                Err(_) => self.0 = None,
            }
        }
    }
}

fn register(timer: Timer) -> std::io::Result<AsyncFd<Timer>> {
    // SAFETY: `Timer` owns its descriptor, always tells the same one, and nothing takes it out or closes it before the `AsyncFd`
    // is dropped with it.
    Ok(unsafe { AsyncFd::register(timer)? })
}

fn armed() -> nix::Result<Timer> {
    let timer = TimerFd::new(
        ClockId::CLOCK_REALTIME,
        TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
    )?;
    arm(&timer)?;
    Ok(Timer(Arc::new(timer)))
}

fn arm(timer: &TimerFd) -> nix::Result<()> {
    timer.set(
        Expiration::OneShot(TimeSpec::from_duration(FAR)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
    )
}

#[cfg(test)]
mod tests {
    use super::ClockJumps;
    use std::time::Duration;

    #[tokio::test]
    async fn a_clock_that_nobody_sets_wakes_nobody() {
        let mut jumps = ClockJumps::new();
        assert!(jumps.0.is_some(), "the kernel has such timers since 3.0");
        let woken = tokio::time::timeout(Duration::from_millis(50), jumps.next()).await;
        assert!(woken.is_err());
        assert!(jumps.0.is_some(), "still armed");
    }
}
