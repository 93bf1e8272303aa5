//! A socket at a copier. In: what epoll tells of it. Out: reads and writes that never wait. It is told of changes alone (edges), and so remembers what it was
//! told until a read or a write finds that this is over.
use super::super::link::Wire;
use crate::http::Stream;
use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::task::{Context, Poll};

pub(in super::super) struct Socket {
    io: Io,
    /// There may be something to read.
    readable: bool,
    /// There may be room to write.
    writable: bool,
    /// The other side has ended, or the connection broke: of that there is one word, and the end lasts.
    ended: bool,
}

enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Takes it from the runtime that it was made on. Errors are those of its epoll.
    pub(super) fn new(stream: Stream) -> io::Result<Self> {
        let io = match stream {
            Stream::Tcp(tcp) => Io::Tcp(TcpStream::from_std(tcp.into_std()?)),
            Stream::Unix(unix) => Io::Unix(UnixStream::from_std(unix.into_std()?)),
        };
        // Whatever was told of it before is not known here.
        Ok(Self {
            io,
            readable: true,
            writable: true,
            ended: false,
        })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        match &mut self.io {
            Io::Tcp(tcp) => tcp.register(registry, token, interests),
            Io::Unix(unix) => unix.register(registry, token, interests),
        }
    }

    pub(super) fn hear(&mut self, event: &Event) {
        let broke = event.is_error() || event.is_write_closed();
        self.readable |= event.is_readable();
        self.writable |= event.is_writable() || broke;
        self.ended |= event.is_read_closed() || broke;
    }

    /// Whatever becomes of it, no word of it comes any more.
    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.io {
            Io::Tcp(tcp) => tcp.deregister(registry),
            Io::Unix(unix) => unix.deregister(registry),
        }
    }

    /// Closes it so that its other end sees an error, not an end: what it got may not be whole.
    pub(in super::super) fn abort(self) {
        if let Io::Tcp(tcp) = &self.io {
            let at_once = nix::libc::linger {
                l_onoff: 1,
                l_linger: 0,
            };
            // Where it fails the other end sees an end; there is no better way to tell it.
            setsockopt(tcp, sockopt::Linger, &at_once).ok();
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.io {
            Io::Tcp(tcp) => tcp.read(into),
            Io::Unix(unix) => unix.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.io {
            Io::Tcp(tcp) => tcp.write(bytes),
            Io::Unix(unix) => unix.write(bytes),
        }
    }
}

impl Wire for Socket {
    fn poll_read(&mut self, into: &mut [u8], _cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.readable && !self.ended {
            return Poll::Pending;
        }
        loop {
            match self.read(into) {
                Ok(read) => {
                    // With room to spare, that was all: of what comes next there is word (epoll(7), "edge-triggered").
                    if read > 0 && read < into.len() {
                        self.readable = false;
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Poll::Pending;
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    fn poll_write(&mut self, bytes: &[u8], _cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while self.writable {
            match self.write(bytes) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                written => return Poll::Ready(written),
            }
        }
        Poll::Pending
    }

    fn poll_end(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = match &self.io {
            Io::Tcp(tcp) => tcp.shutdown(Shutdown::Write),
            Io::Unix(unix) => unix.shutdown(Shutdown::Write),
        };
        Poll::Ready(match ended {
            // The other side has gone already.
            Err(e) if e.kind() == ErrorKind::NotConnected => Ok(()),
            ended => ended,
        })
    }

    fn has_ended(&self) -> bool {
        self.ended
    }
}
