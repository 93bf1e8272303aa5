//! Finds peers that vanished without a word. In: a TCP stream. Out: nothing; the kernel asks for a sign of life from then on, and ends the stream when
//! none comes. Costs no timer of ours.
//!
//! TCP_USER_TIMEOUT is set only where the file says so: it also ends a stream whose peer is there and answers, but does not read for so long
//! (Linux, tcp_probe_timer), such as a pager that somebody left open. Without it the kernel's own retries end a stream with bytes on the way.
use crate::http::Stream;
use nix::sys::socket::{setsockopt, sockopt};
use std::time::Duration;
use tokio::net::TcpStream;

/// Silence before the first question, between questions, and how many go unanswered: two minutes in all. Stateful firewalls forget a connection
/// after ten (Compute Engine's), which the questions also prevent.
const IDLE: u32 = 60;
const BETWEEN: u32 = 15;
const QUESTIONS: u32 = 4;

/// Has the kernel watch the other side.
pub(super) fn watch(stream: &Stream, unacknowledged: Option<Duration>) {
    let Stream::Tcp(tcp) = stream else {
        return; // the kernel knows when a process at a Unix socket is gone
    };
    if let Err(errno) = set(tcp, unacknowledged) {
        tracing::debug!(%errno, "the kernel does not watch a connection's other side");
    }
}

fn set(tcp: &TcpStream, unacknowledged: Option<Duration>) -> nix::Result<()> {
    setsockopt(tcp, sockopt::KeepAlive, &true)?;
    setsockopt(tcp, sockopt::TcpKeepIdle, &IDLE)?;
    setsockopt(tcp, sockopt::TcpKeepInterval, &BETWEEN)?;
    setsockopt(tcp, sockopt::TcpKeepCount, &QUESTIONS)?;
    match unacknowledged {
        None => Ok(()),
        Some(time) => {
            let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
            setsockopt(tcp, sockopt::TcpUserTimeout, &milliseconds)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap());
        (one.await.unwrap(), listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn silence_is_asked_about_and_paused_readers_are_let_be() {
        let (one, _other) = pair().await;
        let one = Stream::Tcp(one);
        watch(&one, None);
        let Stream::Tcp(one) = one else { unreachable!() };
        assert!(getsockopt(&one, sockopt::KeepAlive).unwrap());
        assert_eq!(getsockopt(&one, sockopt::TcpKeepIdle).unwrap(), IDLE);
        assert_eq!(getsockopt(&one, sockopt::TcpKeepInterval).unwrap(), BETWEEN);
        assert_eq!(getsockopt(&one, sockopt::TcpKeepCount).unwrap(), QUESTIONS);
        assert_eq!(getsockopt(&one, sockopt::TcpUserTimeout).unwrap(), 0);
    }

    #[tokio::test]
    async fn what_nobody_takes_for_so_long_ends_a_connection_where_the_file_says_so() {
        let (one, _reads_nothing) = pair().await;
        let one = Stream::Tcp(one);
        watch(&one, Some(Duration::from_millis(300)));
        let Stream::Tcp(mut one) = one else { unreachable!() };
        let written = tokio::time::timeout(Duration::from_secs(30), async {
            while one.write_all(&[7; 65536]).await.is_ok() {}
        });
        written.await.expect("it never ends");
    }
}
