//! A call that is under way.
use super::frame;
use super::{Channel, End, Trouble, within};
use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use std::time::Duration;

/// What comes of a call, one after the other.
#[derive(Debug)]
pub enum Event {
    /// A message, without its prefix.
    Message(Bytes),
    /// The end. Nothing comes after it.
    End(End),
}

/// A call. Dropping it cancels it.
pub struct Call {
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    sender: SendStream<Bytes>,
    came: BytesMut,
    head: End,
    patience: Duration,
    _channel: Option<Channel>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

impl Call {
    pub(super) fn new(response: ResponseFuture, sender: SendStream<Bytes>, patience: Duration) -> Self {
        Self {
            response: Some(response),
            body: None,
            sender,
            came: BytesMut::new(),
            head: End::default(),
            patience,
            _channel: None,
        }
    }

    /// Waits longer for each event, or less long.
    pub fn patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Keeps a connection open for as long as this call is there.
    #[must_use]
    pub fn keeping(mut self, channel: Channel) -> Self {
        self._channel = Some(channel);
        self
    }

    /// The next event, within the patience that the call was made with.
    pub async fn next(&mut self) -> Result<Event, Trouble> {
        self.next_within(self.patience).await
    }

    /// The next event. Can be asked again after a [`Trouble::Slow`]: nothing is lost.
    pub async fn next_within(&mut self, time: Duration) -> Result<Event, Trouble> {
        within(time, self.step()).await
    }

    /// The next message, decoded; or the end in its place.
    pub async fn message<M: prost::Message + Default>(&mut self) -> Result<Result<M, End>, Trouble> {
        Ok(match self.next().await? {
            Event::Message(bytes) => Ok(M::decode(bytes).map_err(Trouble::Message)?),
            Event::End(end) => Err(end),
        })
    }

    /// The end, passing over the messages before it; with how many there were.
    pub async fn finish(&mut self) -> Result<(usize, End), Trouble> {
        let mut messages = 0;
        loop {
            match self.next().await? {
                Event::Message(_) => messages += 1,
                Event::End(end) => return Ok((messages, end)),
            }
        }
    }

    /// What the headers said. Empty before the first event.
    pub fn head(&self) -> &End {
        &self.head
    }

    /// Sends one more message. Where the server has ended the call, that is the next event.
    pub fn send(&mut self, message: &impl prost::Message) {
        let framed = frame::prefixed(0, &message.encode_to_vec());
        drop(self.sender.send_data(framed, false));
    }

    /// RST_STREAM with CANCEL.
    pub fn cancel(mut self) {
        self.sender.send_reset(Reason::CANCEL);
    }

    async fn step(&mut self) -> Event {
        if let Some(response) = &mut self.response {
            match response.await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    self.head = End::of_head(&head, body.is_end_stream());
                    self.body = Some(body);
                    self.response = None;
                }
                Err(why) => return Event::End(self.head.clone().broken(&why)),
            }
        }
        loop {
            if let Some((_, message)) = frame::take(&mut self.came) {
                return Event::Message(message);
            }
            let Some(body) = &mut self.body else {
                return Event::End(self.head.clone());
            };
            match body.data().await {
                Some(Ok(data)) => {
                    // A window that was not given back would end the stream's life.
                    drop(body.flow_control().release_capacity(data.len()));
                    self.came.extend_from_slice(&data);
                }
                Some(Err(why)) => return Event::End(self.head.clone().broken(&why)),
                None => {
                    return Event::End(match body.trailers().await {
                        Ok(Some(trailers)) => self.head.clone().with_trailers(&trailers),
                        Ok(None) => self.head.clone(),
                        Err(why) => self.head.clone().broken(&why),
                    });
                }
            }
        }
    }
}
