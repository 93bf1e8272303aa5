//! Answers that a client refused, in the log (and with it among the last errors of the status). In: each refusal. Out: a line. Never more than one in
//! ten seconds, with those that were left out counted: the reason is a client's, and it may give many.
use super::metrics::Kind;
use super::session::Nack;
use crate::proto::envoy::config::core::v3::Node;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const BETWEEN: Duration = Duration::from_secs(10);
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
    written: Option<Instant>,
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
    pub(super) fn refused(&self, kind: Kind, who: &Who, nack: &Nack) {
        let Some(left_out) = self.say() else {
            return;
        };
        tracing::warn!(
            kind = kind.word(),
            node = who.id,
            cluster = who.cluster,
            version = &*nack.version,
            left_out,
            "Envoy refused a secret and goes on with the one before; it gets the next generation, and not this one again: {}",
            clean(&nack.reason, usize::MAX)
        );
    }

    /// With a number, write a line; so many were left out before it.
    fn say(&self) -> Option<u64> {
        // Nothing in here panics half way.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.written.is_some_and(|written| now < written + BETWEEN) {
            state.left_out += 1;
            return None;
        }
        state.written = Some(now);
        Some(std::mem::take(&mut state.left_out))
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
    async fn a_flood_is_one_line_in_ten_seconds() {
        let record = Record::default();
        assert_eq!(record.say(), Some(0));
        assert!((0..100).all(|_| record.say().is_none()));
        tokio::time::advance(BETWEEN).await;
        assert_eq!(record.say(), Some(100));
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
