//! Log lines about clients who misuse a server. In: each misuse, and whose connection it was. Out: a line that names the listener and the user, for
//! each kind of misuse and each user at most once in ten seconds. Never more of them than can be read, however many users there are.
use super::places::Holder;
use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a client did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Misuse {
    /// It opens more connections than its user's share.
    OverShare,
    /// It does not send the head of a request in time.
    SlowHead,
    /// It sends a head that is too large.
    LargeHead,
    /// It has more calls open at a time than its user's share.
    OverStreams,
    /// It sends a message that is larger than is taken.
    LargeMessage { length: usize, largest: usize },
}

const BETWEEN: Duration = Duration::from_secs(10);
/// So many kinds and users have a line in ten seconds.
const MOST: usize = 32;

/// The lines of one server.
#[derive(Debug)]
pub(crate) struct Log {
    listener: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lately: HashMap<(Discriminant<Misuse>, Option<u32>), Lately>,
    /// Of those that have no entry.
    left_out: u64,
}

/// A line that was written.
#[derive(Debug)]
struct Lately {
    at: Instant,
    /// How often no line was written since.
    left_out: u64,
}

impl Log {
    pub(super) fn new(listener: &'static str) -> Self {
        Self {
            listener,
            state: Mutex::default(),
        }
    }

    pub(crate) fn misused(&self, how: Misuse, holder: Option<Holder>) {
        // No user has the number (uid_t)-1: who has it is not known.
        let uid = holder.map(|holder| holder.uid).filter(|uid| *uid != u32::MAX);
        // Nothing in here panics half way.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = state.say(how, uid, Instant::now()) else {
            return;
        };
        drop(state);
        let listener = self.listener;
        match how {
            Misuse::OverShare => tracing::warn!(
                listener,
                uid,
                left_out,
                "a connection was closed at once: its user has his share of the places; see which program of his opens so many"
            ),
            Misuse::SlowHead => tracing::warn!(
                listener,
                uid,
                left_out,
                "a connection was closed: its client did not send the head of a request in time"
            ),
            Misuse::LargeHead => tracing::warn!(
                listener,
                uid,
                left_out,
                "a request was refused (431 or 414): its head is too large"
            ),
            Misuse::OverStreams => tracing::warn!(
                listener,
                uid,
                left_out,
                "a call was refused: its user has his share of the streams; see which program of his opens so many"
            ),
            Misuse::LargeMessage { length, largest } => tracing::warn!(
                listener,
                uid,
                left_out,
                "a call was refused: its client sent a message of {length} bytes, of which {largest} are allowed; an Envoy says all that is in its node"
            ),
        }
    }
}

impl State {
    /// With a number, write a line; so many were left out before it.
    fn say(&mut self, how: Misuse, uid: Option<u32>, now: Instant) -> Option<u64> {
        let how = discriminant(&how);
        if let Some(lately) = self.lately.get_mut(&(how, uid))
            && now < lately.at + BETWEEN
        {
            lately.left_out += 1;
            return None;
        }
        let mut left_out = self
            .lately
            .remove(&(how, uid))
            .map_or(0, |lately| lately.left_out);
        if self.lately.len() >= MOST {
            let others = &mut self.left_out;
            self.lately.retain(|_, lately| {
                let stays = now < lately.at + BETWEEN;
                *others += if stays { 0 } else { lately.left_out };
                stays
            });
        }
        if self.lately.len() >= MOST {
            self.left_out += 1 + left_out;
            return None;
        }
        left_out += std::mem::take(&mut self.left_out);
        self.lately.insert((how, uid), Lately { at: now, left_out: 0 });
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_user_has_a_line_in_ten_seconds_and_a_flood_of_users_few() {
        let mut state = State::default();
        let mut say = |how, uid| state.say(how, Some(uid), Instant::now());
        assert_eq!(say(Misuse::OverShare, 7), Some(0));
        assert!((0..1000).all(|_| say(Misuse::OverShare, 7).is_none()));
        assert_eq!(say(Misuse::OverShare, 8), Some(0), "another user");
        assert_eq!(say(Misuse::SlowHead, 7), Some(0), "another misuse");
        tokio::time::advance(BETWEEN).await;
        assert_eq!(say(Misuse::OverShare, 7), Some(1000));
        assert_eq!(say(Misuse::OverShare, 7), None);
        let lines = (100..1100).filter(|uid| say(Misuse::LargeHead, *uid).is_some());
        assert_eq!(lines.count(), MOST - 1);
        tokio::time::advance(BETWEEN).await;
        assert_eq!(say(Misuse::LargeHead, 2000), Some(1 + 1000 - (MOST as u64 - 1)));
        assert!(state.lately.len() <= MOST);
    }
}
