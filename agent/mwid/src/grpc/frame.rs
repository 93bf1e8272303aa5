//! Messages behind their five bytes: not compressed, length. In: a message; or the data of a stream. Out: bytes that any number of streams
//! share; or one message after the other. Never a message that is larger than was agreed.
use super::serve::Purse;
use super::status::{Code, Status};
use h2::RecvStream;
use hyper::body::Bytes;
use prost::Message;
use std::fmt;
use std::future::poll_fn;
use zeroize::{Zeroize, Zeroizing};

/// Before each message.
const HEAD: usize = 5;

/// One message as it goes over the wire, encoded once. A clone shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame(Bytes);

impl Frame {
    pub(crate) fn of(message: &impl Message) -> Self {
        Self(framed(message).into())
    }

    /// For a message with keys or tokens: its bytes are wiped when the last who shares it is done.
    pub(crate) fn secret(message: &impl Message) -> Self {
        Self(Bytes::from_owner(Zeroizing::new(framed(message))))
    }

    /// The same for a message that is put together from parts that are encoded already. `put` gets exactly so many bytes' room.
    pub(crate) fn secret_with(length: usize, put: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Zeroizing::new(head(length));
        put(&mut bytes);
        debug_assert_eq!(bytes.len(), HEAD + length, "another length than was said");
        Self(Bytes::from_owner(bytes))
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Its size on the wire, before HTTP/2.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
impl Frame {
    pub(super) fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The message without what stands before it.
    pub(crate) fn message(&self) -> Bytes {
        self.0.slice(HEAD..)
    }

    pub(crate) fn shares_bytes_with(&self, other: &Self) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }
}

/// Closed: it may hold a key.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.0.len())
    }
}

/// Of the right size from the start, so that no part of a secret stays behind where the bytes were before they grew.
fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = head(message.encoded_len());
    message.encode_raw(&mut bytes);
    bytes
}

/// What is before a message of this length, with room for it.
fn head(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + length);
    bytes.push(0);
    // What memory holds and a peer takes is shorter.
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes
}

/// The messages that come on a stream. What was read is wiped.
pub(super) struct Messages {
    stream: RecvStream,
    /// Data that is not yet a whole message.
    have: Zeroizing<Vec<u8>>,
    largest: usize,
    /// What pays for `have`; none where the peer is one that we asked.
    purse: Option<Purse>,
}

/// Why there is no further message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("a message of {length} bytes is larger than the allowed {largest}")]
    TooLarge { length: usize, largest: usize },
    #[error(
        "this user has sent {held} bytes of messages that are not whole, as much as one user may: send them whole, or fewer at a time"
    )]
    OverShare { held: usize },
    #[error("a message is compressed, or its frame is none of gRPC's")]
    Frame,
    #[error("the stream ended within a message")]
    Short,
    #[error("the stream was broken off")]
    Stream(#[source] h2::Error),
    #[error("the bytes are not the message that belongs there")]
    Decode(#[source] prost::DecodeError),
}

impl Broken {
    /// As gRPC's page "Status codes" has it for a server.
    pub(super) fn status(&self) -> Status {
        let code = match self {
            Self::TooLarge { .. } | Self::OverShare { .. } => Code::RESOURCE_EXHAUSTED,
            Self::Frame | Self::Short | Self::Decode(_) => Code::INTERNAL,
            Self::Stream(_) => Code::CANCELLED,
        };
        Status::new(code, self.to_string())
    }
}

impl Messages {
    pub(super) fn new(stream: RecvStream, largest: usize) -> Self {
        Self {
            stream,
            have: Zeroizing::new(Vec::new()),
            largest,
            purse: None,
        }
    }

    /// The same, of a client whose user has a share of the memory.
    pub(super) fn paid_from(mut self, purse: Purse) -> Self {
        self.purse = Some(purse);
        self
    }

    pub(super) fn at_most(&mut self, bytes: usize) {
        self.largest = self.largest.min(bytes);
    }

    /// The next message; none after the last one.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Broken> {
        let Some(length) = self.fill().await? else {
            return Ok(None);
        };
        let (frame, rest) = self.have.split_at(HEAD + length);
        let message = M::decode(&frame[HEAD..]).map_err(Broken::Decode);
        let rest = Zeroizing::new(rest.to_vec());
        self.have = rest;
        if let Some(purse) = &mut self.purse {
            // Less than before.
            purse.hold(self.have.capacity()).ok();
        }
        message.map(Some)
    }

    /// Reads until a whole message is there, and tells its length.
    async fn fill(&mut self) -> Result<Option<usize>, Broken> {
        loop {
            if let Some(length) = self.whole()? {
                return Ok(Some(length));
            }
            match poll_fn(|cx| self.stream.poll_data(cx)).await {
                Some(Ok(data)) => self.take(data)?,
                Some(Err(error)) => return Err(Broken::Stream(error)),
                None if self.have.is_empty() => return Ok(None),
                None => return Err(Broken::Short),
            }
        }
    }

    fn whole(&self) -> Result<Option<usize>, Broken> {
        let [flag, a, b, c, d, rest @ ..] = &self.have[..] else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let largest = self.largest;
        match (flag, length) {
            (1.., _) => Err(Broken::Frame),
            (0, length) if length > largest => Err(Broken::TooLarge { length, largest }),
            (0, length) => Ok((rest.len() >= length).then_some(length)),
        }
    }

    fn take(&mut self, data: Bytes) -> Result<(), Broken> {
        let needed = self.have.len() + data.len();
        if needed > self.have.capacity() {
            // Not by growing it in place, which leaves the old bytes behind.
            let capacity = needed.max(self.have.capacity() * 2);
            if let Some(purse) = &mut self.purse {
                let held = purse.hold(capacity);
                held.map_err(|held| Broken::OverShare { held })?;
            }
            let mut grown = Zeroizing::new(Vec::with_capacity(capacity));
            grown.extend_from_slice(&self.have);
            self.have = grown;
        }
        self.have.extend_from_slice(&data);
        let length = data.len();
        if let Ok(mut data) = data.try_into_mut() {
            data.zeroize();
        }
        // What we hold is bounded by the size of one message, so the peer may go on.
        let control = self.stream.flow_control();
        control.release_capacity(length).map_err(Broken::Stream)
    }

    /// What came after the last message.
    pub(super) async fn trailers(&mut self) -> Result<Option<hyper::HeaderMap>, Broken> {
        let trailers = poll_fn(|cx| self.stream.poll_trailers(cx)).await;
        trailers.map_err(Broken::Stream)
    }
}
