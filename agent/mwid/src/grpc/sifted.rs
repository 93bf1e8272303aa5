//! A stream's messages of which a part is read. In: the data of a stream, as it comes. Out: what is kept of one message after the other. Holds what
//! is kept of one message, and of the data that came last what belongs to those behind it.
use super::frame::{Broken, HEAD};
use super::sieve::{Fields, Sieve};
use hyper::body::Bytes;
use zeroize::Zeroizing;

/// Between two messages, or in one.
#[derive(Debug)]
pub(super) struct Sifted {
    fields: Fields,
    /// A message, and what is kept of it, at the most.
    whole: usize,
    most: usize,
    /// What came and was not looked at.
    data: Bytes,
    /// So many bytes are held by that, of which no more than a half are looked at already. None: what came last, as it came.
    rest: Option<usize>,
    head: Vec<u8>,
    /// Of the message that comes.
    sieve: Option<Sieve>,
    kept: Zeroizing<Vec<u8>>,
}

impl Sifted {
    pub(super) fn new(fields: Fields, whole: usize, most: usize) -> Self {
        Self {
            fields,
            whole,
            most,
            data: Bytes::new(),
            rest: None,
            head: Vec::with_capacity(HEAD),
            sieve: None,
            kept: Zeroizing::default(),
        }
    }

    /// Takes data when all that came before was looked at.
    pub(super) fn come(&mut self, data: Bytes) {
        self.data = data;
        self.rest = None;
    }

    /// Bytes of messages that are not whole, and of those that wait behind one.
    pub(super) fn holds(&self) -> usize {
        self.kept.capacity() + self.rest.unwrap_or(self.data.len())
    }

    pub(super) fn is_between(&self) -> bool {
        self.head.is_empty() && self.sieve.is_none()
    }

    /// What is kept of the next message, if all of it came.
    pub(super) fn whole(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Broken> {
        if self.sieve.is_none() {
            let missing = (HEAD - self.head.len()).min(self.data.len());
            self.head.extend_from_slice(&self.data.split_to(missing));
            let [flag, a, b, c, d] = self.head[..] else {
                return match self.head.first() {
                    Some(1..) => Err(Broken::Frame),
                    _ => Ok(None),
                };
            };
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            let largest = self.whole;
            if flag > 0 {
                return Err(Broken::Frame);
            } else if length > largest {
                return Err(Broken::TooLarge { length, largest });
            }
            self.sieve = Some(Sieve::new(self.fields, length, self.most));
        }
        let Some(sieve) = &mut self.sieve else {
            return Ok(None);
        };
        let mut rest = &self.data[..];
        let is_over = sieve.pass(&mut rest, &mut self.kept)?;
        let rest = rest.len();
        let looked_at = self.data.len() - rest;
        if rest == 0 {
            // Not a slice of it, which would hold all.
            (self.data, self.rest) = (Bytes::new(), None);
        } else if self.rest.is_none_or(|held| rest < held / 2) {
            // Likewise; and no byte is copied for each message before it.
            (self.data, self.rest) = (Bytes::copy_from_slice(&self.data[looked_at..]), Some(rest));
        } else {
            self.data = self.data.slice(looked_at..);
        }
        if !is_over {
            return Ok(None);
        }
        (self.sieve, self.head) = (None, Vec::with_capacity(HEAD));
        Ok(Some(std::mem::take(&mut self.kept)))
    }
}
