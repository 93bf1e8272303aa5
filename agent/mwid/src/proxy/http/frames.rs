//! Where heads begin and end in HTTP/2. In: the plain bytes of a peer. Out: whether it owes us the rest of a head. Never judges a frame: hyper does.

const PREFACE: u32 = 24;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What a peer has sent, as far as it matters here.
#[derive(Debug)]
pub(super) struct Frames {
    /// Of the preface or of a frame's payload.
    left: u32,
    /// The beginning of a frame, as far as it is there.
    begin: [u8; 9],
    begun: usize,
    /// A head that is not whole.
    is_open: bool,
    /// The payload that is being read ends it.
    ends: bool,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            left: PREFACE,
            begin: [0; 9],
            begun: 0,
            is_open: false,
            ends: false,
        }
    }

    /// Takes what came; true: something became whole in it.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> bool {
        let mut whole = false;
        while !bytes.is_empty() {
            let now = bytes.len().min(self.wants());
            let (some, rest) = bytes.split_at(now);
            bytes = rest;
            if self.left > 0 {
                // `now` is not more than it.
                self.left -= u32::try_from(now).unwrap_or(self.left);
            } else {
                self.begin[self.begun..self.begun + now].copy_from_slice(some);
                self.begun += now;
                if self.begun < self.begin.len() {
                    break;
                }
                self.begin_frame();
                whole |= !self.is_open;
            }
            if self.left == 0 && self.ends {
                (self.is_open, self.ends) = (false, false);
                whole = true;
            }
        }
        whole
    }

    fn wants(&self) -> usize {
        match self.left {
            0 => self.begin.len() - self.begun,
            left => left as usize,
        }
    }

    fn begin_frame(&mut self) {
        let [one, two, three, kind, flags, ..] = self.begin;
        self.left = u32::from_be_bytes([0, one, two, three]);
        self.begun = 0;
        let is_head = matches!(kind, HEADERS | CONTINUATION);
        self.is_open |= is_head;
        self.ends = is_head && flags & END_HEADERS != 0;
    }

    /// Whether the peer owes the rest of a head, or of the beginning of a frame that may be one.
    pub(super) fn owes(&self) -> bool {
        self.is_open || self.begun > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_head_is_owed_from_its_first_byte_to_its_last_however_it_is_cut() {
        let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, b"")].concat();
        let head = [frame(1, 0, b"abc"), frame(9, 0, b""), frame(9, 4, b"def")].concat();
        let rest = [frame(0, 1, b"body"), frame(8, 0, b"1234")].concat();
        let all = [&begin[..], &head, &rest].concat();
        for at in 1..=all.len() {
            let mut frames = Frames::new();
            frames.take(&all[..at]);
            let into = at.saturating_sub(begin.len());
            if into > 0 && into < head.len() {
                assert!(frames.owes(), "{at}");
            }
            if at == begin.len() || into == head.len() || at == all.len() {
                assert!(!frames.owes(), "{at}");
            }
            // The rest in single bytes: the same.
            for byte in &all[at..] {
                frames.take(&[*byte]);
            }
            assert!(!frames.owes());
        }
    }

    #[test]
    fn an_empty_head_that_ends_at_once_is_whole() {
        let mut frames = Frames::new();
        frames.take(&[0; 24]);
        assert!(frames.take(&frame(1, 4, b"")));
        assert!(!frames.owes());
        assert!(!frames.take(&frame(1, 0, b"")[..8]));
        assert!(frames.owes());
    }
}
