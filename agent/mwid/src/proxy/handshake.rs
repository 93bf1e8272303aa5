//! The TLS handshake, on either side. In: a stream that nothing was read from, a config. Out: a link whose peer rustls has verified, and what came
//! with the end of the handshake; or why not, after the other side got its alert. Never decides who may.
use super::link::{Broken, Got, Link};
use super::offers;
use super::refusal::Refusal;
use super::scratch;
use super::splice::Early;
use super::tls::Tls;
use crate::http::Stream;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// How long, and for how many bytes, a refused peer is listened to.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 64 * 1024;

/// Why there is no handshake, and the link, on which the alert is.
pub(super) struct Failed {
    pub(super) refusal: Refusal,
    pub(super) link: Box<Link>,
}

/// Does the handshake. The caller limits its time.
pub(super) async fn shake(stream: Stream, tls: Tls) -> Result<(Box<Link>, Early), Box<Failed>> {
    let mut link = Box::new(Link::new(stream, tls));
    let mut early = Early::default();
    let mut begun = false;
    let done = poll_fn(|cx| {
        if !begun {
            begun = true;
            link.begin(cx)?;
        }
        poll(&mut link, &mut early, cx)
    });
    match done.await {
        Ok(()) => Ok((link, early)),
        Err(broken) => Err(Box::new(Failed {
            refusal: Refusal::of(broken),
            link,
        })),
    }
}

fn poll(link: &mut Link, early: &mut Early, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
    loop {
        if link.backlog.poll_flush(&mut link.stream, cx)?.is_pending() {
            return Poll::Pending;
        }
        if !link.tls.state().is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        let got = scratch::with(|scratch| {
            let got = link.poll_take(scratch, cx);
            early.bytes.extend_from_slice(&scratch.plain);
            got
        });
        link.asked_to_resume |= offers::take();
        match got? {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Got::Bytes) => {}
            Poll::Ready(Got::Closed) if link.tls.state().is_handshaking() => {
                return Poll::Ready(Err(Broken::Cut));
            }
            Poll::Ready(Got::Closed) => early.closed = true,
        }
    }
}

/// Closes a refused connection so that the peer gets to read why.
///
/// A socket that is closed while bytes from the peer wait in it resets the connection, and the reset can overtake the alert. TLS 1.3 clients
/// send their request before they know that they are refused, so that this is the usual case.
pub(super) async fn close_gently(mut link: Box<Link>) {
    let drain = async {
        poll_fn(|cx| link.poll_shutdown(cx)).await?;
        let mut stream = link.stream;
        let mut bin = [0; 1024];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut bin).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        stream.shutdown().await
    };
    // The connection is given up in any case, and the reason is on record already: an error here adds nothing.
    drop(timeout(LINGER, drain).await);
}

/// Tells the peer in TLS that there is no more, then closes as [`close_gently`] does.
pub(super) async fn dismiss(mut link: Box<Link>) {
    say_end(&mut link).await;
    close_gently(link).await;
}

/// Tells the peer in TLS that there is no more, without waiting.
pub(super) async fn say_end(link: &mut Link) {
    // A stream that takes nothing any more is closed all the same.
    poll_fn(|cx| Poll::Ready(link.close(cx).ok())).await;
}

/// Whether the other side speaks before it was spoken to: a TLS server never does.
pub(super) async fn speaks_first(stream: &mut Stream) -> bool {
    let mut byte = [0];
    poll_fn(|cx| {
        let mut buffer = tokio::io::ReadBuf::new(&mut byte);
        let read = Pin::new(&mut *stream);
        let polled = tokio::io::AsyncRead::poll_read(read, cx, &mut buffer);
        Poll::Ready(polled.is_ready() && !buffer.filled().is_empty())
    })
    .await
}
