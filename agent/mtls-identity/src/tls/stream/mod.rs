//! Handshake and authorisation in one step, on any tokio stream. In: a stream. Out: a TLS stream together with its peer, which the policy
//! allows, or an error that names the step. Never hands out a stream whose peer nobody decided about; never waits without a limit.

mod acceptor;
mod connector;
mod error;

pub use acceptor::Acceptor;
pub use connector::Connector;
pub use error::ConnectionError;

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// How long a handshake may take unless the caller says otherwise.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long, and for how many bytes, a refused peer is listened to.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 64 * 1024;

/// Closes a refused connection so that the peer gets to read why.
///
/// A socket that is closed while bytes from the peer wait in it resets the connection, and the reset can overtake the alert. TLS 1.3 clients
/// send their request before they know that they are refused, so that this is the usual case.
async fn close_gently<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let until = Instant::now() + LINGER;
    let drain = async {
        stream.shutdown().await?;
        let mut bin = [0; 4096];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut bin).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // The connection is given up in any case, and the reason is already in the caller's hands: an error here adds nothing.
    drop(timeout_at(until, drain).await);
}

#[cfg(test)]
mod tests {
    use super::{LINGER, LINGER_BYTES, close_gently};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_refused_peer_is_heard_out_until_it_closes() {
        let (mut peer, ours) = duplex(1024);
        let closing = tokio::spawn(close_gently(ours));
        assert_eq!(
            peer.read(&mut [0; 8]).await.unwrap(),
            0,
            "our side was not closed first"
        );
        // More than the pipe holds: this only passes while somebody reads.
        peer.write_all(&[b'x'; 8 * 1024]).await.unwrap();
        assert!(!closing.is_finished());
        let before = Instant::now();
        drop(peer);
        closing.await.unwrap();
        assert_eq!(before.elapsed().as_millis(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_closes_is_left_after_a_moment() {
        let (_peer, ours) = duplex(1024);
        let before = Instant::now();
        close_gently(ours).await;
        assert_eq!(before.elapsed(), LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_without_end_is_cut_off() {
        let (mut peer, ours) = duplex(1024);
        let flood = vec![b'x'; 2 * LINGER_BYTES];
        let (sent, ()) = tokio::join!(peer.write_all(&flood), close_gently(ours));
        assert!(sent.is_err());
    }
}
