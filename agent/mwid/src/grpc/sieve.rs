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
const FOUR_BYTES: u64 = 5;

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
            at: At::Tag(Varint::default()),
            most,
        }
    }

    /// Takes what belongs to the message from the front of `bytes`, and adds to `kept` what is kept of it. True when the message is over.
    pub(super) fn pass(&mut self, bytes: &mut &[u8], kept: &mut Vec<u8>) -> Result<bool, Broken> {
        loop {
            while let Some(Level { left: 0, .. }) = self.inside.last() {
                match &self.at {
                    At::Tag(Varint { bytes: 0, .. }) => self.inside.pop(),
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
                let number = u32::try_from(tag >> 3).map_err(|_| Broken::Fields)?;
                self.at = match tag & 7 {
                    _ if number == 0 => return Err(Broken::Fields),
                    NUMBER => At::Number(Varint::default()),
                    EIGHT_BYTES => self.rest(8, false)?,
                    WITH_LENGTH => At::Length(number, Varint::default()),
                    FOUR_BYTES => self.rest(4, false)?,
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
        let fields = self.inside.last().map_or(&[][..], |level| level.fields);
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
            [KEY_TAG, _, key @ ..] => keys.iter().any(|wanted| wanted.as_bytes() == key),
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, Message)]
    struct Outer {
        #[prost(string, repeated, tag = "1")]
        names: Vec<String>,
        #[prost(message, optional, tag = "2")]
        inner: Option<Inner>,
        #[prost(bytes = "vec", tag = "4")]
        heavy: Vec<u8>,
        #[prost(uint64, tag = "5")]
        number: u64,
        #[prost(fixed64, tag = "6")]
        eight: u64,
        #[prost(fixed32, tag = "17")]
        four: u32,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Inner {
        #[prost(string, tag = "1")]
        id: String,
        #[prost(btree_map = "string, bytes", tag = "3")]
        map: BTreeMap<String, Vec<u8>>,
        #[prost(bytes = "vec", repeated, tag = "9")]
        heavy: Vec<Vec<u8>>,
    }

    static FIELDS: Fields = &[
        (1, Keep::Whole),
        (
            2,
            Keep::Within(&[(1, Keep::Whole), (3, Keep::Entries(&["wanted", "too"]))]),
        ),
    ];

    /// The message as it comes in parts of these sizes, what is kept of it at the most, and whether it was over with its last byte.
    fn passed(bytes: &[u8], cuts: &[usize], most: usize) -> Result<Vec<u8>, Broken> {
        let mut sieve = Sieve::new(FIELDS, bytes.len(), most);
        let (mut kept, mut rest) = (vec![], bytes);
        let mut cuts = cuts.iter().cycle();
        let mut is_over = sieve.pass(&mut &[][..], &mut kept)?;
        while !rest.is_empty() {
            assert!(!is_over, "over before its last byte");
            let cut = cuts.next().map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
            let (mut part, after) = rest.split_at(cut);
            is_over = sieve.pass(&mut part, &mut kept)?;
            assert!(part.is_empty(), "bytes of the message were left");
            rest = after;
        }
        assert!(is_over, "not over with its last byte");
        Ok(kept)
    }

    prop_compose! {
        fn outer()(
            names in prop::collection::vec("[a-z]{0,200}", 0..4),
            id in "[a-z]{0,9}",
            map in prop::collection::btree_map("wanted|too|other|[a-z]{0,130}", prop::collection::vec(any::<u8>(), 0..300), 0..6),
            heavy in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
            (number, eight, four) in any::<(u64, u64, u32)>(),
        ) -> Outer {
            let all = heavy.concat();
            let inner = Inner { id, map, heavy };
            Outer { names, inner: Some(inner), heavy: all, number, eight, four }
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_asked_for(message in outer(), cuts in prop::collection::vec(1_usize..40, 0..9)) {
            let kept = passed(&message.encode_to_vec(), &cuts, usize::MAX).unwrap();
            let got = Outer::decode(&kept[..]).unwrap();
            let mut wanted = Outer { names: message.names, ..Outer::default() };
            let mut inner = message.inner.unwrap();
            inner.heavy.clear();
            inner.map.retain(|key, _| key == "wanted" || key == "too");
            // A message of which nothing is kept is not there.
            wanted.inner = (inner != Inner::default()).then_some(inner);
            prop_assert_eq!(got, wanted);
        }

        #[test]
        fn bytes_of_any_kind_are_refused_or_passed(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(1_usize..40, 0..9)) {
            let at_once = passed(&bytes, &[], 100);
            prop_assert!(at_once.as_ref().is_ok_and(|kept| kept.len() <= 100) || at_once.is_err());
            let in_parts = passed(&bytes, &cuts, 100);
            prop_assert_eq!(at_once.ok(), in_parts.ok());
        }
    }

    #[test]
    fn what_is_not_kept_costs_nothing_and_what_is_kept_has_a_bound() {
        let heavy = Outer {
            heavy: vec![7; 1 << 20],
            names: vec!["a".repeat(90)],
            ..Outer::default()
        };
        let bytes = heavy.encode_to_vec();
        assert_eq!(passed(&bytes, &[4096], 100).unwrap().len(), 92);
        let Err(Broken::TooLarge { length, largest }) = passed(&bytes, &[4096], 91) else {
            panic!("kept");
        };
        assert_eq!((length, largest), (92, 91));
    }

    #[test]
    fn a_field_that_is_longer_than_its_message_is_refused() {
        for bytes in [
            &[0x0a, 2, b'a'][..],
            &[0x12, 3, 0x0a, 2, b'a'],
            &[0x31, 0, 0],
            &[0x08],
            &[0x0b],
            &[0x07],
            &[0x00, 0],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ] {
            assert!(
                matches!(passed(bytes, &[], 100), Err(Broken::Fields)),
                "{bytes:?}"
            );
        }
    }
}
