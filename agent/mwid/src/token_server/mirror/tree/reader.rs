//! Cuts a JSON document into pieces. In: a text that is known to be JSON (RFC 8259). Out: its pieces, as they are written. Never copies a value.
use super::TreeError;

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// A member's name, as it is written and as it is meant.
pub(super) struct Key<'a> {
    pub(super) raw: &'a str,
    pub(super) name: String,
}

/// An object or array that the reader is in.
pub(super) struct Within {
    close: u8,
    begun: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The first byte of what comes next.
    pub(super) fn next(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    pub(super) fn enter(&mut self, open: u8, close: u8) -> Result<Within, TreeError> {
        self.eat(open)?;
        Ok(Within { close, begun: false })
    }

    /// Whether there is one more in it; if so, the reader is before it.
    pub(super) fn more(&mut self, within: &mut Within) -> Result<bool, TreeError> {
        if self.next() == Some(within.close) {
            self.at += 1;
            return Ok(false);
        }
        if std::mem::replace(&mut within.begun, true) {
            self.eat(b',')?;
        }
        Ok(true)
    }

    /// A name and its colon.
    pub(super) fn key(&mut self) -> Result<Key<'a>, TreeError> {
        let raw = self.scalar()?;
        let name = serde_json::from_str(raw).map_err(TreeError::Json)?;
        self.eat(b':')?;
        Ok(Key { raw, name })
    }

    /// A string with its quotes, a number or a word.
    pub(super) fn scalar(&mut self) -> Result<&'a str, TreeError> {
        let first = self.next();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = match first {
            Some(b'"') => string_length(rest),
            _ => Some(
                rest.find([',', '}', ']', ' ', '\t', '\n', '\r'])
                    .unwrap_or(rest.len()),
            ),
        };
        let torn = TreeError::Torn { at: self.at };
        let length = length.filter(|length| *length > 0).ok_or(torn)?;
        self.at += length;
        Ok(&rest[..length])
    }

    /// Passes over a whole value.
    pub(super) fn skip(&mut self, levels: usize) -> Result<(), TreeError> {
        let levels = levels.checked_sub(1).ok_or(TreeError::TooDeep)?;
        match self.next() {
            Some(b'{') => {
                let mut members = self.enter(b'{', b'}')?;
                while self.more(&mut members)? {
                    self.scalar()?;
                    self.eat(b':')?;
                    self.skip(levels)?;
                }
            }
            Some(b'[') => {
                let mut items = self.enter(b'[', b']')?;
                while self.more(&mut items)? {
                    self.skip(levels)?;
                }
            }
            _ => {
                self.scalar()?;
            }
        }
        Ok(())
    }

    fn eat(&mut self, wanted: u8) -> Result<(), TreeError> {
        if self.next() == Some(wanted) {
            self.at += 1;
            Ok(())
        } else {
            Err(TreeError::Torn { at: self.at })
        }
    }
}

/// Of a string at the beginning of a text, with both quotes.
fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}
