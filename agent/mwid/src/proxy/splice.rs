//! Copies between a TLS connection and a plain one, both ways at once. In: readiness of four directions. Out: how much went each way, and how it
//! ended. Each side's end is passed on when its bytes are; never holds a buffer while nothing moves, and never mistakes a cut for an end.
use super::link::{Backlog, Broken, Got, Link, Wire};
use super::scratch::{self, Scratch};
use crate::http::Stream;
use std::io;
use std::task::{Context, Poll};

/// So much happens at once at most, so that a connection that never waits leaves others their turn: 32 reads, or 4 MiB.
const TURN: u64 = 32;

/// Both sides of one connection.
pub(super) struct Splice<S = Stream> {
    pub(super) link: Link<S>,
    pub(super) plain: S,
    /// For the plain side.
    backlog: Backlog,
    from_link: Half,
    from_plain: Half,
}

/// How far one direction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Half {
    bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// No more comes; what came is on its way.
    Ended,
    /// The end was passed on.
    Done,
}

/// Which side broke, and how.
#[derive(Debug)]
pub(super) enum Failure {
    Link(Broken),
    Plain(io::Error),
}

/// What was moved in one go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Plain bytes of the peer.
    pub(super) received: u64,
    /// Plain bytes for the peer.
    pub(super) sent: u64,
    /// Everything that happened, bytes or not: what has to be looked at again for more.
    pub(super) steps: u64,
    /// It was enough for one turn, and there is more.
    pub(super) more: bool,
}

impl<S: Wire> Splice<S> {
    /// `header` goes to the plain side before everything else; `early` came with the handshake.
    pub(super) fn new(link: Link<S>, plain: S, header: Vec<u8>, early: Early) -> Self {
        let mut backlog = Backlog::default();
        let from_link = Half {
            bytes: early.bytes.len() as u64,
            state: if early.closed { State::Ended } else { State::Open },
        };
        let mut first = header;
        first.extend(early.bytes);
        backlog.keep(first);
        Self {
            link,
            plain,
            backlog,
            from_link,
            from_plain: Half::default(),
        }
    }

    /// The same, on what its streams are made to be.
    pub(super) fn on<T>(self, make: impl Fn(S) -> io::Result<T>) -> io::Result<Splice<T>> {
        let Self {
            link,
            plain,
            backlog,
            from_link,
            from_plain,
        } = self;
        Ok(Splice {
            link: link.on(&make)?,
            plain: make(plain)?,
            backlog,
            from_link,
            from_plain,
        })
    }

    pub(super) fn received(&self) -> u64 {
        self.from_link.bytes
    }

    pub(super) fn sent(&self) -> u64 {
        self.from_plain.bytes
    }

    /// One side has ended, or both have and the last bytes are still to be taken. Also where its end was not read yet, because what it said before waits for
    /// the other side.
    pub(super) fn is_half_closed(&self) -> bool {
        let has_ended = |half: Half, stream: &S| half.state != State::Open || stream.has_ended();
        has_ended(self.from_link, &self.link.stream) || has_ended(self.from_plain, &self.plain)
    }

    /// Moves what can be moved; tells in `moved` what that was. Ready when both ends were passed on, or something broke.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<Result<(), Failure>> {
        scratch::with(|scratch| {
            loop {
                let before = moved.steps;
                self.inwards(scratch, cx, moved)?;
                self.outwards(scratch, cx, moved)?;
                if self.from_link.state == State::Done && self.from_plain.state == State::Done {
                    return Poll::Ready(Ok(()));
                }
                if moved.steps == before {
                    return Poll::Pending;
                }
                if moved.steps >= TURN {
                    moved.more = true;
                    return Poll::Pending;
                }
            }
        })
    }

    /// From the peer to the application.
    fn inwards(
        &mut self,
        scratch: &mut Scratch,
        cx: &mut Context<'_>,
        moved: &mut Moved,
    ) -> Result<(), Failure> {
        if !self.backlog.is_empty() {
            let waited = self.backlog.len();
            let flushed = self.backlog.poll_flush(&mut self.plain, cx);
            let flushed = flushed.map_err(Failure::Plain)?;
            // A part of it is a step, too: who takes little is no less there.
            moved.steps += u64::from(self.backlog.len() < waited);
            if flushed.is_pending() {
                return Ok(());
            }
        }
        match self.from_link.state {
            // Whatever else waits to be sent: a peer that sends before it reads would wait for us as we for it.
            State::Open if !self.link.is_full() => {
                scratch.plain.clear();
                let Poll::Ready(got) = self.link.poll_take(scratch, cx).map_err(Failure::Link)? else {
                    return Ok(());
                };
                let new = scratch.plain.len() as u64;
                self.from_link.bytes += new;
                moved.received += new;
                if matches!(got, Got::Closed) {
                    self.from_link.state = State::Ended;
                }
                moved.steps += 1;
                let sent = self.backlog.send(&mut self.plain, &scratch.plain, cx);
                sent.map_err(Failure::Plain)
            }
            State::Ended => {
                if self.plain.poll_end(cx).map_err(Failure::Plain)?.is_ready() {
                    self.from_link.state = State::Done;
                    moved.steps += 1;
                }
                Ok(())
            }
            State::Open | State::Done => Ok(()),
        }
    }

    /// From the application to the peer.
    fn outwards(
        &mut self,
        scratch: &mut Scratch,
        cx: &mut Context<'_>,
        moved: &mut Moved,
    ) -> Result<(), Failure> {
        let wire = |error| Failure::Link(Broken::Io(error));
        if !self.link.backlog.is_empty() {
            let waited = self.link.backlog.len();
            let flushed = self.link.backlog.poll_flush(&mut self.link.stream, cx);
            let flushed = flushed.map_err(wire)?;
            moved.steps += u64::from(self.link.backlog.len() < waited);
            if flushed.is_pending() {
                return Ok(());
            }
        }
        match self.from_plain.state {
            State::Open => {
                let Scratch { read, sealed, .. } = scratch;
                let done = match self.plain.poll_read(read, cx).map_err(Failure::Plain)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(0) => {
                        self.from_plain.state = State::Ended;
                        self.link.seal_end(sealed)
                    }
                    Poll::Ready(new) => {
                        self.from_plain.bytes += new as u64;
                        moved.sent += new as u64;
                        self.link.seal(&read[..new], sealed)
                    }
                };
                moved.steps += 1;
                done.map_err(Failure::Link)?;
                let sent = self.link.backlog.send(&mut self.link.stream, sealed.bytes(), cx);
                sealed.clear();
                sent.map_err(wire)
            }
            State::Ended => {
                if self.link.poll_shutdown(cx).map_err(wire)?.is_ready() {
                    self.from_plain.state = State::Done;
                    moved.steps += 1;
                }
                Ok(())
            }
            State::Done => Ok(()),
        }
    }
}

/// Plain bytes of the peer that came with the end of the handshake, and whether it has closed already.
#[derive(Default)]
pub(super) struct Early {
    pub(super) bytes: Vec<u8>,
    pub(super) closed: bool,
}

/// Closes a socket so that its other end sees an error, not an end: what it got may not be whole.
pub(super) fn abort(stream: Stream) {
    if let Stream::Tcp(tcp) = &stream {
        // Where it fails the other end sees an end; there is no better way to tell it.
        tcp.set_zero_linger().ok();
    }
    drop(stream);
}
