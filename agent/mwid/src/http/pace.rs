//! How long a connection may take for what it is doing, kept with one timer that is looked at late instead of moved early:
//! a request costs one read of the clock, no timer.
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The bounds of one server.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Open connections; further ones wait in the kernel's queue.
    pub(crate) connections: usize,
    /// From the first byte (or from connecting) to the end of a request's head.
    pub(crate) header: Duration,
    /// Without a request, or without the client taking its answer.
    pub(crate) idle: Duration,
    /// From the first byte of the head until the answer is there.
    pub(crate) request: Duration,
    /// For requests in flight, after stopping was asked for.
    pub(crate) drain: Duration,
    /// Size of a request's head.
    pub(crate) header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            request: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            header_bytes: 8 * 1024,
        }
    }
}

/// The limits of each phase in milliseconds, for who compares them at each wake-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    header: u64,
    request: u64,
    idle: u64,
}

impl Bounds {
    pub(super) fn of(limits: &Limits) -> Self {
        Self {
            header: millis(limits.header),
            request: millis(limits.request),
            idle: millis(limits.idle),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(u64::MAX >> 2, |millis| millis.min(u64::MAX >> 2))
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The client sends a head.
    Header,
    /// We work on the answer.
    Serving,
    /// The client takes its answer, or has nothing to ask.
    Idle,
}

/// The phase of one connection and since when. Shared by the parts of one task; atomic only to be `Send`.
#[derive(Debug)]
pub(crate) struct Pace {
    born: Instant,
    /// Milliseconds since `born`, times 4, plus the phase.
    state: AtomicU64,
    /// When bytes came in this wake-up, in milliseconds since `born`.
    now: AtomicU64,
}

/// None came.
const UNKNOWN: u64 = u64::MAX;

impl Pace {
    /// A connection that has just been opened: its client owes a head.
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            state: AtomicU64::new(0),
            now: AtomicU64::new(UNKNOWN),
        }
    }

    /// The task is woken: what it does until it waits again, it does at one time.
    pub(super) fn wake(&self) {
        self.now.store(UNKNOWN, Ordering::Relaxed);
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.enter_at(self.elapsed(), phase);
    }

    fn enter_at(&self, since: u64, phase: Phase) {
        let code = match phase {
            Phase::Header => 0,
            Phase::Serving => 1,
            Phase::Idle => 2,
        };
        self.state.store((since << 2) | code, Ordering::Relaxed);
    }

    fn elapsed(&self) -> u64 {
        millis(self.born.elapsed())
    }

    /// The answer is there. Looks at the clock only if the head did not come in this same wake-up.
    pub(super) fn answered(&self) {
        match self.now.load(Ordering::Relaxed) {
            UNKNOWN => self.enter(Phase::Idle),
            now => self.enter_at(now, Phase::Idle),
        }
    }

    /// We work on the answer from now on. Counts from the client's first byte, at most [`Limits::header`] ago, and so costs no look at the clock.
    pub(super) fn serve(&self) {
        let since = self.state.load(Ordering::Relaxed) >> 2;
        self.state.store((since << 2) | 1, Ordering::Relaxed);
    }

    /// What it is doing.
    pub(super) fn phase(&self) -> Phase {
        match self.state.load(Ordering::Relaxed) & 3 {
            0 => Phase::Header,
            1 => Phase::Serving,
            _ => Phase::Idle,
        }
    }

    /// What it is doing, and since when.
    pub(crate) fn now(&self) -> (Phase, Instant) {
        let since = Duration::from_millis(self.state.load(Ordering::Relaxed) >> 2);
        (self.phase(), self.born + since)
    }

    /// Until when it may go on with that, in milliseconds since it was born.
    pub(super) fn due(&self, bounds: &Bounds) -> u64 {
        let limit = match self.phase() {
            Phase::Header => bounds.header,
            Phase::Serving => bounds.request,
            Phase::Idle => bounds.idle,
        };
        (self.state.load(Ordering::Relaxed) >> 2) + limit
    }

    /// The same moment by the clock.
    pub(super) fn at(&self, due: u64) -> Instant {
        self.born + Duration::from_millis(due)
    }

    /// In milliseconds since it was born.
    pub(super) fn in_time(&self, span: Duration) -> u64 {
        self.elapsed() + millis(span)
    }

    /// Since when it is the client's turn, if it is.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.state.load(Ordering::Relaxed);
        (state & 3 != 1).then(|| self.born + Duration::from_millis(state >> 2))
    }

    /// Bytes came: an idle client has begun a head.
    fn read(&self) {
        let now = self.elapsed();
        self.now.store(now, Ordering::Relaxed);
        if self.phase() == Phase::Idle {
            self.enter_at(now, Phase::Header);
        }
    }
}

/// A stream whose reads are seen by its [`Pace`].
#[derive(Debug)]
pub(super) struct Paced<S> {
    pub(super) stream: S,
    pub(super) pace: Arc<Pace>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pace.read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
