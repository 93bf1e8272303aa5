//! Who has the streams of one server, so that nobody has them all. In: each call and whose it is. Out: a seat, or none.
use crate::http::Holder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The streams of one server.
#[derive(Debug)]
pub(super) struct Shares {
    all: usize,
    /// Of one user.
    share: usize,
    /// Of all users who are not trusted.
    others: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Only users with an open call have an entry.
    users: HashMap<Option<Holder>, usize>,
    all: usize,
    others: usize,
}

/// A stream that is taken; free again on drop.
#[derive(Debug)]
pub(super) struct Seat {
    shares: Arc<Shares>,
    holder: Option<Holder>,
}

impl Shares {
    /// A quarter of them for one user; an eighth only for the trusted.
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            share: (all / 4).max(1),
            others: (all - all / 8).max(1),
            state: Mutex::default(),
        })
    }

    /// A seat, if its share has one. Where nobody can tell one client from another, all of them are one who is not trusted and has no share.
    pub(super) fn take(self: &Arc<Self>, holder: Option<Holder>) -> Option<Seat> {
        let is_trusted = holder.is_some_and(|holder| holder.trusted);
        let mut state = self.state();
        let open = state.users.get(&holder).copied().unwrap_or_default();
        let over_share = holder.is_some() && open >= self.share;
        let over_others = !is_trusted && state.others >= self.others;
        if over_share || over_others || state.all >= self.all {
            return None;
        }
        state.users.insert(holder, open + 1);
        state.all += 1;
        state.others += usize::from(!is_trusted);
        Some(Seat {
            shares: Arc::clone(self),
            holder,
        })
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        state.all -= 1;
        state.others -= usize::from(!self.holder.is_some_and(|holder| holder.trusted));
        if let Some(open) = state.users.get_mut(&self.holder) {
            *open -= 1;
            if *open == 0 {
                state.users.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(uid: u32) -> Option<Holder> {
        let trusted = uid == 0;
        Some(Holder { uid, trusted })
    }

    #[test]
    fn a_user_has_a_quarter_and_the_trusted_a_reserve() {
        let shares = Shares::new(16);
        let take = |uid| {
            (0..16)
                .map_while(|_| shares.take(holder(uid)))
                .collect::<Vec<_>>()
        };
        let (one, two, three, four) = (take(1), take(2), take(3), take(4));
        let sizes = [&one, &two, &three, &four].map(Vec::len);
        assert_eq!(sizes, [4, 4, 4, 2], "an eighth is left");
        let root = take(0);
        assert_eq!(root.len(), 2);
        drop((one, two));
        assert_eq!(take(1).len(), 4);
        drop((three, four, root));
        let state = shares.state();
        assert!(state.users.is_empty() && state.all == 0 && state.others == 0);
        drop(state);
        let unknown: Vec<_> = (0..20).map_while(|_| shares.take(None)).collect();
        assert_eq!(unknown.len(), 14);
    }
}
