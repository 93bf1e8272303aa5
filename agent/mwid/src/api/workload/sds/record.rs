//! Answers that a client refused, in the log (and with it among the last errors of the status). In: each refusal. Out: a line, for each user and each
//! reason at most once in ten seconds, with those that were left out counted. Never more than a few of one user: a reason is a client's, and it may
//! give many.
use super::metrics::Kind;
use super::session::Nack;
use crate::proto::envoy::config::core::v3::Node;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const BETWEEN: Duration = Duration::from_secs(10);
/// So many reasons of one user, and of all, have a line in that time.
const OF_ONE: usize = 4;
const OF_ALL: usize = 128;
/// Of what a node calls itself.
const LONGEST: usize = 64;

/// Who a stream says that it is: for people to find the Envoy, and for nothing else.
#[derive(Debug, Default)]
pub(super) struct Who {
    pub(super) id: String,
    pub(super) cluster: String,
}

#[derive(Debug, Default)]
pub(super) struct Record(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lately: HashMap<(User, String), Lately>,
    /// Of those that have no entry.
    left_out: u64,
}

/// None where nobody can tell.
type User = Option<u32>;

/// A line that was written.
#[derive(Debug)]
struct Lately {
    at: Instant,
    /// How often no line was written since.
    left_out: u64,
}

impl Who {
    pub(super) fn of(node: &Node) -> Self {
        Self {
            id: clean(&node.id, LONGEST),
            cluster: clean(&node.cluster, LONGEST),
        }
    }
}

impl Record {
    pub(super) fn refused(&self, kind: Kind, user: User, who: &Who, nack: &Nack) {
        // Nothing in here panics half way.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = state.say(user, &nack.reason, Instant::now()) else {
            return;
        };
        drop(state);
        tracing::warn!(
            kind = kind.word(),
            uid = user,
            node = who.id,
            cluster = who.cluster,
            version = &*nack.version,
            left_out,
            "Envoy refused a secret and goes on with the one before; it gets the next generation, and not this one again: {}",
            clean(&nack.reason, usize::MAX)
        );
    }
}

impl State {
    /// With a number, write a line; so many were left out before it.
    fn say(&mut self, user: User, reason: &str, now: Instant) -> Option<u64> {
        let key = (user, reason.to_owned());
        if let Some(lately) = self.lately.get_mut(&key)
            && now < lately.at + BETWEEN
        {
            lately.left_out += 1;
            return None;
        }
        let left_out = &mut self.left_out;
        self.lately.retain(|_, lately| {
            let stays = now < lately.at + BETWEEN;
            *left_out += if stays { 0 } else { lately.left_out };
            stays
        });
        let own = self.lately.keys().filter(|(of, _)| *of == user).count();
        if own >= OF_ONE || self.lately.len() >= OF_ALL {
            self.left_out += 1;
            return None;
        }
        self.lately.insert(key, Lately { at: now, left_out: 0 });
        Some(std::mem::take(&mut self.left_out))
    }
}

/// On one line, and without what turns or hides characters.
fn clean(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(longest) {
        match c {
            ' '..='~' => out.push(c),
            c => out.extend(c.escape_default()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_user_and_reason_has_a_line_in_ten_seconds_and_a_flood_few() {
        let mut state = State::default();
        let mut say = |user, reason: &str| state.say(Some(user), reason, Instant::now());
        assert_eq!((say(7, "key"), say(7, "chain")), (Some(0), Some(0)));
        assert!((0..100).all(|_| say(7, "key").is_none()));
        let flood = (0..1000).filter(|n| say(7, &n.to_string()).is_some());
        assert_eq!(flood.count(), OF_ONE - 2);
        assert_eq!(say(8, "key"), Some(1000 - (OF_ONE as u64 - 2)), "another user");
        tokio::time::advance(BETWEEN).await;
        assert_eq!(say(7, "key"), Some(100));
        let users = (100..1100).filter(|user| say(*user, "key").is_some());
        assert_eq!(users.count(), OF_ALL - 1);
        assert!(state.lately.len() <= OF_ALL);
    }

    #[test]
    fn what_clients_write_is_harmless() {
        let who = Who::of(&Node {
            id: "a\r\nb \x1b[31m\u{202e}".to_owned(),
            cluster: "x".repeat(100_000),
            metadata: None,
        });
        assert_eq!(who.id, "a\\r\\nb \\u{1b}[31m\\u{202e}");
        assert_eq!(who.cluster.len(), LONGEST);
    }
}
