//! Messages behind their five bytes: not compressed, length. In: a message; or the data of a stream. Out: bytes that any number of streams
//! share; or one message after the other. Never a message that is larger than was agreed, and never more work than there are bytes: what came is
//! moved once, and after some messages others have their turn.
use super::serve::Purse;
use super::sieve::Fields;
use super::sifted::Sifted;
use super::status::{Code, Status};
use h2::RecvStream;
use hyper::body::Bytes;
use prost::Message;
use std::fmt;
use std::future::poll_fn;
use zeroize::{Zeroize, Zeroizing};

/// Before each message.
pub(super) const HEAD: usize = 5;
/// So many messages of one stream are read before others have their turn.
const AT_ONCE: u32 = 16;

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
}

/// One message in pieces, of which some are shared with other messages.
pub(crate) struct Pieces {
    all: Vec<Bytes>,
    own: usize,
}

/// Pieces that are put together.
pub(crate) struct Joint {
    /// The own bytes of the message, which hold no secret.
    own: Vec<u8>,
    /// What is shared, and the own bytes before it.
    shared: Vec<(usize, Bytes)>,
}

impl Pieces {
    /// For a message of so many bytes in all.
    pub(crate) fn of_length(length: usize) -> Joint {
        Joint {
            own: head(length, 0),
            shared: vec![],
        }
    }

    /// All bytes.
    pub(super) fn len(&self) -> usize {
        self.all.iter().map(Bytes::len).sum()
    }

    /// The bytes that no other message shares.
    pub(crate) fn own(&self) -> usize {
        self.own
    }

    /// Takes the last byte off.
    pub(super) fn pop(&mut self) -> Bytes {
        let Some(last) = self.all.last_mut() else {
            return Bytes::new();
        };
        let byte = last.split_off(last.len().saturating_sub(1));
        self.all.retain(|piece| !piece.is_empty());
        byte
    }
}

impl Joint {
    /// Where the next own bytes belong.
    pub(crate) fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    pub(crate) fn share(&mut self, bytes: &Bytes) {
        self.shared.push((self.own.len(), bytes.clone()));
    }

    pub(crate) fn done(self) -> Pieces {
        let own = self.own.len();
        let mut left = Bytes::from(self.own.into_boxed_slice());
        let mut all = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut at = 0;
        for (end, shared) in self.shared {
            all.extend([left.split_to(end - at), shared]);
            at = end;
        }
        all.push(left);
        all.retain(|piece| !piece.is_empty());
        Pieces { all, own }
    }
}

impl From<Frame> for Pieces {
    fn from(frame: Frame) -> Self {
        let own = frame.len();
        let all = vec![frame.into_bytes()];
        Self { all, own }
    }
}

impl IntoIterator for Pieces {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

#[cfg(test)]
impl Pieces {
    /// The message without what stands before it.
    pub(crate) fn message(&self) -> Bytes {
        Bytes::from(self.all.concat()).slice(HEAD..)
    }

    pub(crate) fn all(&self) -> &[Bytes] {
        &self.all
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
    let length = message.encoded_len();
    let mut bytes = head(length, length);
    message.encode_raw(&mut bytes);
    bytes
}

/// What is before a message of this length, with room for so much of it.
fn head(length: usize, room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + room);
    bytes.push(0);
    // What memory holds and a peer takes is shorter.
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes
}

/// The messages that come on a stream. What was read is wiped.
pub(super) struct Messages {
    stream: RecvStream,
    /// Data, behind what was read already.
    have: Zeroizing<Vec<u8>>,
    /// So much of it was read, and is wiped.
    read: usize,
    /// Messages since others had their turn.
    at_once: u32,
    /// What the service keeps of them.
    kept: usize,
    largest: usize,
    /// What pays for `have`; none where the peer is one that we asked.
    purse: Option<Purse>,
    /// Where a part of each message is read: what is kept of the one that comes, instead of `have`.
    sifted: Option<Box<Sifted>>,
}

/// Why there is no further message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("a message of {length} bytes is larger than the allowed {largest}")]
    TooLarge { length: usize, largest: usize },
    #[error(
        "this user has sent {held} bytes of messages that are not whole or that are kept, as much as one user may: send them whole, and fewer \
         at a time"
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
    #[error("the bytes are no message of protobuf")]
    Fields,
}

