//! One copier: a thread that waits for the sockets of its connections, and for nothing else. In: connections, and wishes to have them back. Out: bytes, copied;
//! each connection, when it is over. One that never waits has its turn, and others theirs.
use super::super::route::Route;
use super::super::splice::{Failure, Moved, Splice};
use super::socket::Socket;
use super::ticket::{Done, Ticket};
use mio::{Events, Poll as Epoll, Token, Waker as Bell};
use slab::Slab;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Of the bell; those of sockets begin at 0.
const BELL: Token = Token(usize::MAX);
/// Events that one wait brings at most.
const EVENTS: usize = 256;
/// After an error of epoll that cannot be, so that it does not keep a core busy.
const REST: Duration = Duration::from_millis(10);

/// What others know of a copier.
pub(super) struct Desk {
    wishes: Mutex<Vec<Wish>>,
    bell: Bell,
    /// How many connections it has.
    pub(super) open: AtomicUsize,
    /// How many of them have always more.
    pub(super) busy: AtomicUsize,
}

pub(super) enum Wish {
    Copy(Job),
    GiveBack(Arc<Ticket>),
    Stop,
}

/// One connection.
pub(super) struct Job {
    pub(super) splice: Box<Splice<Socket>>,
    pub(super) ticket: Arc<Ticket>,
    /// Its counters are told of bytes at once.
    pub(super) route: Arc<Route>,
    /// It has a turn to come.
    waits: bool,
    /// Its task knows that one side has ended.
    told: bool,
}

/// What came of a turn.
enum Turn {
    Rests,
    HasMore,
    Over(Result<(), Failure>),
}

struct Copier {
    epoll: Epoll,
    desk: Arc<Desk>,
    jobs: Slab<Job>,
    /// Those of which there is news.
    turns: VecDeque<usize>,
    /// Those that had their turn, and have more.
    busy: VecDeque<usize>,
}

