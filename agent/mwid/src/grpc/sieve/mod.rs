//! Messages of which a part is read. In: a message, in parts of any size. Out: the same without the fields that nobody asked for, as small as what is
//! asked for. Never holds a byte of another field, and never looks into what it keeps: that is the generated code's.
//!
//! A field that is kept deep inside stands in messages of its own, one for each time: protobuf joins all of them ("Last One Wins": embedded
//! messages are merged).
use super::frame::Broken;
use prost::encoding::{encode_varint, encoded_len_varint};

/// What is kept of a field. Others than those with a length are left out.
#[derive(Debug)]
pub(crate) enum Keep {
    /// All of it.
    Whole,
    /// Of a message, these fields.
    Within(Fields),
    /// Of a map from text, the entries with these keys; no others, no long ones, and none whose value stands before its key, which no encoder writes.
    Entries(&'static [&'static str]),
}

/// Fields of a message, by number.
pub(crate) type Fields = &'static [(u32, Keep)];

/// One message on its way.
#[derive(Debug)]
pub(super) struct Sieve {
    /// The message, and those in it where we are.
    inside: Vec<Level>,
    /// Groups of the innermost, by number: fields of an older protobuf, which nobody asks for and whose ends stand behind them.
    groups: Vec<u32>,
    at: At,
    /// So many bytes may be kept.
    most: usize,
}

#[derive(Debug)]
struct Level {
    /// Its own in the message around it.
    number: u32,
    fields: Fields,
    /// Bytes that are to come, without those of the message in it where we are.
    left: usize,
}

#[derive(Debug)]
enum At {
    Tag(Varint),
    Length(u32, Varint),
    /// A number that is left out.
    Number(Varint),
    Rest {
        left: usize,
        is_kept: bool,
    },
    /// The start of a map's entry.
    Entry {
        number: u32,
        keys: &'static [&'static str],
        start: Vec<u8>,
        length: usize,
    },
}

#[derive(Debug, Default)]
struct Varint {
    value: u64,
    bytes: u32,
}

/// Kinds of fields.
const NUMBER: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const WITH_LENGTH: u64 = 2;
const GROUP: u64 = 3;
const GROUPS_END: u64 = 4;
const FOUR_BYTES: u64 = 5;

/// Messages and groups in each other, as many as the generated code takes.
const DEEPEST: usize = 100;

/// A key in a map, and a whole entry.
const LONGEST_KEY: usize = 64;
const LONGEST_ENTRY: usize = 1024;
/// Of an entry's key: its tag, and the length of it.
const KEY_HEAD: usize = 2;
const KEY_TAG: u8 = 1 << 3 | 2;

impl Varint {
    /// The number, with its last byte.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, Broken> {
        let bits = u64::from(byte & 0x7f);
        if self.bytes == 10 || (self.bytes == 9 && bits > 1) {
            return Err(Broken::Fields);
        }
        self.value |= bits << (7 * self.bytes);
        self.bytes += 1;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }
}

impl Sieve {
    /// For a message of so many bytes, of which no more than `most` are kept.
    pub(super) fn new(fields: Fields, length: usize, most: usize) -> Self {
        let whole = Level {
            number: 0,
            fields,
            left: length,
        };
        Self {
            inside: vec![whole],
            groups: vec![],
            at: At::Tag(Varint::default()),
            most,
        }
    }

    /// Takes what belongs to the message from the front of `bytes`, and adds to `kept` what is kept of it. True when the message is over.
    pub(super) fn pass(&mut self, bytes: &mut &[u8], kept: &mut Vec<u8>) -> Result<bool, Broken> {
        loop {
            while let Some(Level { left: 0, .. }) = self.inside.last() {
                match &self.at {
                    At::Tag(Varint { bytes: 0, .. }) if self.groups.is_empty() => self.inside.pop(),
                    At::Tag(_) | At::Length(..) | At::Number(_) => return Err(Broken::Fields),
                    At::Rest { .. } | At::Entry { .. } => break,
                };
            }
            if self.inside.is_empty() {
                return Ok(true);
            }
            if !self.step(bytes, kept)? {
                return Ok(false);
            }
        }
    }

