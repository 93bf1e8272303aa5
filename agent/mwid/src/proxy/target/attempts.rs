//! The targets that one connection tries, one after another. In: what came of each. Out: the next one that answers, or why there is none left. Each has
//! its share of the time, of dials and of handshakes alike, so that one that does not answer leaves time for the others.
use super::member::{Chosen, Member};
use super::{Refusal, Targets, connect};
use crate::config::Timeouts;
use crate::http::Stream;
use crate::proxy::refusal::Tried;
use crate::report::Causes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What one of several targets has at least, so that a long list does not leave each next to nothing.
const SHARE: Duration = Duration::from_secs(1);

/// One connection's way through the targets.
pub(in super::super) struct Attempts {
    order: Vec<Arc<Member>>,
    /// The next one's place in the order.
    next: usize,
    tried: Tried,
    dials: Time,
    handshakes: Time,
}

/// What is left of it.
struct Time(Duration);

impl Targets {
    /// For a connection that begins.
    pub(in super::super) fn attempts(&self, timeouts: &Timeouts) -> Attempts {
        Attempts {
            order: self.order(),
            next: 0,
            tried: Tried::default(),
            dials: Time(timeouts.connect),
            handshakes: Time(timeouts.handshake),
        }
    }
}

impl Attempts {
    /// Connects to the next one that answers.
    pub(in super::super) async fn connect(&mut self) -> Result<(Stream, Chosen), Refusal> {
        let mut last = None;
        while let Some(member) = self.order.get(self.next) {
            if self.dials.0.is_zero() {
                self.tried.leave_out(self.order.len() - self.next);
                break;
            }
            let share = self.dials.share(self.order.len() - self.next);
            self.next += 1;
            let chosen = Chosen::new(member);
            let begun = Instant::now();
            let connected = connect(&chosen.0, share).await;
            self.dials.spend(begun);
            match connected {
                Ok(stream) => return Ok((stream, chosen)),
                Err(refusal) => {
                    chosen.failed(&refusal);
                    self.tried.add(&chosen.target().to_string(), &Causes(&refusal));
                    last = Some(refusal);
                }
            }
        }
        Err(match last {
            Some(alone) if self.order.len() == 1 => alone,
            _ => self.none(),
        })
    }

    /// How long the handshake with the one that answered may take.
    pub(in super::super) fn handshake(&self) -> Duration {
        self.handshakes.share(self.order.len() - self.next + 1)
    }

    /// The handshake with one, begun then, has failed, or it is somebody else. An error if there is no other one to be tried.
    pub(in super::super) fn failed(
        &mut self,
        at: &Chosen,
        refusal: Refusal,
        begun: Instant,
    ) -> Result<Refusal, Refusal> {
        at.failed(&refusal);
        self.handshakes.spend(begun);
        let goes_on =
            refusal.is_the_targets() && self.next < self.order.len() && !self.handshakes.0.is_zero();
        if self.order.len() == 1 || !refusal.is_the_targets() {
            return Err(refusal);
        }
        self.tried.add(&at.target().to_string(), &Causes(&refusal));
        if goes_on {
            return Ok(refusal);
        }
        self.tried.leave_out(self.order.len() - self.next);
        Err(self.none())
    }

    fn none(&mut self) -> Refusal {
        Refusal::NoTarget(std::mem::take(&mut self.tried))
    }
}

impl Time {
    /// Of one, where so many are left.
    fn share(&self, rest: usize) -> Duration {
        let rest = u32::try_from(rest).unwrap_or(u32::MAX).max(1);
        (self.0 / rest).max(SHARE).min(self.0)
    }

    fn spend(&mut self, begun: Instant) {
        self.0 = self.0.saturating_sub(begun.elapsed());
    }
}
