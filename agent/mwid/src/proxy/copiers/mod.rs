//! Copiers: threads that copy the bytes of connections that were made. In: a connection. Out: it, when it is over or was asked back.
//!
//! Not tasks of the runtime: its wake-ups, its clock and its locks cost a short message as much as its encryption, and a wait that has a time limit costs the
//! kernel a timer each time. A copier has its own epoll and waits for it without a limit; whatever may end a connection from outside (rules, times, a caller
//! that is gone) is waited for by the connection's task, which sleeps meanwhile.
mod copier;
mod socket;
mod ticket;

pub(super) use socket::Socket;
pub(super) use ticket::Done;

use super::route::Route;
use super::splice::Splice;
use copier::{Desk, Job, Wish};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use ticket::Ticket;
use tokio::time::Instant;

/// What they do is short, so a few serve the largest machine.
const MOST: usize = 4;

/// All of them. They end when this is dropped, and all they have with them.
#[derive(Default)]
pub(super) struct Copiers {
    desks: OnceLock<Vec<Arc<Desk>>>,
}

/// A connection that is being copied. On drop it ends.
pub(super) struct Copying {
    desk: Arc<Desk>,
    ticket: Arc<Ticket>,
}

impl Copiers {
    /// Starts them, where they have not been. Errors: no more descriptors, no more threads.
    pub(super) fn start(&self) -> io::Result<()> {
        if self.desks.get().is_some() {
            return Ok(());
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut desks = Vec::new();
        for number in 0..cores.min(MOST) {
            match copier::start(format!("mwid-copier-{number}")) {
                Ok(desk) => desks.push(desk),
                Err(error) => {
                    stop(&desks);
                    return Err(error);
                }
            }
        }
        // Another one that did it at the same time has done it as well.
        if let Err(ours) = self.desks.set(desks) {
            stop(&ours);
        }
        Ok(())
    }

    /// Copies from now on, at the copier that has least to do. `is_timed`: somebody asks when bytes last moved.
    pub(super) fn copy(&self, splice: Splice, route: &Arc<Route>, is_timed: bool) -> io::Result<Copying> {
        let desks = self.desks.get().into_iter().flatten();
        let load = |desk: &&Arc<Desk>| {
            let busy = desk.busy.load(Ordering::Relaxed);
            (busy, desk.open.load(Ordering::Relaxed))
        };
        let Some(desk) = desks.min_by_key(load) else {
            return Err(io::Error::other("there is no copier"));
        };
        let splice = splice.on(Socket::new)?;
        // What came with the end of the handshake.
        route.named.record.counters.received.inc_by(splice.received());
        let ticket = Arc::new(Ticket::new(is_timed));
        let job = Job::new(splice, Arc::clone(&ticket), Arc::clone(route));
        desk.open.fetch_add(1, Ordering::Relaxed);
        desk.wish(Wish::Copy(job));
        Ok(Copying {
            desk: Arc::clone(desk),
            ticket,
        })
    }
}

#[cfg(test)]
impl Copiers {
    pub(super) fn watch(&self) -> Vec<std::sync::Weak<impl Sized + use<>>> {
        self.desks
            .get()
            .into_iter()
            .flatten()
            .map(Arc::downgrade)
            .collect()
    }
}

impl Drop for Copiers {
    fn drop(&mut self) {
        stop(self.desks.get().map_or(&[], Vec::as_slice));
    }
}

fn stop(desks: &[Arc<Desk>]) {
    desks.iter().for_each(|desk| desk.wish(Wish::Stop));
}

impl Copying {
    /// Ready, once, when it is over. The task is woken also when one side has ended.
    pub(super) fn poll_done(&self, cx: &mut Context<'_>) -> Poll<Done> {
        self.ticket.poll_done(cx)
    }

    /// When bytes last moved. Exact where it was asked for, and since one side has ended.
    pub(super) fn moved(&self) -> Instant {
        Instant::from_std(self.ticket.moved())
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.ticket.is_half_closed()
    }

    /// Asks it back; it is done soon.
    pub(super) fn give_back(&self) {
        self.desk.wish(Wish::GiveBack(Arc::clone(&self.ticket)));
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        // Where it is over, nothing is found.
        if !self.ticket.is_over() {
            self.give_back();
        }
    }
}
