//! What a connection, or a stream of HTTP/2, is after both sides agreed to WebSocket: bytes, both ways. In: the two upgrades. Out: how it ended.
use super::alone::Alone;
use super::wire::{Asked, Busy, Wire};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional, copy_bidirectional_with_sizes};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What is copied at once on a stream, of which there may be many. Toward the client it is kept up to four times.
const FROM_CLIENT: usize = 8 * 1024;
const FROM_APP: usize = 4 * 1024;

pub(super) struct Tunnel {
    client: OnUpgrade,
    app: OnUpgrade,
    busy: Busy,
    asked: Asked,
}

impl Tunnel {
    pub(super) fn new(client: OnUpgrade, app: OnUpgrade, busy: Busy, asked: Asked) -> Self {
        Self {
            client,
            app,
            busy,
            asked,
        }
    }

    /// Copies until both sides have said that they have no more, or one breaks off: then the other is broken off too.
    pub(super) async fn run(self, wire: Arc<Wire>) -> io::Result<()> {
        let Self {
            client,
            app,
            busy,
            asked,
        } = self;
        let reading = busy.reading();
        let (client, app) = tokio::try_join!(client, app).map_err(io::Error::other)?;
        let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
        let copied = copy_bidirectional(&mut client, &mut app).await;
        if copied.is_err() {
            wire.cut();
        }
        drop((reading, busy, asked));
        copied.map(drop)
    }

    /// The same of one stream, beside others: what a connection's limits are to a tunnel, its own are to it. A peer may reset a stream, which looks like
    /// an end until something is sent to it; a message of WebSocket says itself whether it is whole.
    pub(super) async fn run_on_stream(self, alone: Alone, half_close: Option<Duration>) {
        let Self {
            client,
            app,
            busy,
            asked,
        } = self;
        let Ok((client, app)) = tokio::try_join!(client, app) else {
            return alone.cut();
        };
        let pace = Pace::default();
        let mut client = Paced::new(client, &pace);
        let mut app = Paced::new(app, &pace);
        let whole = tokio::select! {
            copied = copy_bidirectional_with_sizes(&mut client, &mut app, FROM_CLIENT, FROM_APP) => copied.is_ok(),
            () = pace.stands_still(half_close) => false,
        };
        if !whole {
            alone.cut();
        }
        drop((busy, asked));
    }
}

/// When something last moved in a tunnel, and whether one side has ended.
struct Pace {
    moved: Mutex<Instant>,
    is_half_closed: AtomicBool,
    half_closes: Notify,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            moved: Mutex::new(Instant::now()),
            is_half_closed: AtomicBool::default(),
            half_closes: Notify::new(),
        }
    }
}

impl Pace {
    fn step(&self) {
        // Nobody asks before one side has ended.
        if self.is_half_closed.load(Ordering::Relaxed) {
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    fn ended(&self) {
        if !self.is_half_closed.swap(true, Ordering::Relaxed) {
            self.half_closes.notify_one();
        }
        self.step();
    }

    /// Ready when one side has ended, and nothing moved for so long.
    async fn stands_still(&self, half_close: Option<Duration>) {
        let Some(half_close) = half_close else {
            return std::future::pending().await;
        };
        self.half_closes.notified().await;
        loop {
            let over = *self.moved.lock().unwrap_or_else(PoisonError::into_inner) + half_close;
            if Instant::now() >= over {
                return;
            }
            sleep_until(over).await;
        }
    }
}

/// One side, whose steps count.
struct Paced<'a> {
    inner: TokioIo<Upgraded>,
    pace: &'a Pace,
}

impl<'a> Paced<'a> {
    fn new(upgraded: Upgraded, pace: &'a Pace) -> Self {
        let inner = TokioIo::new(upgraded);
        Self { inner, pace }
    }
}

impl AsyncRead for Paced<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() == before {
            self.pace.ended();
        } else {
            self.pace.step();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Paced<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        self.pace.step();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
