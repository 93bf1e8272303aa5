//! Bytes from the wire that TLS is not done with. In: what one read brought. Out: it and what came before it, in one piece; what is left, kept until the
//! next read. Never moves a byte again for each small piece that comes after it.

/// The beginning of a record, or of a message of TLS in several, whose end has not come.
///
/// However small the pieces are in which it comes, no byte is moved more than a few times: a piece that is smaller than what is kept is put behind it, and what
/// is kept is moved only to a piece that is as large.
#[derive(Default)]
pub(super) struct Begun {
    pub(super) bytes: Vec<u8>,
    /// So many were moved, ever.
    #[cfg(test)]
    moved: usize,
}

/// Where what was begun and a new piece of it have come together.
#[derive(Clone, Copy)]
pub(super) enum Joined {
    InScratch,
    InPlace,
}

impl Begun {
    /// Puts together what is kept and so many new bytes, which are in `read` behind the room for it.
    pub(super) fn join<'a>(&'a mut self, read: &'a mut [u8], new: usize) -> (Joined, &'a mut [u8]) {
        let kept = self.bytes.len();
        if new < kept {
            self.bytes.extend_from_slice(&read[kept..kept + new]);
            #[cfg(test)]
            {
                self.moved += new;
            }
            return (Joined::InPlace, &mut self.bytes);
        }
        read[..kept].copy_from_slice(&self.bytes);
        self.bytes.clear();
        #[cfg(test)]
        {
            self.moved += kept;
        }
        (Joined::InScratch, &mut read[..kept + new])
    }

    /// Keeps what is behind the `used` ones; `read` is what was joined there, if it was.
    pub(super) fn keep(&mut self, place: Joined, read: &[u8], used: usize) {
        match place {
            Joined::InScratch => self.bytes.extend_from_slice(&read[used..]),
            // What is left is of the last piece: what was kept before has its end there.
            Joined::InPlace => drop(self.bytes.drain(..used)),
        }
        if used > 0 || matches!(place, Joined::InScratch) {
            #[cfg(test)]
            {
                self.moved += self.bytes.len();
            }
        }
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::READ;
    use super::*;

    /// Takes pieces of a stream of messages, as TLS would, and tells how many bytes were moved.
    fn moved(message: usize, piece: usize, total: usize) -> usize {
        let mut begun = Begun::default();
        let mut read = vec![0; READ];
        let (mut came, mut done) = (0_usize, 0_usize);
        while came < total {
            let new = piece.min(total - came);
            let kept = begun.bytes.len();
            for (at, byte) in read[kept..kept + new].iter_mut().enumerate() {
                *byte = ((came + at) % 251).to_le_bytes()[0];
            }
            let (place, bytes) = begun.join(&mut read, new);
            let begins = (done % 251).to_le_bytes()[0];
            assert_eq!(
                (bytes.len(), bytes[0]),
                (kept + new, begins),
                "the stream as it came"
            );
            let used = bytes.len() / message * message;
            begun.keep(place, &read[..kept + new], used);
            (came, done) = (came + new, done + used);
        }
        assert_eq!(begun.bytes.len(), total - done);
        begun.moved
    }

    #[test]
    fn no_byte_is_moved_for_each_piece_that_comes_after_it() {
        let total = 1 << 20;
        for message in [1, 23, 1400, 16 * 1024, 64 * 1024] {
            for piece in [1, 23, 1400, 20_000] {
                let moved = moved(message, piece, total);
                assert!(moved <= 3 * total, "{moved} of {total}: {piece} of {message}");
            }
        }
    }
}
