//! Whether an application speaks HTTP/2. In: the first bytes that it sends. Out: the answer, to whoever waits for it before he sends a request.
use tokio::sync::oneshot;

/// The type of a server's first frame (RFC 9113, 3.4).
const SETTINGS: u8 = 4;

/// Hears the beginning of the first frame.
pub(super) struct Speaks {
    begin: [u8; 9],
    begun: usize,
    says: oneshot::Sender<bool>,
}

impl Speaks {
    /// And what tells whether it is that of HTTP/2; nothing, if nobody says a word.
    pub(super) fn new() -> (Self, oneshot::Receiver<bool>) {
        let (says, said) = oneshot::channel();
        let new = Self {
            begin: [0; 9],
            begun: 0,
            says,
        };
        (new, said)
    }

    /// Takes what came, of which nothing is an end; itself, while it has not heard enough.
    pub(super) fn hear(mut self, bytes: &[u8]) -> Option<Self> {
        let new = bytes.len().min(self.begin.len() - self.begun);
        self.begin[self.begun..self.begun + new].copy_from_slice(&bytes[..new]);
        self.begun += new;
        if new == 0 {
            return None;
        }
        if self.begun < self.begin.len() {
            return Some(self);
        }
        let [.., kind, _flags, a, b, c, d] = self.begin;
        // Whoever asked may be gone.
        self.says.send(kind == SETTINGS && [a, b, c, d] == [0; 4]).ok();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_are_http2_however_they_are_cut() {
        let settings: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        let of_a_stream: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 1];
        for (bytes, wanted) in [
            (settings, Ok(true)),
            (of_a_stream, Ok(false)),
            (b"HTTP/1.1 400 Bad Request", Ok(false)),
            (&settings[..8], Err(oneshot::error::TryRecvError::Closed)),
        ] {
            for at in 1..bytes.len() {
                let (speaks, mut said) = Speaks::new();
                let rest = speaks
                    .hear(&bytes[..at])
                    .and_then(|speaks| speaks.hear(&bytes[at..]));
                // Its end.
                assert!(rest.and_then(|speaks| speaks.hear(&[])).is_none());
                assert_eq!(said.try_recv(), wanted, "{bytes:?} {at}");
            }
        }
    }
}
