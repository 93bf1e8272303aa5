//! The compressed headers of HTTP/2 (RFC 7541), as far as it takes to find one field. In: a block. Out: the authority's bytes, in place. Keeps
//! of the dynamic table only what the names of its entries are like. Never decodes a value.
use std::collections::VecDeque;

/// The table's size, which we never change (RFC 9113, section 6.5.2).
const TABLE: usize = 4096;
/// Of an entry beside its two strings (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;
/// Entries of the static table; the first one is `:authority`.
const STATIC: usize = 61;
const NAME: &[u8] = b":authority";
/// The same by the code of RFC 7541, appendix B.
const NAME_CODED: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// The names of the dynamic table's entries, the newest first. What was evicted may still be here; nobody may refer to it.
#[derive(Debug)]
pub(super) struct Names {
    kept: VecDeque<Name>,
    /// What the client says that the table may hold.
    table: usize,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    is_authority: bool,
    length: Length,
}

/// How long a string is: at least and at most, since the codes of one that is coded have 5 to 30 bits a byte.
#[derive(Clone, Copy, Debug)]
struct Length(usize, usize);

impl Default for Names {
    fn default() -> Self {
        Self {
            kept: VecDeque::new(),
            table: TABLE,
        }
    }
}

/// The block is none, or says something that cannot be followed here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// A string as it is written.
struct Text<'a> {
    bytes: &'a mut [u8],
    is_coded: bool,
}

/// Calls `overwrite` for each value of `:authority` that is written out in plain; true if one was overwritten.
pub(super) fn walk(
    block: &mut [u8],
    names: &mut Names,
    overwrite: impl Fn(&mut [u8]) -> bool,
) -> Result<bool, Unclear> {
    let mut rest = block;
    let mut touched = false;
    while let Some(first) = rest.first().copied() {
        match first {
            // Name and value are in a table.
            0x80.. => {
                integer(&mut rest, 7)?;
            }
            // A new size of the table.
            0x20..0x40 => names.resize(integer(&mut rest, 5)?)?,
            // Written out: to be kept in the table, or not.
            _ => {
                let is_kept = first >= 0x40;
                let name = match integer(&mut rest, if is_kept { 6 } else { 4 })? {
                    0 => text(&mut rest)?.name(),
                    index => names.get(index)?,
                };
                let value = text(&mut rest)?;
                if is_kept {
                    names.keep(name, value.length())?;
                }
                if name.is_authority && !value.is_coded {
                    touched |= overwrite(value.bytes);
                }
            }
        }
    }
    Ok(touched)
}

impl Names {
    fn get(&self, index: usize) -> Result<Name, Unclear> {
        match index.checked_sub(STATIC + 1) {
            None => Ok(Name {
                is_authority: index == 1,
                // From `age` to `access-control-allow-origin`.
                length: Length(3, 27),
            }),
            Some(at) => self.kept.get(at).copied().ok_or(Unclear),
        }
    }

    fn resize(&mut self, table: usize) -> Result<(), Unclear> {
        self.table = table;
        if table > TABLE { Err(Unclear) } else { Ok(()) }
    }

    /// A new entry. One that is larger than the table is not kept (RFC 7541, section 4.4); where that cannot be told, nothing is sure any more.
    fn keep(&mut self, name: Name, value: Length) -> Result<(), Unclear> {
        let least = name.length.0 + value.0 + OVERHEAD;
        let most = name.length.1 + value.1 + OVERHEAD;
        if most <= self.table {
            self.kept.truncate(TABLE / OVERHEAD - 1);
            self.kept.push_front(name);
            Ok(())
        } else if least > self.table {
            self.kept.clear();
            Ok(())
        } else {
            Err(Unclear)
        }
    }
}

impl Text<'_> {
    fn name(&self) -> Name {
        let authority = if self.is_coded { NAME_CODED } else { NAME };
        Name {
            is_authority: *self.bytes == *authority,
            length: self.length(),
        }
    }

    fn length(&self) -> Length {
        let length = self.bytes.len();
        match self.is_coded {
            false => Length(length, length),
            // Up to seven bits at the end are filling.
            true => Length((length * 8).saturating_sub(7) / 30, length * 8 / 5),
        }
    }
}

/// An integer that begins with the low `bits` of a byte (RFC 7541, section 5.1). None here is larger than a frame.
fn integer(rest: &mut &mut [u8], bits: u32) -> Result<usize, Unclear> {
    let most = (1 << bits) - 1;
    let mut value = usize::from(byte(rest)?) & most;
    if value < most {
        return Ok(value);
    }
    for shift in [0, 7, 14] {
        let part = byte(rest)?;
        value += usize::from(part & 0x7f) << shift;
        if part & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Unclear)
}

/// RFC 7541, section 5.2.
fn text<'a>(rest: &mut &'a mut [u8]) -> Result<Text<'a>, Unclear> {
    let is_coded = rest.first().ok_or(Unclear)? & 0x80 != 0;
    let length = integer(rest, 7)?;
    let bytes = take(rest, length)?;
    Ok(Text { bytes, is_coded })
}

fn byte(rest: &mut &mut [u8]) -> Result<u8, Unclear> {
    take(rest, 1)?.first().copied().ok_or(Unclear)
}

fn take<'a>(rest: &mut &'a mut [u8], length: usize) -> Result<&'a mut [u8], Unclear> {
    if length > rest.len() {
        return Err(Unclear);
    }
    let (part, after) = std::mem::take(rest).split_at_mut(length);
    *rest = after;
    Ok(part)
}
