//! The TLS side of a connection, as hyper reads and writes it. In: a link. Out: plain bytes, counted; what broke, and the link when hyper is done with
//! it. Never takes a cut for an end.
use super::super::link::{Broken, Got, Link};
use super::super::scratch::{self, READ};
use super::super::splice::Early;
use super::wire::{Left, Wire};
use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
        wire.begins(link.stream.as_fd());
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
        self.wire.breaks(broken);
        kind.into()
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), Broken>> {
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
            let before = buf.filled().len();
            ready!(self.poll_more(cx, buf))?;
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once, into `buf` as far as it goes; the rest is kept.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), Broken>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(Ok(()));
        };
        if link.is_full() {
            ready!(link.backlog.poll_flush(&mut link.stream, cx))?;
        }
        let got = scratch::with(|scratch| {
            let got = ready!(link.poll_take(scratch, cx))?;
            self.wire.received(&scratch.plain);
            let now = scratch.plain.len().min(buf.remaining());
            buf.put_slice(&scratch.plain[..now]);
            self.plain.extend_from_slice(&scratch.plain[now..]);
            Poll::Ready(Ok::<_, Broken>(got))
        });
        self.wire.holds_back(got.is_ready());
        if matches!(ready!(got)?, Got::Closed) {
            self.ended = true;
            self.wire.half_closes();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads ahead while hyper does not: an end is only an end, but a peer that is gone waits for no answer. Keeps what one read brings, and reads no more
    /// before hyper has taken that.
    fn watch(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        while self.plain.is_empty() && !self.ended && self.link.is_some() && self.wire.is_unwatched() {
            if self.poll_more(cx, &mut ReadBuf::new(&mut []))?.is_pending() {
                break;
            }
        }
        Ok(())
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
            self.wire.half_closes();
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
        let given = this.poll_give(cx, bytes);
        if given.is_pending() {
            this.watch(cx).map_err(|broken| this.broke(broken))?;
        }
        given.map_err(|broken| this.broke(broken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = match &mut this.link {
            Some(link) => link.backlog.poll_flush(&mut link.stream, cx),
            None => Poll::Ready(Ok(())),
        };
        // hyper flushes whenever it looks at a connection.
        this.watch(cx).map_err(|broken| this.broke(broken))?;
        flushed.map_err(|error| this.broke(Broken::Io(error)))
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
        self.wire.lets_go(left);
    }
}
