//! Who has the streams of one server, and the memory that their clients fill, so that nobody has it all. In: each call and whose it is. Out: a seat,
//! or none; room for bytes, or none.
use crate::http::Holder;
use crate::http::shares::{Bounds, Taken};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The streams of one server, and the bytes of messages that are not whole.
#[derive(Debug)]
pub(in super::super) struct Shares {
    streams: Bounds,
    bytes: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    streams: Taken,
    bytes: Taken,
}

/// A stream that is taken; free again on drop.
#[derive(Debug)]
pub(super) struct Seat {
    shares: Arc<Shares>,
    holder: Option<Holder>,
}

/// What pays for the bytes that are kept of one stream's messages until they are whole; gives all back on drop.
#[derive(Debug)]
pub(in crate::grpc) struct Purse {
    shares: Arc<Shares>,
    holder: Option<Holder>,
    held: usize,
}

/// So many bytes of a stream are free: most messages are a few bytes, and need no look at what others have.
const FREE: usize = 1024;

impl Shares {
    pub(in super::super) fn new(streams: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            streams: Bounds::of(streams),
            bytes: Bounds::of(bytes),
            state: Mutex::default(),
        })
    }

    /// A seat, if its share has one. Where nobody can tell one client from another, all of them are one who is not trusted and has no share.
    pub(super) fn take(self: &Arc<Self>, holder: Option<Holder>) -> Option<Seat> {
        let is_taken = self.state().streams.take(&self.streams, holder, 1).is_ok();
        is_taken.then(|| Seat {
            shares: Arc::clone(self),
            holder,
        })
    }

    pub(in super::super) fn purse(self: &Arc<Self>, holder: Option<Holder>) -> Purse {
        Purse {
            shares: Arc::clone(self),
            holder,
            held: 0,
        }
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Purse {
    /// From now on so many bytes are kept. An error if there is no room for them: how many the user has in all.
    pub(in crate::grpc) fn hold(&mut self, bytes: usize) -> Result<(), usize> {
        let wanted = if bytes > FREE { bytes } else { 0 };
        if wanted > self.held {
            let mut state = self.shares.state();
            let more = wanted - self.held;
            state.bytes.take(&self.shares.bytes, self.holder, more)?;
        } else if wanted < self.held {
            let less = self.held - wanted;
            self.shares.state().bytes.give_back(self.holder, less);
        }
        self.held = wanted;
        Ok(())
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        // To less than before, which never fails.
        self.hold(0).ok();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shares.state().streams.give_back(self.holder, 1);
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
        let shares = Shares::new(16, 16);
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
        assert!(state.streams.users.is_empty() && state.streams.all == 0 && state.streams.others == 0);
        drop(state);
        let unknown: Vec<_> = (0..20).map_while(|_| shares.take(None)).collect();
        assert_eq!(unknown.len(), 14);
    }

    #[test]
    fn bytes_are_shared_out_likewise_but_for_the_first_of_each_stream() {
        let shares = Shares::new(16, 64 * 1024);
        let mut all: Vec<_> = (0..8).map(|_| shares.purse(holder(1))).collect();
        let held = all.iter_mut().map(|purse| purse.hold(4 * 1024));
        assert_eq!(held.filter(Result::is_ok).count(), 4, "a quarter of 64 KB");
        let over = all.last_mut().unwrap();
        assert_eq!(over.hold(FREE + 1), Err(16 * 1024));
        assert_eq!(
            over.hold(FREE),
            Ok(()),
            "who sends small messages is not told of the large ones"
        );
        let mut other = shares.purse(holder(2));
        assert_eq!(other.hold(16 * 1024), Ok(()));
        assert_eq!(other.hold(8 * 1024), Ok(()));
        assert_eq!(shares.state().bytes.all, 24 * 1024);
        all.truncate(1);
        assert_eq!(all[0].hold(16 * 1024), Ok(()), "the others gave theirs back");
        drop((all, other));
        let state = shares.state();
        assert!(state.bytes.users.is_empty() && state.bytes.all == 0 && state.bytes.others == 0);
    }
}
