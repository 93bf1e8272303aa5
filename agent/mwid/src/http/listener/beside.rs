//! TCP listeners that follow each other at one port, at 0.0.0.0 after 127.0.0.1 or the other way around. In: where to listen, those of ours that are to go.
//! Out: one that listens beside them, and a means to have a listener take nobody new. Never lets any other program's listener be passed over, never loses
//! who is connected already.
use super::{Listener, WAITING};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use tokio::net::{TcpListener, TcpSocket};

/// Of a TCP header: where its flags are.
const FLAGS: u32 = 13;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// One of ours that lets another one of ours listen at its port, until this is dropped: no longer than the calls take, because any program of mwid's own user
/// that shares ports as well (SO_REUSEPORT) could do the same. Linux remembers of a port that it was shared, so that such a one could also do so later; what
/// runs as another user, or shares none, never.
struct Shared<'a>(&'a TcpListener);

/// Listens where the system lets nobody because of `leaving`, and takes nobody: see [`hush`].
pub(super) fn listen(address: SocketAddr, leaving: &[&Listener]) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    hush(&socket)?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    let leaving = leaving.iter().filter_map(|listener| match listener {
        Listener::Tcp(tcp) => Some(Shared::new(tcp)),
        Listener::Unix(..) => None,
    });
    let shared = leaving.collect::<nix::Result<Vec<_>>>()?;
    socket.bind(address)?;
    let listener = socket.listen(WAITING.unsigned_abs())?;
    drop(shared);
    setsockopt(&listener, sockopt::ReusePort, &false)?;
    // As of all others.
    setsockopt(&listener, sockopt::TcpNoDelay, &true).ok();
    Ok(listener)
}

impl<'a> Shared<'a> {
    fn new(listener: &'a TcpListener) -> nix::Result<Self> {
        setsockopt(listener, sockopt::ReusePort, &true)?;
        Ok(Self(listener))
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        if let Err(errno) = setsockopt(self.0, sockopt::ReusePort, &false) {
            tracing::warn!(%errno, "a port of ours can be listened on by other programs of this user");
        }
    }
}

/// From now on it takes nobody new: the kernel drops what begins a connection, and whoever sent it tries again a second later, to find who listens then.
/// Those who began before get in.
pub(super) fn hush(socket: &impl AsFd) -> nix::Result<()> {
    let step = |code: u32, jt, jf, k| {
        // These codes have 16 bits.
        let code = u16::try_from(code).unwrap_or(u16::MAX);
        libc::sock_filter { code, jt, jf, k }
    };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN | ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).unwrap_or(u16::MAX),
        filter: steps.as_mut_ptr(),
    };
    let length = libc::socklen_t::try_from(size_of_val(&program)).unwrap_or(0);
    // SAFETY: `program` is valid for reads of `length` bytes, and `steps`, which it points to, for reads of `len` steps; both live longer than the call, and the
    // kernel copies them. The socket is open as long as it is borrowed.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    };
    Errno::result(outcome).map(drop)
}

/// From now on it takes everybody.
pub(super) fn unhush(listener: &TcpListener) -> nix::Result<()> {
    let nothing: libc::c_int = 0;
    let length = libc::socklen_t::try_from(size_of_val(&nothing)).unwrap_or(0);
    // SAFETY: `nothing` is valid for reads of `length` bytes, of which the kernel makes no use. The socket is open as long as it is borrowed.
    let outcome = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DETACH_FILTER,
            (&raw const nothing).cast(),
            length,
        )
    };
    Errno::result(outcome).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::TcpStream;

    fn at(address: &str, port: u16) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), port)
    }

    #[tokio::test]
    async fn where_another_program_listens_too_it_is_no_place_for_us() {
        let ours = Listener::tcp(at("127.0.0.1", 0)).unwrap();
        let port = ours.tcp_address().unwrap().port();
        let others = std::net::TcpListener::bind(at("127.0.0.2", port)).unwrap();
        let taken = listen(at("0.0.0.0", port), &[&ours]).unwrap_err();
        assert_eq!(taken.raw_os_error(), Some(libc::EADDRINUSE));
        drop(others);
        let new = listen(at("0.0.0.0", port), &[&ours]).unwrap();
        // And nobody else gets in beside us.
        let third = std::net::TcpListener::bind(at("127.0.0.3", port));
        assert!(third.is_err());
        drop((ours, new));
    }

    #[tokio::test]
    async fn a_hushed_listener_has_whom_it_had_and_nobody_new_until_it_speaks_again() {
        let listener = TcpListener::bind(at("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let before = TcpStream::connect(address).await.unwrap();
        hush(&listener).unwrap();
        let mut new = tokio::spawn(TcpStream::connect(address));
        let soon = tokio::time::timeout(Duration::from_millis(100), &mut new);
        assert!(soon.await.is_err(), "it got in");
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.1, before.local_addr().unwrap());
        unhush(&listener).unwrap();
        let new = tokio::time::timeout(Duration::from_secs(30), new);
        let new = new.await.expect("never again").unwrap().unwrap();
        assert_eq!(listener.accept().await.unwrap().1, new.local_addr().unwrap());
    }
}
