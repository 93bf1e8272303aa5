//! The frames of HTTP/2, and the one field in them that may have to be touched.
//!
//! In: bytes as they come, in parts of any size. Out: the same bytes, as soon as it is sure that they stay as they are; an illegal
//! authority overwritten. Holds at most one HEADERS frame.
use super::hpack::{self, Names};
use hyper::http::uri::Authority;

/// Before the payload of each frame (RFC 9113, section 4.1).
const HEAD: usize = 9;
/// We never announced that larger frames were welcome.
const LARGEST: usize = 16 * 1024;
const HEADERS: u8 = 1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Where in the stream of frames we are.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// A frame's head that is not whole, or a HEADERS frame that is not.
    held: Vec<u8>,
    /// Bytes of a frame that is no HEADERS frame.
    skip: usize,
    names: Names,
    /// Whether an authority was overwritten.
    is_touched: bool,
    is_done: bool,
}

/// What is at the start of what is held.
enum Start {
    Unknown,
    /// HEADERS, this long.
    Headers(usize),
    /// Another frame, this long.
    Other(usize),
    /// What is not followed here.
    Unclear,
}

impl Filter {
    /// Whether all further bytes pass as they are.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Adds what passes to `passed`.
    pub(super) fn pass(&mut self, mut bytes: &[u8], passed: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.is_done {
                return passed.extend_from_slice(bytes);
            }
            if self.skip > 0 {
                let (skipped, rest) = bytes.split_at(self.skip.min(bytes.len()));
                passed.extend_from_slice(skipped);
                self.skip -= skipped.len();
                bytes = rest;
                continue;
            }
            let wanted = match self.start() {
                Start::Headers(length) => length,
                _ => HEAD,
            };
            let (more, rest) = bytes.split_at((wanted - self.held.len()).min(bytes.len()));
            self.held.extend_from_slice(more);
            bytes = rest;
            match self.start() {
                Start::Unknown => {}
                Start::Headers(length) if self.held.len() < length => {}
                Start::Headers(_) => {
                    self.touch();
                    passed.append(&mut self.held);
                }
                Start::Other(length) => {
                    self.skip = length - HEAD;
                    passed.append(&mut self.held);
                }
                Start::Unclear => self.end(passed),
            }
        }
    }

    /// Nothing is held any more, and nothing touched.
    pub(super) fn end(&mut self, passed: &mut Vec<u8>) {
        passed.append(&mut self.held);
        self.is_done = true;
    }

    fn start(&self) -> Start {
        let [a, b, c, kind, flags, _, _, _, _, ..] = self.held[..] else {
            return Start::Unknown;
        };
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        match kind {
            // Parts of a block of headers are not put together here, and without them what is in the table is not known.
            HEADERS if flags & END_HEADERS == 0 || length > LARGEST => Start::Unclear,
            HEADERS => Start::Headers(HEAD + length),
            _ => Start::Other(HEAD + length),
        }
    }

    /// Overwrites the authority of a whole HEADERS frame if it is illegal. A client whose first call has a legal one or none is left alone
    /// from then on: the authority is the same for all calls to one server.
    fn touch(&mut self) {
        let [_, _, _, _, flags, _, _, _, _, payload @ ..] = &mut self.held[..] else {
            return;
        };
        let walked = match block(payload, *flags) {
            Some(block) => hpack::walk(block, &mut self.names, overwrite),
            None => Err(hpack::Unclear),
        };
        match walked {
            Ok(touched) => {
                self.is_touched |= touched;
                self.is_done = !self.is_touched;
            }
            Err(hpack::Unclear) => self.is_done = true,
        }
    }
}

/// The block of headers in a payload (RFC 9113, section 6.2).
fn block(payload: &mut [u8], flags: u8) -> Option<&mut [u8]> {
    let mut payload = payload;
    let mut padding = 0;
    if flags & PADDED != 0 {
        let (length, rest) = payload.split_first_mut()?;
        padding = usize::from(*length);
        payload = rest;
    }
    if flags & PRIORITY != 0 {
        payload = payload.get_mut(5..)?;
    }
    let length = payload.len().checked_sub(padding)?;
    payload.get_mut(..length)
}

/// Makes an illegal authority legal; true if it was not.
fn overwrite(authority: &mut [u8]) -> bool {
    if Authority::try_from(&*authority).is_ok() {
        return false;
    }
    for byte in authority {
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.') {
            *byte = b'-';
        }
    }
    true
}
