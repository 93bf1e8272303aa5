//! Requests of the model's clients.
use super::flaw::Flaw;
use super::reply::Refusal;
use crate::wire::{Code, frame};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;

/// No more than this is taken of a message.
const LIMIT: usize = 4 << 20;

/// The messages of one call.
pub(super) struct Inbound {
    body: RecvStream,
    came: BytesMut,
    encoding: bool,
    flaw: Flaw,
}

impl Inbound {
    pub(super) fn new(body: RecvStream, headers: &HeaderMap, flaw: Flaw) -> Self {
        Self {
            body,
            came: BytesMut::new(),
            encoding: headers
                .get("grpc-encoding")
                .is_some_and(|name| name.as_bytes() != b"identity"),
            flaw,
        }
    }

    /// The next message; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            if let Some((flag, message)) = frame::take(&mut self.came) {
                return self.plain(flag, message).map(Some);
            }
            let announced = self
                .came
                .get(1..5)
                .and_then(|length| length.try_into().ok())
                .map_or(0, u32::from_be_bytes);
            if announced as usize > LIMIT && !self.flaw.is("framing.too-long") {
                return Err(Refusal(Code::RESOURCE_EXHAUSTED, "the message is too long"));
            }
            match self.body.data().await {
                Some(Ok(data)) => {
                    drop(self.body.flow_control().release_capacity(data.len()));
                    self.came.extend_from_slice(&data);
                }
                Some(Err(_)) => return Err(Refusal(Code::INTERNAL, "the stream broke")),
                None if self.came.is_empty() => return Ok(None),
                None if self.flaw.is("framing.truncated") => {
                    self.came.clear();
                    return Ok(Some(Bytes::new()));
                }
                None => return Err(Refusal(Code::INTERNAL, "the request ends in a message")),
            }
        }
    }

    fn plain(&self, flag: u8, message: Bytes) -> Result<Bytes, Refusal> {
        if flag == 0 {
            return Ok(message);
        }
        let (flaw, right) = if self.encoding {
            ("grpc.unknown-encoding", Code::UNIMPLEMENTED)
        } else {
            ("grpc.compressed-flag", Code::INTERNAL)
        };
        let code = self.flaw.or(flaw, right, Code::INVALID_ARGUMENT);
        Err(Refusal(code, "the message is compressed"))
    }

    /// The one message of a call.
    pub(super) async fn one(&mut self) -> Result<Bytes, Refusal> {
        match self.next().await? {
            Some(message) => Ok(message),
            None if self.flaw.is("framing.no-message") => Ok(Bytes::new()),
            None => Err(Refusal(Code::INTERNAL, "the request has no message")),
        }
    }

    /// The one message of a call, decoded.
    pub(super) async fn decoded<M: prost::Message + Default>(&mut self) -> Result<M, Refusal> {
        decode(self.one().await?)
    }
}

/// A message of its type.
pub(super) fn decode<M: prost::Message + Default>(bytes: Bytes) -> Result<M, Refusal> {
    M::decode(bytes).map_err(|_| Refusal(Code::INTERNAL, "the message cannot be decoded"))
}
