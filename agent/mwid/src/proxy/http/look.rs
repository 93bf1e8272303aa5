//! Clients of whom nobody reads, for what they said last waits for the application. In: the wire. Out: the wire is told when such a client has ended, or
//! broken off, behind that. Reads nothing.
use super::wire::Wire;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::future::Future as _;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep};

/// Between two looks. They are needed because tokio wakes nobody: it has said already that there is something to read, and nobody has read it.
const STEP: Duration = Duration::from_secs(1);

/// When one is due. Has no timer before something is held back for the first time.
#[derive(Default)]
pub(super) struct Looks(Option<Pin<Box<Sleep>>>);

impl Looks {
    /// Looks if it is time to; `cx` is woken for the next one.
    pub(super) fn poll(&mut self, wire: &Wire, cx: &mut Context<'_>) {
        if !wire.is_held_back() || wire.is_half_closed() {
            return;
        }
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep(STEP)));
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(Instant::now() + STEP);
            if wire.has_ended() {
                return wire.half_closes();
            }
        }
    }
}

/// Whether the other side of a socket has ended, or broke.
pub(super) fn has_ended(socket: BorrowedFd<'_>) -> bool {
    let mut sockets = [PollFd::new(
        socket,
        PollFlags::from_bits_retain(nix::libc::POLLRDHUP),
    )];
    // Where it fails the next look has to do.
    poll(&mut sockets, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
