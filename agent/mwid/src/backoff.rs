//! Waiting times between tries: doubled up to a ceiling, with jitter, so that a fleet does not retry in step.
use std::time::Duration;

/// In: nothing but its own settings. Out: how long to wait next. Never sleeps itself.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    /// The next waiting time: between half and all of the current step; the step then doubles.
    pub(crate) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.most);
        step / 2 + step.mul_f64(random_fraction() / 2.0)
    }

    /// Back to the first step, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// From 0 to 1. Jitter needs no secrecy, only difference between machines: the std hasher's random keys give that.
fn random_fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = (RandomState::new().hash_one(0_u8) >> 32) as u32;
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling_and_resets() {
        let mut b = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for full in [100, 200, 350, 350] {
            let d = b.next();
            assert!(
                d >= Duration::from_millis(full / 2) && d <= Duration::from_millis(full),
                "{d:?} for step {full}"
            );
        }
        b.reset();
        assert!(b.next() <= Duration::from_millis(100));
    }
}
