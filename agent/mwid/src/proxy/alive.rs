//! Finds peers that vanished without a word. In: a TCP stream. Out: nothing; the kernel asks for a sign of life from then on, and ends the stream when
//! none comes. Costs no timer of ours.
//!
//! TCP_USER_TIMEOUT is set only where the file says so: it also ends a stream whose peer is there and answers, but does not read for so long
//! (Linux, tcp_probe_timer), such as a pager that somebody left open. Without it the kernel's own retries end a stream with bytes on the way.
use crate::http::{Listener, Stream};
use nix::sys::socket::{setsockopt, sockopt};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::net::TcpStream;

/// Silence before the first question, between questions, and how many go unanswered: two minutes in all. Stateful firewalls forget a connection
/// after ten (Compute Engine's), which the questions also prevent.
const IDLE: u32 = 60;
const BETWEEN: u32 = 15;
const QUESTIONS: u32 = 4;

/// Has the kernel watch whoever is accepted at a listener: Linux has them inherit this, which saves four calls for each connection.
pub(super) fn watch_accepted(listener: &Listener) {
    // The kernel knows when a process at a Unix socket is gone.
    if let Listener::Tcp(tcp) = listener {
        tell(ask(tcp));
    }
}

/// Has the kernel watch the other side of a connection that we made. At a loopback address too it knows when a process is gone.
pub(super) fn watch_dialled(stream: &TcpStream, address: SocketAddr) {
    if !address.ip().is_loopback() {
        tell(ask(stream));
    }
}

/// Ends a stream whose other side takes nothing for so long.
pub(super) fn limit(stream: &Stream, unacknowledged: Option<Duration>) {
    if let (Stream::Tcp(tcp), Some(time)) = (stream, unacknowledged) {
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        tell(setsockopt(tcp, sockopt::TcpUserTimeout, &milliseconds));
    }
}

fn ask(socket: &impl AsFd) -> nix::Result<()> {
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &IDLE)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &BETWEEN)?;
    setsockopt(socket, sockopt::TcpKeepCount, &QUESTIONS)
}

fn tell(set: nix::Result<()>) {
    if let Err(errno) = set {
        tracing::debug!(%errno, "the kernel does not watch a connection's other side");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::listener::Accept as _;
    use nix::sys::socket::getsockopt;
    use tokio::io::AsyncWriteExt as _;

    async fn accepted(before: impl Fn(&Listener)) -> (TcpStream, TcpStream) {
        let mut listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        before(&listener);
        let one = TcpStream::connect(listener.tcp_address().unwrap()).await;
        let Stream::Tcp(other) = listener.accept().await.unwrap() else {
            unreachable!()
        };
        (one.unwrap(), other)
    }

    #[tokio::test]
    async fn silence_is_asked_about_and_paused_readers_are_let_be() {
        let (_here, accepted) = accepted(watch_accepted).await;
        assert!(getsockopt(&accepted, sockopt::KeepAlive).unwrap());
        assert_eq!(getsockopt(&accepted, sockopt::TcpKeepIdle).unwrap(), IDLE);
        assert_eq!(getsockopt(&accepted, sockopt::TcpKeepInterval).unwrap(), BETWEEN);
        assert_eq!(getsockopt(&accepted, sockopt::TcpKeepCount).unwrap(), QUESTIONS);
        assert_eq!(getsockopt(&accepted, sockopt::TcpUserTimeout).unwrap(), 0);
        assert!(accepted.nodelay().unwrap());
    }

    #[tokio::test]
    async fn who_is_dialled_is_watched_where_the_kernel_does_not_know_better() {
        let (dialled, _there) = accepted(|_| {}).await;
        let watched = || getsockopt(&dialled, sockopt::KeepAlive).unwrap();
        watch_dialled(&dialled, "127.0.0.1:1".parse().unwrap());
        assert!(!watched());
        watch_dialled(&dialled, "192.0.2.1:1".parse().unwrap());
        assert!(watched());
    }

    #[tokio::test]
    async fn what_nobody_takes_for_so_long_ends_a_connection_where_the_file_says_so() {
        let (_reads_nothing, one) = accepted(watch_accepted).await;
        let one = Stream::Tcp(one);
        limit(&one, Some(Duration::from_millis(300)));
        let Stream::Tcp(mut one) = one else { unreachable!() };
        let written = tokio::time::timeout(Duration::from_secs(30), async {
            while one.write_all(&[7; 65536]).await.is_ok() {}
        });
        written.await.expect("it never ends");
    }
}
