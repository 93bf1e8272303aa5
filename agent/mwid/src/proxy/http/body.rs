//! Bodies on their way, in either direction. In: hyper's, as they come. Out: the same, piece by piece, with clean trailers. Never holds a piece.
use super::app::Lent;
use super::fields;
use super::wire::Busy;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A body that passes through.
pub(super) struct Passing {
    inner: Incoming,
    /// Counts for as long as it is under way.
    _busy: Busy,
    /// Of an answer: the connection to the application that it comes on, which can be used again afterwards.
    _lent: Option<Lent>,
}

impl Passing {
    pub(super) fn new(inner: Incoming, busy: Busy, lent: Option<Lent>) -> Self {
        Self {
            inner,
            _busy: busy,
            _lent: lent,
        }
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_trailers() {
                Ok(mut trailers) => {
                    fields::clean_trailers(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(data) => data,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