    /// False: it needs more bytes.
    fn step(&mut self, bytes: &mut &[u8], kept: &mut Vec<u8>) -> Result<bool, Broken> {
        match &mut self.at {
            At::Rest { left, is_kept } => {
                let (part, rest) = bytes.split_at((*left).min(bytes.len()));
                if *is_kept {
                    kept.extend_from_slice(part);
                }
                *left -= part.len();
                *bytes = rest;
                let is_over = *left == 0;
                if is_over {
                    self.at = At::Tag(Varint::default());
                }
                Ok(is_over)
            }
            At::Entry { start, length, .. } => {
                let wanted = match start.get(1) {
                    Some(key) => KEY_HEAD + usize::from(*key),
                    None => KEY_HEAD,
                };
                // One that has no key, or a long one, is none of ours.
                let ends = start.len() == wanted || start.len() == *length || wanted > KEY_HEAD + LONGEST_KEY;
                if ends {
                    self.entry(kept)?;
                } else {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(false);
                    };
                    start.push(*byte);
                    *bytes = rest;
                }
                Ok(true)
            }
            At::Tag(_) | At::Length(..) | At::Number(_) => {
                let Some((byte, rest)) = bytes.split_first() else {
                    return Ok(false);
                };
                *bytes = rest;
                let innermost = self.inside.last_mut().ok_or(Broken::Fields)?;
                innermost.left = innermost.left.checked_sub(1).ok_or(Broken::Fields)?;
                self.number(*byte, kept)?;
                Ok(true)
            }
        }
    }

    /// A byte of a tag, a length or a number.
    fn number(&mut self, byte: u8, kept: &mut Vec<u8>) -> Result<(), Broken> {
        match &mut self.at {
            At::Tag(tag) => {
                let Some(tag) = tag.push(byte)? else {
                    return Ok(());
                };
                let number = u32::try_from(tag).map_err(|_| Broken::Fields)? >> 3;
                self.at = match tag & 7 {
                    _ if number == 0 => return Err(Broken::Fields),
                    NUMBER => At::Number(Varint::default()),
                    EIGHT_BYTES => self.rest(8, false)?,
                    WITH_LENGTH => At::Length(number, Varint::default()),
                    FOUR_BYTES => self.rest(4, false)?,
                    GROUP if self.inside.len() + self.groups.len() <= DEEPEST => {
                        self.groups.push(number);
                        At::Tag(Varint::default())
                    }
                    GROUPS_END if self.groups.pop() == Some(number) => At::Tag(Varint::default()),
                    _ => return Err(Broken::Fields),
                };
                Ok(())
            }
            At::Number(number) => {
                if number.push(byte)?.is_some() {
                    self.at = At::Tag(Varint::default());
                }
                Ok(())
            }
            At::Length(number, length) => {
                let number = *number;
                match length.push(byte)? {
                    Some(length) => {
                        let length = usize::try_from(length).map_err(|_| Broken::Fields)?;
                        self.field(number, length, kept)
                    }
                    None => Ok(()),
                }
            }
            At::Rest { .. } | At::Entry { .. } => Ok(()),
        }
    }

    /// The content of a field, which the message around it has room for.
    fn rest(&mut self, length: usize, is_kept: bool) -> Result<At, Broken> {
        let innermost = self.inside.last_mut().ok_or(Broken::Fields)?;
        innermost.left = innermost.left.checked_sub(length).ok_or(Broken::Fields)?;
        Ok(At::Rest {
            left: length,
            is_kept,
        })
    }

    fn field(&mut self, number: u32, length: usize, kept: &mut Vec<u8>) -> Result<(), Broken> {
        let rest = self.rest(length, false)?;
        let fields = match self.inside.last() {
            Some(level) if self.groups.is_empty() => level.fields,
            _ => &[],
        };
        let keep = fields.iter().find(|(kept, _)| *kept == number);
        self.at = match keep.map(|(_, keep)| keep) {
            None => rest,
            Some(Keep::Whole) => {
                self.open(number, length, kept)?;
                At::Rest {
                    left: length,
                    is_kept: true,
                }
            }
            Some(Keep::Within(fields)) => {
                self.inside.push(Level {
                    number,
                    fields,
                    left: length,
                });
                At::Tag(Varint::default())
            }
            Some(Keep::Entries(keys)) => At::Entry {
                number,
                keys,
                start: vec![],
                length,
            },
        };
        Ok(())
    }

    /// Decides on a map's entry by its key.
    fn entry(&mut self, kept: &mut Vec<u8>) -> Result<(), Broken> {
        let At::Entry {
            number,
            keys,
            start,
            length,
        } = std::mem::replace(&mut self.at, At::Tag(Varint::default()))
        else {
            return Ok(());
        };
        let is_wanted = match &start[..] {
            [KEY_TAG, length, key @ ..] if usize::from(*length) == key.len() => {
                keys.iter().any(|wanted| wanted.as_bytes() == key)
            }
            _ => false,
        };
        let is_kept = is_wanted && length <= LONGEST_ENTRY;
        if is_kept {
            self.open(number, length, kept)?;
            kept.extend_from_slice(&start);
        }
        self.at = At::Rest {
            left: length - start.len(),
            is_kept,
        };
        Ok(())
    }

    /// What stands before a field of this length, and before each message around it.
    fn open(&self, number: u32, length: usize, kept: &mut Vec<u8>) -> Result<(), Broken> {
        let around = self.inside.iter().skip(1).map(|level| level.number);
        let mut heads = vec![];
        let mut size = length as u64;
        for number in around.chain([number]).rev() {
            let tag = u64::from(number) << 3 | WITH_LENGTH;
            heads.push((tag, size));
            size += (encoded_len_varint(tag) + encoded_len_varint(size)) as u64;
        }
        let wanted = usize::try_from(size).map_or(usize::MAX, |size| size.saturating_add(kept.len()));
        if wanted > self.most {
            return Err(Broken::TooLarge {
                length: wanted,
                largest: self.most,
            });
        }
        for (tag, size) in heads.into_iter().rev() {
            encode_varint(tag, kept);
            encode_varint(size, kept);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
