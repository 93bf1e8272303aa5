//! Listening sockets.
//!
//! In: where to listen, or a socket that is open already. Out: connected streams. Never takes over a path that somebody else uses.
mod beside;
mod error;
pub(crate) mod unix;

pub(crate) use error::ListenError;
use nix::sys::socket::{AddressFamily, Backlog, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{getsockname, getsockopt, setsockopt, sockopt};
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that the kernel keeps for us until we accept them. More than std's 128: while all places are taken they wait there.
const WAITING: i32 = 1024;

/// Where connections come from.
pub(crate) trait Accept: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection. Loses none when dropped before it ends.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A listening socket of either kind.
#[derive(Debug)]
pub(crate) enum Listener {
    /// With the path that we made, if we made it.
    Unix(UnixListener, Option<unix::Place>),
    Tcp(TcpListener),
}

/// A connection of either kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listener {
    /// Listens on a TCP address.
    pub(crate) fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        let fail = |source| ListenError::Tcp { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(fail)?;
        let waiting = Backlog::new(WAITING).map_err(|e| fail(e.into()))?;
        nix::sys::socket::listen(&listener, waiting).map_err(|e| fail(e.into()))?;
        Self::open_tcp(listener).map_err(fail)
    }

    /// Listens on a TCP address at which nobody can because of listeners of ours that are to go (`leaving`). It takes nobody before it is kept, and they are
    /// as they were if it is not.
    pub(crate) fn tcp_beside(address: SocketAddr, leaving: &[&Self]) -> Result<unix::Placed, ListenError> {
        let listener = beside::listen(address, leaving);
        let listener = listener.map_err(|source| ListenError::Tcp { address, source })?;
        Ok(unix::Placed::hushed(Self::Tcp(listener)))
    }

    /// A TCP socket that listens already.
    pub(crate) fn open_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        // Answers are small and whole; waiting for more to send only delays them. Linux has what is accepted inherit it, which saves a call for each.
        // Where it fails they are only later.
        setsockopt(&listener, sockopt::TcpNoDelay, &true).ok();
        Ok(Self::Tcp(TcpListener::from_std(listener)?))
    }

    /// A Unix socket that listens already.
    pub(crate) fn open_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?, None))
    }

    /// A socket that listens already: given by systemd, which also owns its path if it has one.
    pub(crate) fn passed(fd: OwnedFd) -> io::Result<Self> {
        let unfit = |what: &str| io::Error::new(io::ErrorKind::Unsupported, what);
        let stream = getsockopt(&fd, sockopt::SockType)? == SockType::Stream;
        if !stream || !getsockopt(&fd, sockopt::AcceptConn)? {
            return Err(unfit("it takes no connections; use ListenStream= and Accept=no"));
        }
        let address: SockaddrStorage = getsockname(fd.as_raw_fd())?;
        match address.family() {
            Some(AddressFamily::Unix) => Self::open_unix(fd.into()),
            Some(AddressFamily::Inet | AddressFamily::Inet6) => Self::open_tcp(fd.into()),
            _ => Err(unfit(
                "its address family is neither that of IP nor of Unix sockets",
            )),
        }
    }

    /// Whether only local processes whom a socket's mode let in can come here.
    pub(crate) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(..))
    }

    /// Which socket is at our path, to tell [`unix::prepare`] when it is to be replaced.
    pub(crate) fn place(&self) -> Option<unix::FileId> {
        match self {
            Self::Unix(_, place) => place.as_ref().map(unix::Place::id),
            Self::Tcp(_) => None,
        }
    }

    /// The next connection. Loses none when dropped before it ends.
    pub(crate) async fn next(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener, _) => Ok(Stream::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => Ok(Stream::Tcp(listener.accept().await?.0)),
        }
    }

    /// From now on it takes nobody new; those who came before are still to be accepted. Not for a socket that others listen at too.
    pub(crate) fn hush(&self) {
        match self {
            Self::Unix(_, place) => {
                if let Some(place) = place {
                    place.clear();
                }
            }
            Self::Tcp(tcp) => {
                if let Err(errno) = beside::hush(tcp) {
                    tracing::warn!(%errno, "a listener that goes takes connections to its end");
                }
            }
        }
    }

    /// From now on it takes everybody.
    fn unhush(&self) {
        if let Self::Tcp(tcp) = self
            && let Err(errno) = beside::unhush(tcp)
        {
            tracing::error!(%errno, "a listener takes nobody; restart mwid");
        }
    }

    /// The address of a TCP listener: the port that the system chose for port 0.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

impl Accept for Listener {
    type Stream = Stream;

    async fn accept(&mut self) -> io::Result<Stream> {
        self.next().await
    }
}

macro_rules! either {
    ($this:expr, $stream:ident => $call:expr) => {
        match $this {
            Stream::Unix($stream) => $call,
            Stream::Tcp($stream) => $call,
        }
    };
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, s => s.as_fd())
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), s => Pin::new(s).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), s => Pin::new(s).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), s => Pin::new(s).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), s => Pin::new(s).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, s => s.is_write_vectored())
    }
}