impl Desk {
    pub(super) fn wish(&self, wish: Wish) {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.push(wish);
        drop(wishes);
        if let Err(error) = self.bell.wake() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a copier was not woken, the next wish wakes it"
            );
        }
    }

    fn wishes(&self) -> Vec<Wish> {
        std::mem::take(&mut *self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Job {
    pub(super) fn new(splice: Splice<Socket>, ticket: Arc<Ticket>, route: Arc<Route>) -> Self {
        Self {
            splice: Box::new(splice),
            ticket,
            route,
            waits: false,
            told: false,
        }
    }

    fn turn(&mut self) -> Turn {
        let Self {
            splice,
            ticket,
            route,
            told,
            ..
        } = self;
        let mut moved = Moved::default();
        // Whatever it waits for, the copier hears of.
        let polled = splice.poll(&mut Context::from_waker(Waker::noop()), &mut moved);
        let counters = &route.named.record.counters;
        for (counter, bytes) in [(&counters.received, moved.received), (&counters.sent, moved.sent)] {
            if bytes > 0 {
                counter.inc_by(bytes);
            }
        }
        let is_half_closed = splice.is_half_closed();
        if (moved.steps > 0 && (ticket.is_timed || is_half_closed)) || (is_half_closed && !*told) {
            ticket.moves();
        }
        match polled {
            Poll::Ready(how) => return Turn::Over(how),
            Poll::Pending if is_half_closed && !std::mem::replace(told, true) => ticket.half_closes(),
            Poll::Pending => {}
        }
        if moved.more { Turn::HasMore } else { Turn::Rests }
    }
}

/// Starts one. It runs until it is told to stop.
pub(super) fn start(name: String) -> io::Result<Arc<Desk>> {
    let epoll = Epoll::new()?;
    let desk = Arc::new(Desk {
        wishes: Mutex::default(),
        bell: Bell::new(epoll.registry(), BELL)?,
        open: AtomicUsize::new(0),
        busy: AtomicUsize::new(0),
    });
    let copier = Copier {
        epoll,
        desk: Arc::clone(&desk),
        jobs: Slab::new(),
        turns: VecDeque::new(),
        busy: VecDeque::new(),
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(move || copier.run())?;
    Ok(desk)
}

impl Copier {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let wait = (!self.busy.is_empty()).then_some(Duration::ZERO);
            match self.epoll.poll(&mut events, wait) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a copier cannot wait, trying on"
                    );
                    std::thread::sleep(REST);
                }
            }
            let mut rang = false;
            for event in &events {
                let token = event.token();
                if token == BELL {
                    rang = true;
                } else if let Some(job) = self.jobs.get_mut(token.0 / 2) {
                    let socket = if token.0.is_multiple_of(2) {
                        &mut job.splice.link.stream
                    } else {
                        &mut job.splice.plain
                    };
                    socket.hear(event);
                    if !std::mem::replace(&mut job.waits, true) {
                        self.turns.push_back(token.0 / 2);
                    }
                }
            }
            if rang && self.serve_wishes().is_break() {
                return;
            }
            while let Some(index) = self.turns.pop_front() {
                self.turn(index);
            }
            // One of those that have more, then again whatever is new.
            if let Some(index) = self.busy.pop_front() {
                self.turn(index);
            }
            self.desk.busy.store(self.busy.len(), Ordering::Relaxed);
        }
    }

    fn serve_wishes(&mut self) -> std::ops::ControlFlow<()> {
        for wish in self.desk.wishes() {
            match wish {
                Wish::Copy(job) => self.take(job),
                Wish::GiveBack(ticket) => {
                    let index = ticket.index.load(Ordering::Relaxed);
                    let is_its = |job: &Job| Arc::ptr_eq(&job.ticket, &ticket);
                    if self.jobs.get(index).is_some_and(is_its) {
                        self.end(index, None);
                    }
                }
                Wish::Stop => return std::ops::ControlFlow::Break(()),
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn take(&mut self, mut job: Job) {
        job.waits = true;
        let ticket = Arc::clone(&job.ticket);
        let index = self.jobs.insert(job);
        ticket.index.store(index, Ordering::Relaxed);
        self.turns.push_back(index);
        let registry = self.epoll.registry();
        let Splice { link, plain, .. } = &mut *self.jobs[index].splice;
        let failed = link
            .stream
            .register(registry, Token(2 * index))
            .and_then(|()| plain.register(registry, Token(2 * index + 1)));
        if let Err(error) = failed {
            // Nothing of the peer's: there is no more memory, or there are no more watches.
            self.end(index, Some(Err(Failure::Plain(error))));
        }
    }

    fn turn(&mut self, index: usize) {
        // It may have been given back.
        let Some(job) = self.jobs.get_mut(index) else {
            return;
        };
        if !std::mem::replace(&mut job.waits, false) {
            return;
        }
        // One connection's trouble is not that of all others of this thread. What it left half done goes with it.
        let turn = catch_unwind(AssertUnwindSafe(|| job.turn()));
        match turn {
            Ok(Turn::Rests) => {}
            Ok(Turn::HasMore) => {
                job.waits = true;
                self.busy.push_back(index);
            }
            Ok(Turn::Over(how)) => self.end(index, Some(how)),
            Err(_panicked) => {
                let error = io::Error::other("the copying of this connection failed");
                self.end(index, Some(Err(Failure::Plain(error))));
            }
        }
    }

    fn end(&mut self, index: usize, how: Option<Result<(), Failure>>) {
        let Job {
            mut splice, ticket, ..
        } = self.jobs.remove(index);
        // Another connection may have its place, and events with it, before they are closed. One that was never known has none.
        let registry = self.epoll.registry();
        splice.link.stream.deregister(registry).ok();
        splice.plain.deregister(registry).ok();
        // What they have is little when few are left.
        if self.jobs.is_empty() {
            self.jobs = Slab::new();
            self.turns = VecDeque::new();
            self.busy = VecDeque::new();
        }
        self.desk.open.fetch_sub(1, Ordering::Relaxed);
        ticket.is_done(Done { splice, how });
    }
}
