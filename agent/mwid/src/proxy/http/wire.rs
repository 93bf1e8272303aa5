//! The TLS side of a connection, as hyper reads and writes it. In: a link. Out: plain bytes, counted; what broke, and the link when hyper is done with
//! it. Never takes a cut for an end.
use super::super::link::{Broken, Got, Link};
use super::super::route::Route;
use super::super::scratch::{self, READ};
use super::super::splice::Early;
use super::frames::Frames;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What is known of the wire, for those who do not hold it.
pub(super) struct Wire {
    route: Arc<Route>,
    state: Mutex<State>,
    received: AtomicU64,
    sent: AtomicU64,
    steps: AtomicU64,
    half_closed: AtomicBool,
}

#[derive(Default)]
struct State {
    broken: Option<Broken>,
    left: Option<Left>,
    /// Requests and answers under way.
    busy: usize,
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
pub(super) struct Busy(Arc<Wire>);

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
        };
        wire.received(&early.bytes);
        Arc::new(wire)
    }

    fn received(&self, bytes: &[u8]) {
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

    fn sent(&self, new: usize) {
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

    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The stream that hyper has. What it does not take at once of what was decrypted is kept, and nothing else is.
pub(super) struct TlsStream {
    /// Gone only when this is dropped.
    link: Option<Box<Link>>,
    plain: Vec<u8>,
    taken: usize,
    ended: bool,
    closing: bool,
    wire: Arc<Wire>,
}

impl TlsStream {
    pub(super) fn new(link: Box<Link>, early: Early, wire: Arc<Wire>) -> Self {
        Self {
            link: Some(link),
            plain: early.bytes,
            taken: 0,
            ended: early.closed,
            closing: false,
            wire,
        }
    }

    fn broke(&self, broken: Broken) -> io::Error {
        let kind = match &broken {
            Broken::Cut => io::ErrorKind::UnexpectedEof,
            Broken::Io(error) => error.kind(),
            Broken::Tls(_) => io::ErrorKind::InvalidData,
        };
        // The first is the cause of the others.
        self.wire.state().broken.get_or_insert(broken);
        kind.into()
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), Broken>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(Ok(()));
        };
        loop {
            if self.taken < self.plain.len() {
                let left = &self.plain[self.taken..];
                let now = left.len().min(buf.remaining());
                buf.put_slice(&left[..now]);
                self.taken += now;
                if self.taken == self.plain.len() {
                    (self.plain, self.taken) = (Vec::new(), 0);
                }
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if link.is_full() {
                ready!(link.backlog.poll_flush(&mut link.stream, cx))?;
            }
            let got = scratch::with(|scratch| {
                let got = ready!(link.poll_take(scratch, cx))?;
                self.wire.received(&scratch.plain);
                let now = scratch.plain.len().min(buf.remaining());
                buf.put_slice(&scratch.plain[..now]);
                self.plain.extend_from_slice(&scratch.plain[now..]);
                Poll::Ready(Ok::<_, Broken>((got, now)))
            });
            let (got, now) = ready!(got)?;
            if matches!(got, Got::Closed) {
                self.ended = true;
                self.wire.half_closed.store(true, Ordering::Relaxed);
            }
            if now > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_give(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(Ok(0));
        };
        ready!(link.backlog.poll_flush(&mut link.stream, cx))?;
        let now = bytes.len().min(READ);
        scratch::with(|scratch| {
            link.seal(&bytes[..now], &mut scratch.sealed)?;
            link.backlog.send(&mut link.stream, scratch.sealed.bytes(), cx)?;
            Ok::<_, Broken>(())
        })?;
        self.wire.sent(now);
        Poll::Ready(Ok(now))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(Ok(()));
        };
        if !self.closing {
            self.closing = true;
            self.wire.half_closed.store(true, Ordering::Relaxed);
            link.close(cx)?;
        }
        ready!(link.poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_take(cx, buf).map_err(|broken| this.broke(broken))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.poll_give(cx, bytes).map_err(|broken| this.broke(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match &mut this.link {
            Some(link) => ready!(link.backlog.poll_flush(&mut link.stream, cx)),
            None => Ok(()),
        };
        Poll::Ready(flushed.map_err(|error| this.broke(Broken::Io(error))))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_close(cx).map_err(|broken| this.broke(broken))
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        let closing = self.closing;
        let left = self.link.take().map(|link| Left { link, closing });
        self.wire.state().left = left;
    }
}
