//! The TLS side of a connection: a stream and its TLS state. In: readiness. Out: plain bytes of the peer; ours, sealed, on their way. Never reads more
//! before what it has is on its way, so that a slow reader slows the sender down.
use super::begun::Begun;
use super::scratch::{self, READ, Scratch, Sealed};
use super::tls::{Fault, Tls};
use crate::http::Stream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// While more than this waits to be sent, nothing is read: a peer that reads nothing could make TLS answer it for ever. More than what is sealed at once, so
/// that bytes of ours that wait hold up no bytes of the peer's.
const MOST_WAITING: usize = 2 * READ;

/// What carries the bytes: a stream of tokio's, or a socket of a copier's.
pub(super) trait Wire {
    /// Reads once; 0 is the end.
    fn poll_read(&mut self, into: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
    /// Says that nothing more will be written.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// The other side has ended, or broke, though what it said before may not have been read. Not known of all.
    fn has_ended(&self) -> bool;
}

impl Wire for Stream {
    fn poll_read(&mut self, into: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        ready!(AsyncRead::poll_read(Pin::new(self), cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self), cx, bytes)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), cx)
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// Bytes that a stream did not take yet. Costs nothing while there are none.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Keeps bytes to be sent later.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        self.sent = 0;
    }

    /// Sends what is left. Ready: nothing is.
    pub(super) fn poll_flush(
        &mut self,
        stream: &mut impl Wire,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            self.sent += ready!(poll_write(stream, &self.bytes[self.sent..], cx))?;
        }
        if !self.bytes.is_empty() {
            *self = Self::default();
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much as goes now and keeps the rest.
    pub(super) fn send(
        &mut self,
        stream: &mut impl Wire,
        mut bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        if self.is_empty() {
            while !bytes.is_empty() {
                match poll_write(stream, bytes, cx) {
                    Poll::Ready(Ok(sent)) => bytes = &bytes[sent..],
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        // What was sent goes when it is as much as what was not: that moves no byte more than once or twice, and keeps no more than double.
        if self.sent > self.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

fn poll_write(stream: &mut impl Wire, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    match ready!(stream.poll_write(bytes, cx)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(written),
    }
}

/// Why the TLS side cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The peer broke the rules of TLS, or sent an alert.
    Tls(rustls::Error),
    /// It closed the stream without a word in TLS: somebody may have cut it.
    Cut,
    Io(io::Error),
}

impl From<Fault> for Broken {
    fn from(Fault(error): Fault) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What one read of the wire brought.
pub(super) enum Got {
    /// Bytes, of which some may be plain ones for the application.
    Bytes,
    /// The peer has said that it sends no more.
    Closed,
}

/// A stream with TLS on it.
pub(super) struct Link<S = Stream> {
    pub(super) stream: S,
    pub(super) tls: Tls,
    begun: Begun,
    pub(super) backlog: Backlog,
    /// The peer asked to resume a session.
    pub(super) asked_to_resume: bool,
}

impl<S: Wire> Link<S> {
    pub(super) fn new(stream: S, tls: Tls) -> Self {
        Self {
            stream,
            tls,
            begun: Begun::default(),
            backlog: Backlog::default(),
            asked_to_resume: false,
        }
    }

    /// The same, on what its stream is made to be.
    pub(super) fn on<T>(self, make: impl FnOnce(S) -> io::Result<T>) -> io::Result<Link<T>> {
        let Self {
            stream,
            tls,
            begun,
            backlog,
            asked_to_resume,
        } = self;
        Ok(Link {
            stream: make(stream)?,
            tls,
            begun,
            backlog,
            asked_to_resume,
        })
    }

    /// So much waits to be sent that nothing is to be read.
    pub(super) fn is_full(&self) -> bool {
        self.backlog.len() > MOST_WAITING
    }

    /// Reads once and decrypts: the plain bytes are in the scratch. What TLS has to answer is on its way.
    pub(super) fn poll_take(
        &mut self,
        scratch: &mut Scratch,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Got, Broken>> {
        let Scratch { read, plain, sealed } = scratch;
        let kept = self.begun.bytes.len();
        let new = match ready!(self.stream.poll_read(&mut read[kept..], cx))? {
            0 => return Poll::Ready(Err(Broken::Cut)),
            new => new,
        };
        let (place, bytes) = self.begun.join(read, new);
        let took = self.tls.take(bytes, plain, sealed);
        // Also the alert of a fault.
        self.backlog.send(&mut self.stream, sealed.bytes(), cx)?;
        sealed.clear();
        let took = took?;
        // A message of TLS has at most 64 KiB; who cuts it into records of a byte each is not served.
        if kept + new - took.used > read.len() / 2 {
            let error = rustls::Error::General("a message of TLS in too many pieces".to_owned());
            return Poll::Ready(Err(Broken::Tls(error)));
        }
        self.begun.keep(place, &read[..kept + new], took.used);
        Poll::Ready(Ok(if took.closed { Got::Closed } else { Got::Bytes }))
    }

    /// Encrypts; the bytes are in `sealed`, not yet on their way.
    pub(super) fn seal(&mut self, plain: &[u8], sealed: &mut Sealed) -> Result<(), Broken> {
        Ok(self.tls.seal(&mut self.begun.bytes, plain, sealed)?)
    }

    /// Says what TLS has to say first.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        scratch::with(|Scratch { plain, sealed, .. }| {
            self.tls.take(&mut [], plain, sealed)?;
            self.backlog.send(&mut self.stream, sealed.bytes(), cx)?;
            Ok(())
        })
    }

    /// Says that no more will be sent; as [`Link::seal`].
    pub(super) fn seal_end(&mut self, sealed: &mut Sealed) -> Result<(), Broken> {
        Ok(self.tls.close(&mut self.begun.bytes, sealed)?)
    }

    /// Says that no more will be sent.
    pub(super) fn close(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        scratch::with(|Scratch { sealed, .. }| {
            self.seal_end(sealed)?;
            self.backlog.send(&mut self.stream, sealed.bytes(), cx)?;
            Ok(())
        })
    }

    /// Sends what is left, then the end of the stream.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.backlog.poll_flush(&mut self.stream, cx))?;
        self.stream.poll_end(cx)
    }
}
