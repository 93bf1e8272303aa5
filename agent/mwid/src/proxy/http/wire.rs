//! What is known of a connection while hyper has it. In: what goes over it, and what is under way. Out: when it owes a head, rests, or has broken.
use super::super::link::{Broken, Link};
use super::super::route::Route;
use super::super::splice::Early;
use super::frames::Frames;
use super::look;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use tokio::time::Instant;

/// What is known of the wire, for those who do not hold it.
pub(super) struct Wire {
    route: Arc<Route>,
    state: Mutex<State>,
    received: AtomicU64,
    sent: AtomicU64,
    steps: AtomicU64,
    half_closed: AtomicBool,
    /// Whoever reads last got bytes, and did not come for more.
    held_back: AtomicBool,
    /// What goes to the application ends so that nobody takes that for an end.
    cut: AtomicBool,
}

#[derive(Default)]
pub(super) struct State {
    broken: Option<Broken>,
    left: Option<Left>,
    /// The link's, for as long as hyper has the link: who drops that gets it from here, when this is none.
    socket: Option<RawFd>,
    /// Requests and answers under way.
    busy: usize,
    /// Of them, those for which hyper reads: bodies of requests, tunnels.
    reading: usize,
    /// Requests that wait for their answer, or for its end.
    requests: usize,
    /// Bytes of answers that have not gone to the peer.
    pub(super) unsent: usize,
    /// Who has more of them.
    pub(super) waiting: Vec<Waker>,
    /// When the head began that is being read.
    head: Option<Instant>,
    /// Of HTTP/2, where heads come while others are answered.
    frames: Option<Frames>,
}

/// The link, when hyper has let go of it.
pub(super) struct Left {
    pub(super) link: Box<Link>,
    /// TLS has said that we send no more.
    pub(super) closing: bool,
}

/// A request or an answer under way, until it is dropped.
pub(super) struct Busy(pub(super) Arc<Wire>);

/// Bytes of the peer that somebody waits for, until it is dropped.
pub(super) struct Reading(Arc<Wire>);

/// A request, from its head to the end of its answer.
pub(super) struct Asked(Arc<Wire>);

impl Wire {
    pub(super) fn new(route: &Arc<Route>, early: &Early, is_http2: bool) -> Arc<Self> {
        let state = State {
            frames: is_http2.then(Frames::new),
            ..State::default()
        };
        let wire = Self {
            route: Arc::clone(route),
            state: Mutex::new(state),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            half_closed: AtomicBool::new(early.closed),
            held_back: AtomicBool::default(),
            cut: AtomicBool::default(),
        };
        wire.received(&early.bytes);
        Arc::new(wire)
    }

    pub(super) fn received(&self, bytes: &[u8]) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if bytes.is_empty() {
            return;
        }
        let new = bytes.len() as u64;
        self.received.fetch_add(new, Ordering::Relaxed);
        self.route.named.record.counters.received.inc_by(new);
        let mut state = self.state();
        let State {
            frames, head, busy, ..
        } = &mut *state;
        let owes = match frames {
            Some(frames) => {
                if frames.take(bytes) {
                    *head = None;
                }
                frames.owes()
            }
            None => *busy == 0,
        };
        if owes && head.is_none() {
            *head = Some(Instant::now());
        }
    }

    pub(super) fn sent(&self, new: usize) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(new as u64, Ordering::Relaxed);
        self.route.named.record.counters.sent.inc_by(new as u64);
    }

    /// Plain bytes, from the peer and to it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.received), read(&self.sent))
    }

    /// Changes whenever something moves.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The link broke; the first that did is the cause of the others. Before anybody hears of it, connections to the application are to be cut.
    pub(super) fn breaks(&self, broken: Broken) {
        let mut state = self.state();
        state.broken.get_or_insert(broken);
        // At rest there is nothing that could be taken for whole.
        if state.busy > 0 {
            self.cut();
        }
    }

    /// From now on connections to the application do not end, but break.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// One of both sends no more.
    pub(super) fn half_closes(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
    }

    /// The wire was read, and whether that brought something: then nobody is told when there is more, or an end, before it is read again.
    pub(super) fn holds_back(&self, brought: bool) {
        self.held_back.store(brought, Ordering::Relaxed);
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::Relaxed)
    }

    /// The peer has ended or broken off, though what it said before has not been read.
    pub(super) fn has_ended(&self) -> bool {
        let state = self.state();
        state.socket.is_some_and(|socket| {
            // SAFETY: the link that owns it is not dropped before `lets_go`, which clears it and waits for this lock.
            look::has_ended(unsafe { BorrowedFd::borrow_raw(socket) })
        })
    }

    /// hyper gets the link with this socket.
    pub(super) fn begins(&self, socket: BorrowedFd<'_>) {
        self.state().socket = Some(socket.as_raw_fd());
    }

    /// It no longer has it.
    pub(super) fn lets_go(&self, left: Option<Left>) {
        let mut state = self.state();
        (state.socket, state.left) = (None, left);
    }

    /// Since when the peer owes us the rest of a head.
    pub(super) fn head_since(&self) -> Option<Instant> {
        self.state().head
    }

    /// A head is whole.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        let mut state = self.state();
        state.busy += 1;
        if state.frames.is_none() {
            state.head = None;
        }
        Busy(Arc::clone(self))
    }

    /// Whether an answer is under way and nobody waits for bytes of the peer: then nobody would hear that it is gone. HTTP/2 always reads.
    pub(super) fn is_unwatched(&self) -> bool {
        let state = self.state();
        state.frames.is_none() && state.busy > 0 && state.reading == 0
    }

    /// A request has come.
    pub(super) fn asked(self: &Arc<Self>) -> Asked {
        self.state().requests += 1;
        Asked(Arc::clone(self))
    }

    /// How many there are.
    pub(super) fn requests(&self) -> usize {
        self.state().requests
    }

    /// Whether no request and no answer is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.state().busy == 0
    }

    pub(super) fn broken(&self) -> Option<Broken> {
        self.state().broken.take()
    }

    pub(super) fn left(&self) -> Option<Left> {
        self.state().left.take()
    }

    /// Nothing in here panics half way.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Busy {
    /// Of this request hyper waits for more.
    pub(super) fn reading(&self) -> Reading {
        self.0.state().reading += 1;
        Reading(Arc::clone(&self.0))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.state().requests -= 1;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.state().reading -= 1;
    }
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        self.0.busy()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
    }
}
