//! Bodies on their way, in either direction. In: hyper's, as they come. Out: the same, piece by piece, with clean trailers. Never holds a piece.
use super::app::Held;
use super::fields;
use super::unsent::Unsent;
use super::wire::{Asked, Busy, Reading};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A body that passes through.
pub(super) struct Passing {
    inner: Incoming,
    /// Counts for as long as it is under way.
    _busy: Busy,
    /// Of an answer: the connection to the application that it comes on.
    _held: Held,
    /// Of a request: more of it is to come.
    _reading: Option<Reading>,
    /// Of an answer in HTTP/2, of which a client may have many and take none.
    unsent: Option<Arc<Unsent>>,
    _asked: Option<Asked>,
}

impl Passing {
    /// Of a request.
    pub(super) fn request(inner: Incoming, busy: Busy) -> Self {
        Self {
            _reading: (!inner.is_end_stream()).then(|| busy.reading()),
            inner,
            _busy: busy,
            _held: Held::Nothing,
            unsent: None,
            _asked: None,
        }
    }

    /// Of an answer.
    pub(super) fn answer(inner: Incoming, busy: Busy, asked: Asked, held: Held) -> Self {
        Self {
            unsent: Some(Unsent::new(&busy)),
            inner,
            _busy: busy,
            _held: held,
            _reading: None,
            _asked: Some(asked),
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
        if let Some(unsent) = &self.unsent {
            ready!(unsent.poll_room(cx));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let frame = frame.map(|frame| {
            frame.map(|frame| match frame.into_trailers() {
                Ok(mut trailers) => {
                    fields::clean_trailers(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(data) => match &self.unsent {
                    Some(unsent) => data.map_data(|piece| unsent.count(piece)),
                    None => data,
                },
            })
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
