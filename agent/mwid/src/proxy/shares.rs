//! Who has the connections of an outbound route, so that no user has them all. In: each caller. Out: a share, or why there is none. An eighth is kept for
//! root and mwid's own user, as at the local APIs: who mends things gets in while others have filled the rest.
use crate::http::Holder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections of one route.
#[derive(Debug)]
pub(super) struct Shares(Mutex<State>);

#[derive(Debug)]
struct State {
    most: Most,
    /// Only users who have some have an entry.
    users: HashMap<Holder, usize>,
    others: usize,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
struct Most {
    /// Of one user.
    per_user: usize,
    /// Of all users who are not trusted.
    others: usize,
}

impl Most {
    fn new(all: usize, per_user: usize) -> Self {
        let others = (all - all / 8).max(1);
        Self { per_user, others }
    }
}

/// One connection of a user's; free again on drop.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    holder: Holder,
}

/// Why a user gets no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error(
        "user {uid} has {most} connections here, which is all that one user may have; close some, or raise max_connections_per_user"
    )]
    OfUser { uid: u32, most: usize },
    #[error(
        "all users together have {most} connections here, and the others are kept for root and mwid's own user; raise max_connections"
    )]
    OfAll { most: usize },
}

impl Shares {
    /// `all` of a route, of which one user may have `per_user`.
    pub(super) fn new(all: usize, per_user: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            most: Most::new(all, per_user),
            users: HashMap::new(),
            others: 0,
        })))
    }

    /// From now on there are so many. Nobody loses one by it, and those who have some have them still.
    pub(super) fn resize(&self, all: usize, per_user: usize) {
        self.state().most = Most::new(all, per_user);
    }

    pub(super) fn take(self: &Arc<Self>, holder: Holder) -> Result<Share, Full> {
        let mut state = self.state();
        let has = state.users.get(&holder).copied().unwrap_or_default();
        let most = state.most;
        if has >= most.per_user {
            return Err(Full::OfUser {
                uid: holder.uid,
                most: most.per_user,
            });
        }
        if !holder.trusted && state.others >= most.others {
            return Err(Full::OfAll { most: most.others });
        }
        state.users.insert(holder, has + 1);
        state.others += usize::from(!holder.trusted);
        drop(state);
        Ok(Share {
            shares: Arc::clone(self),
            holder,
        })
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        state.others -= usize::from(!self.holder.trusted);
        if let Some(has) = state.users.get_mut(&self.holder) {
            *has -= 1;
            if *has == 0 {
                state.users.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_has_all_and_the_trusted_have_a_reserve() {
        let shares = Shares::new(16, 12);
        let take = |uid| {
            let trusted = uid == 0;
            let all = (0..16).map_while(|_| shares.take(Holder { uid, trusted }).ok());
            all.collect::<Vec<_>>()
        };
        let (one, two, root) = (take(1), take(2), take(0));
        assert_eq!([&one, &two, &root].map(Vec::len), [12, 2, 12]);
        let stranger = |uid| shares.take(Holder { uid, trusted: false });
        assert_eq!(stranger(1).unwrap_err(), Full::OfUser { uid: 1, most: 12 });
        assert_eq!(stranger(2).unwrap_err(), Full::OfAll { most: 14 });
        // Whoever is here counts still.
        shares.resize(32, 13);
        assert_eq!(take(1).len(), 1);
        shares.resize(16, 12);
        drop(one);
        assert_eq!(take(2).len(), 10, "what others gave back, up to its own share");
        drop((two, root));
        let state = shares.state();
        assert!(state.users.is_empty() && state.others == 0);
    }
}
