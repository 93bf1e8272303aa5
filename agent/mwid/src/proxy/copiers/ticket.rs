//! What a copier and the task of a connection tell each other. In: from the copier when bytes moved, that one side has ended, the end. Out: that to the task.
//! The task sleeps while bytes are copied, and is woken for the last two alone.
use super::super::splice::{Failure, Splice};
use super::socket::Socket;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A connection that a copier is done with.
pub(in super::super) struct Done {
    pub(in super::super) splice: Box<Splice<Socket>>,
    /// None: it was asked for.
    pub(in super::super) how: Option<Result<(), Failure>>,
}

pub(super) struct Ticket {
    /// Where the copier has it; no other may ask.
    pub(super) index: AtomicUsize,
    begun: Instant,
    /// When bytes last moved, in nanoseconds after the beginning.
    moved: AtomicU64,
    /// Somebody wants to know that.
    pub(super) is_timed: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_half_closed: bool,
    is_over: bool,
    done: Option<Done>,
    task: Option<Waker>,
}

impl Ticket {
    pub(super) fn new(is_timed: bool) -> Self {
        Self {
            index: AtomicUsize::new(usize::MAX),
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            is_timed,
            state: Mutex::default(),
        }
    }

    pub(super) fn moves(&self) {
        let nanoseconds = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.moved.store(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn moved(&self) -> Instant {
        self.begun + Duration::from_nanos(self.moved.load(Ordering::Relaxed))
    }

    pub(super) fn half_closes(&self) {
        self.tell(|state| state.is_half_closed = true);
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.state().is_half_closed
    }

    pub(super) fn is_done(&self, done: Done) {
        self.tell(|state| {
            state.is_over = true;
            state.done = Some(done);
        });
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().is_over
    }

    pub(super) fn poll_done(&self, cx: &mut Context<'_>) -> Poll<Done> {
        let mut state = self.state();
        match state.done.take() {
            Some(done) => Poll::Ready(done),
            None => {
                state.task = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
