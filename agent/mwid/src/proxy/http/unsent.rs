//! What of answers has not gone to the peer yet. In: pieces of them. Out: the same, counted while any part of them is there, and room for more or none.
//! Never holds a piece.
use super::wire::{Busy, Wire};
use hyper::body::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// Of all answers of a connection together, and one piece of each beside.
const UNSENT: usize = 512 * 1024;

/// What of one answer has not gone to the peer: bounded for all of a connection together, so that one who opens streams and reads none costs little, but
/// each may have one piece, so that none waits for another that its peer does not take.
pub(super) struct Unsent {
    wire: Arc<Wire>,
    own: AtomicUsize,
}

impl Unsent {
    pub(super) fn new(busy: &Busy) -> Arc<Self> {
        let wire = Arc::clone(&busy.0);
        Arc::new(Self {
            wire,
            own: AtomicUsize::new(0),
        })
    }

    /// Ready when one more piece may be had.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.wire.state();
        if state.unsent < UNSENT || self.own.load(Ordering::Relaxed) == 0 {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Counts a piece until its last part is dropped.
    pub(super) fn count(self: &Arc<Self>, piece: Bytes) -> Bytes {
        let size = piece.len();
        self.wire.state().unsent += size;
        self.own.fetch_add(size, Ordering::Relaxed);
        Bytes::from_owner(Piece {
            piece,
            size,
            of: Arc::clone(self),
        })
    }
}

struct Piece {
    piece: Bytes,
    size: usize,
    of: Arc<Unsent>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Unsent { wire, own } = &*self.of;
        let mut state = wire.state();
        state.unsent -= self.size;
        let is_last = own.fetch_sub(self.size, Ordering::Relaxed) == self.size;
        if is_last || state.unsent < UNSENT {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}
