//! Clients built on grpcio send the path of the socket, percent-encoded, as `:authority`: h2 resets such a call, since those bytes are no
//! authority (RFC 3986, section 3.2.2; grpc/grpc#34305, hyperium/h2#487). Here such bytes are overwritten by legal ones on their way in.
//!
//! In: the bytes of a client behind its preface. Out: the same bytes, as many; only an illegal authority is another one. Nobody ever decides
//! anything by the authority. What is not understood passes as it is and nothing is touched after it: h2 refuses it as it does today.
mod filter;
mod hpack;
#[cfg(test)]
mod tests;

use super::preface::PREFACE;
use filter::Filter;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was seen of a client by who passes its bytes.
#[derive(Debug, Default)]
pub(super) struct Seen {
    heard: AtomicBool,
    /// Bytes were written after the last time that all were.
    unsent: AtomicBool,
}

impl Seen {
    /// Whether anything came from the client since somebody last looked.
    pub(super) fn heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Whether the client took all that there was to write: who writes flushes when nothing is left.
    pub(super) fn is_all_sent(&self) -> bool {
        !self.unsent.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    fn sends(&self, unsent: bool) {
        self.unsent.store(unsent, Ordering::Relaxed);
    }
}

/// A client's stream. Reads begin with the preface, which was read already.
#[derive(Debug)]
pub(super) struct Authority<S> {
    stream: S,
    /// None once nothing can come that has to be touched: then reads cost nothing more.
    filtered: Option<Box<Filtered>>,
    seen: Arc<Seen>,
}

#[derive(Debug)]
struct Filtered {
    filter: Filter,
    /// What has passed, and how much of it is read.
    passed: Vec<u8>,
    read: usize,
}

/// Of one read. Nobody sends much before his first call.
const CHUNK: usize = 4096;

impl<S> Authority<S> {
    pub(super) fn new(stream: S, seen: Arc<Seen>) -> Self {
        Self {
            stream,
            filtered: Some(Box::new(Filtered {
                filter: Filter::default(),
                passed: PREFACE.to_vec(),
                read: 0,
            })),
            seen,
        }
    }
}

impl Filtered {
    /// Hands on what has passed; false when there is nothing.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = self.passed.get(self.read..).unwrap_or_default();
        let part = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(part);
        self.read += part.len();
        let gave = !part.is_empty();
        if self.read == self.passed.len() {
            self.passed.clear();
            self.read = 0;
        }
        gave
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Authority<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let Some(filtered) = &mut this.filtered {
            if buf.remaining() == 0 || filtered.give(buf) {
                return Poll::Ready(Ok(()));
            }
            if filtered.filter.is_done() {
                this.filtered = None;
                break;
            }
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut chunk))?;
            this.seen.set();
            match chunk.filled() {
                [] => filtered.filter.end(&mut filtered.passed),
                bytes => filtered.filter.pass(bytes, &mut filtered.passed),
            }
        }
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.seen.set();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Authority<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.seen.sends(true);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.seen.sends(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.seen.sends(true);
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