impl Broken {
    /// As gRPC's page "Status codes" has it for a server.
    pub(super) fn status(&self) -> Status {
        let code = match self {
            Self::TooLarge { .. } => Code::RESOURCE_EXHAUSTED,
            // It passes: clients come again.
            Self::OverShare { .. } => Code::UNAVAILABLE,
            Self::Frame | Self::Short | Self::Decode(_) | Self::Fields => Code::INTERNAL,
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
            read: 0,
            at_once: 0,
            kept: 0,
            largest,
            purse: None,
            sifted: None,
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

    /// Only these fields are read of messages that are no larger than `whole`, and no more than `most` bytes of them: the bytes of others are not
    /// kept, and not paid for. Before the first message.
    pub(super) fn sift(&mut self, fields: Fields, whole: usize, most: usize) {
        self.sifted = Some(Box::new(Sifted::new(fields, whole, most)));
    }

    /// From now on so many bytes of what came are kept elsewhere.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Broken> {
        self.kept = bytes;
        let sifted = self.sifted.as_ref().map_or(0, |sifted| sifted.holds());
        self.pay(self.have.capacity() + sifted)
    }

    /// For so much room for data.
    fn pay(&mut self, capacity: usize) -> Result<(), Broken> {
        let Some(purse) = &mut self.purse else {
            return Ok(());
        };
        let held = purse.hold(capacity + self.kept);
        held.map_err(|held| Broken::OverShare { held })
    }

    /// The next message; none after the last one. Nothing is lost if this is dropped half way.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Broken> {
        if self.at_once == AT_ONCE {
            self.at_once = 0;
            tokio::task::yield_now().await;
        }
        if self.sifted.is_some() {
            return self.next_sifted().await;
        }
        let Some(length) = self.fill().await? else {
            return Ok(None);
        };
        self.at_once += 1;
        let end = self.read + HEAD + length;
        let frame = &mut self.have[self.read..end];
        let message = M::decode(&frame[HEAD..]).map_err(Broken::Decode);
        frame.zeroize();
        self.read = end;
        if self.read == self.have.len() {
            self.read = 0;
            self.have = Zeroizing::default();
            // Less than before.
            self.pay(0).ok();
        }
        message.map(Some)
    }

