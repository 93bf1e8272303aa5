//! Log lines that a stranger can cause. In: each cause. Out: whether to write a line now, and how many were not written. Never more than one in
//! ten seconds.
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const BETWEEN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// With a number, write a line; so many were left out before it.
    pub(super) fn say(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.last.is_some_and(|last| now < last + BETWEEN) {
            state.left_out += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

/// What a stranger wrote, short and on one line.
pub(super) fn clean(text: &[u8]) -> String {
    let (shown, more) = text.split_at(text.len().min(100));
    let dots = if more.is_empty() { "" } else { "…" };
    format!("{}{dots}", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_line_in_ten_seconds() {
        let seldom = Seldom::default();
        assert_eq!(seldom.say(), Some(0));
        assert!((0..1000).all(|_| seldom.say().is_none()));
        tokio::time::advance(BETWEEN).await;
        assert_eq!(seldom.say(), Some(1000));
        assert_eq!(seldom.say(), None);
    }

    #[test]
    fn what_strangers_wrote_is_harmless() {
        assert_eq!(clean(b"evil\r\n\x1b[31m\xff"), "evil\\r\\n\\x1b[31m\\xff");
        assert_eq!(clean(&[b'x'; 5000]).chars().count(), 101);
    }
}
