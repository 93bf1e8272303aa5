//! A tree as lines of text, as `alt=text` writes it: `0/device-name boot`. In: a tree in JSON, already pruned. Out: one line a value. Never copies
//! a value to where it is not wiped.
use super::reader::Reader;
use super::{DEEPEST, TreeError};
use zeroize::{Zeroize, Zeroizing};

/// Below these the names are other people's and stand as they are written.
const OTHERS: [&str; 3] = ["attributes", "guest-attributes", "partner-attributes"];

/// `names` is where the tree hangs; its lines begin below it.
pub(in super::super) fn lines(tree: &[u8], names: &[&str]) -> Result<Zeroizing<Vec<u8>>, TreeError> {
    let text = std::str::from_utf8(tree).map_err(TreeError::Encoding)?;
    let mut writing = Writing {
        reader: Reader::new(text),
        lines: Zeroizing::new(Vec::new()),
        names: vec![],
        verbatim: names.iter().any(|name| OTHERS.contains(name)),
    };
    writing.value()?;
    Ok(writing.lines)
}

struct Writing<'a> {
    reader: Reader<'a>,
    lines: Zeroizing<Vec<u8>>,
    names: Vec<String>,
    /// The names are other people's from the root of the tree on.
    verbatim: bool,
}

impl Writing<'_> {
    fn value(&mut self) -> Result<(), TreeError> {
        if self.names.len() > DEEPEST {
            return Err(TreeError::TooDeep);
        }
        match self.reader.next() {
            Some(b'{') => {
                let mut members = self.reader.enter(b'{', b'}')?;
                while self.reader.more(&mut members)? {
                    let name = self.reader.key()?.name;
                    self.below(&name)?;
                }
                Ok(())
            }
            Some(b'[') => self.list(),
            _ => self.line(),
        }
    }

    fn below(&mut self, name: &str) -> Result<(), TreeError> {
        let verbatim = self.verbatim || self.names.iter().any(|name| OTHERS.contains(&name.as_str()));
        self.names
            .push(if verbatim { name.to_owned() } else { dashed(name) });
        self.value()?;
        self.names.pop();
        Ok(())
    }

    /// Values stand below one another as in the value's own text; what has values of its own is numbered.
    fn list(&mut self) -> Result<(), TreeError> {
        let mut items = self.reader.enter(b'[', b']')?;
        let (mut number, mut joined) = (0_usize, false);
        while self.reader.more(&mut items)? {
            if matches!(self.reader.next(), Some(b'{' | b'[')) {
                self.below(&number.to_string())?;
                joined = false;
            } else if std::mem::replace(&mut joined, true) {
                self.scalar()?;
                self.push(b"\n");
            } else {
                self.line()?;
            }
            number += 1;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<(), TreeError> {
        if !self.names.is_empty() {
            let name = self.names.join("/");
            self.push(name.as_bytes());
            self.push(b" ");
        }
        self.scalar()?;
        self.push(b"\n");
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), TreeError> {
        let raw = self.reader.scalar()?;
        let Some(inner) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) else {
            self.push(raw.as_bytes());
            return Ok(());
        };
        let mut rest = inner;
        while let Some((plain, escape)) = rest.split_once('\\') {
            self.push(plain.as_bytes());
            rest = self.escape(escape);
        }
        self.push(rest.as_bytes());
        Ok(())
    }

    /// Writes what comes after a backslash (RFC 8259, 7) and returns what is left.
    fn escape<'t>(&mut self, text: &'t str) -> &'t str {
        let mut after = text.chars();
        let one = match after.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let (one, rest) = unicode(after.as_str());
                self.push(one.encode_utf8(&mut [0; 4]).as_bytes());
                return rest;
            }
            Some(other) => other,
            None => return "",
        };
        self.push(one.encode_utf8(&mut [0; 4]).as_bytes());
        after.as_str()
    }

    /// Grows by copying into a new place and wiping the old one.
    fn push(&mut self, bytes: &[u8]) {
        let wanted = self.lines.len() + bytes.len();
        if wanted > self.lines.capacity() {
            let mut larger = Vec::with_capacity((wanted * 2).max(4096));
            larger.extend_from_slice(&self.lines);
            self.lines.zeroize();
            self.lines = Zeroizing::new(larger);
        }
        self.lines.extend_from_slice(bytes);
    }
}

/// What `\u` means, and what is left. Half of a pair is no character.
fn unicode(text: &str) -> (char, &str) {
    let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let Some(first) = unit(text) else {
        return (char::REPLACEMENT_CHARACTER, text);
    };
    let rest = &text[4..];
    if let Some(one) = char::from_u32(first) {
        return (one, rest);
    }
    let second = rest
        .strip_prefix("\\u")
        .and_then(|low| Some((unit(low)?, &low[4..])));
    match second {
        Some((low @ 0xdc00..=0xdfff, rest)) if first < 0xdc00 => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
        }
        _ => (char::REPLACEMENT_CHARACTER, rest),
    }
}

/// `deviceName` as the paths spell it: `device-name`.
fn dashed(name: &str) -> String {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}