    async fn next_sifted<M: Message + Default>(&mut self) -> Result<Option<M>, Broken> {
        while let Some(sifted) = &mut self.sifted {
            let whole = sifted.whole()?;
            let holds = sifted.holds();
            if let Some(kept) = whole {
                self.at_once += 1;
                self.pay(holds)?;
                return M::decode(&kept[..]).map_err(Broken::Decode).map(Some);
            }
            let is_between = sifted.is_between();
            self.pay(holds)?;
            match poll_fn(|cx| self.stream.poll_data(cx)).await {
                Some(Ok(data)) => {
                    let control = self.stream.flow_control();
                    // It holds no more than these, which are fewer than the peer may send at a time.
                    control.release_capacity(data.len()).map_err(Broken::Stream)?;
                    if let Some(sifted) = &mut self.sifted {
                        sifted.come(data);
                    }
                }
                Some(Err(error)) => return Err(Broken::Stream(error)),
                None if is_between => return Ok(None),
                None => return Err(Broken::Short),
            }
        }
        Ok(None)
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
                None if self.left().is_empty() => return Ok(None),
                None => return Err(Broken::Short),
            }
        }
    }

    /// What was not read yet.
    fn left(&self) -> &[u8] {
        &self.have[self.read..]
    }

    fn whole(&self) -> Result<Option<usize>, Broken> {
        let [flag, a, b, c, d, rest @ ..] = self.left() else {
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
        let needed = self.left().len() + data.len();
        // Not by growing it in place, which leaves the old bytes behind. What was read goes: the rest is less than what came last.
        if self.read > 0 || needed > self.have.capacity() {
            let room = if self.read > 0 {
                0
            } else {
                self.have.capacity() * 2
            };
            let capacity = needed.max(room);
            self.pay(capacity)?;
            let mut grown = Zeroizing::new(Vec::with_capacity(capacity));
            grown.extend_from_slice(self.left());
            #[cfg(test)]
            tests::moved(self.left().len());
            (self.have, self.read) = (grown, 0);
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

#[cfg(test)]
mod tests {
    use super::super::serve::Shares;
    use super::*;
    use crate::http::Holder;
    use crate::proto::health::HealthCheckRequest as Question;
    use futures_util::FutureExt as _;
    use std::cell::Cell;

    thread_local! {
        static MOVED: Cell<usize> = const { Cell::new(0) };
    }

    /// Counts bytes that were kept and had to be moved.
    pub(super) fn moved(bytes: usize) {
        MOVED.set(MOVED.get() + bytes);
    }

    /// A stream with these data, in frames of 16 KB.
    async fn stream_of(data: Vec<u8>) -> (RecvStream, impl Sized) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (client, server) = tokio::join!(h2::client::handshake(near), h2::server::handshake(far));
        let ((mut client, driver), mut server) = (client.unwrap(), server.unwrap());
        let driver = tokio::spawn(async move { drop(driver.await) });
        let request = hyper::Request::post("http://localhost/").body(()).unwrap();
        let (answer, mut stream) = client.send_request(request, false).unwrap();
        stream.send_data(data.into(), false).unwrap();
        let (request, reply) = server.accept().await.unwrap().unwrap();
        let serving = tokio::spawn(async move { while server.accept().await.is_some() {} });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        (
            request.into_body(),
            (client, driver, serving, answer, stream, reply),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn many_small_messages_are_moved_once_and_read_a_few_at_a_time() {
        const COUNT: usize = 9_999;
        let (stream, _open) = stream_of(vec![0; HEAD * COUNT]).await;
        let mut messages = Messages::new(stream, 100);
        MOVED.set(0);
        let (mut all, mut most) = (0, 0);
        while all < COUNT {
            let mut turn = 0;
            while let Some(next) = messages.next::<Question>().now_or_never() {
                assert!(next.unwrap().is_some());
                turn += 1;
            }
            (all, most) = (all + turn, most.max(turn));
            tokio::task::yield_now().await;
        }
        assert!(most <= 16, "{most} messages in one turn");
        let moved = MOVED.get();
        assert!(
            moved <= HEAD * 4,
            "{moved} bytes moved, and the data came in four frames"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_of_what_came_is_paid_for_with_what_comes() {
        let shares = Shares::new(16, 64 * 1024);
        let purse = || {
            shares.purse(Some(Holder {
                uid: 1,
                trusted: false,
            }))
        };
        let (stream, _open) = stream_of(vec![0; HEAD]).await;
        let mut messages = Messages::new(stream, 100).paid_from(purse());
        messages.keep(12 * 1024).unwrap();
        let (other, _open_too) = stream_of(vec![0; HEAD]).await;
        let mut other = Messages::new(other, 100).paid_from(purse());
        assert!(matches!(
            other.keep(8 * 1024),
            Err(Broken::OverShare { held: 12_288 })
        ));
        // Kept is kept, whatever else was read and is done with.
        messages.next::<Question>().await.unwrap();
        assert!(other.keep(8 * 1024).is_err());
        messages.keep(4 * 1024).unwrap();
        other.keep(8 * 1024).unwrap();
    }

    /// A message, and behind it bytes that are not looked at before the next one is asked for.
    #[tokio::test(start_paused = true)]
    async fn what_waits_behind_a_sifted_message_is_paid_for() {
        let shares = Shares::new(16, 64 * 1024);
        let purse = || {
            shares.purse(Some(Holder {
                uid: 1,
                trusted: false,
            }))
        };
        let mut all = vec![];
        for expected in [true, false] {
            let (stream, open) = stream_of(vec![0; 10_000]).await;
            let mut messages = Messages::new(stream, 100).paid_from(purse());
            messages.sift(&[], 100, 100);
            let next = messages.next::<Question>().await;
            assert_eq!(next.is_ok(), expected, "16 KB for all of them: {next:?}");
            all.push((messages, open));
        }
        // Once it is looked at, it is free.
        let (first, _open) = &mut all[0];
        for _ in 1..2_000 {
            first.next::<Question>().await.unwrap().unwrap();
        }
        assert_eq!(
            shares
                .purse(Some(Holder {
                    uid: 1,
                    trusted: false
                }))
                .hold(16 * 1024),
            Ok(())
        );
    }

    #[test]
    fn pieces_are_one_message_and_share_what_is_shared() {
        let shared = Bytes::from_static(b"shared");
        let mut joint = Pieces::of_length(10 + 2 * shared.len());
        for own in ["", "first", "last"] {
            joint.own().extend(own.as_bytes());
            if own != "last" {
                joint.share(&shared);
            }
        }
        joint.own().push(b'!');
        let pieces = joint.done();
        assert_eq!(&pieces.message()[..], b"sharedfirstsharedlast!");
        assert_eq!((pieces.own(), pieces.all().len()), (HEAD + 10, 5));
        assert_eq!(pieces.all()[1].as_ptr(), shared.as_ptr());
        assert_eq!(pieces.all()[0][..], [0, 0, 0, 0, 22]);
    }
}
