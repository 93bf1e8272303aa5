//! Buffers that all connections of a thread share. In: a piece of work that does not wait. Out: its result. Nothing stays in them from one piece of
//! work to the next: what a connection has to keep, it keeps itself, and only while it has to.
use std::cell::RefCell;

/// So much is read at once. A TLS record has at most 16 KiB and a little (RFC 8446, 5.2): this is seven of them, in one system call.
pub(super) const READ: usize = 128 * 1024;
/// What encrypting adds to a full read: a header, a type and a tag for each record, and a few messages of TLS itself.
const MORE: usize = 4 * 1024;

/// One thread's buffers.
pub(super) struct Scratch {
    /// What is read.
    pub(super) read: Box<[u8]>,
    /// Decrypted.
    pub(super) plain: Vec<u8>,
    /// Encrypted.
    pub(super) sealed: Sealed,
}

/// Bytes for the wire.
pub(super) struct Sealed {
    /// Always of its full length, so that nothing is wiped only to be written over.
    buffer: Vec<u8>,
    filled: usize,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        read: vec![0; READ].into(),
        plain: Vec::with_capacity(READ),
        sealed: Sealed { buffer: vec![0; READ + MORE], filled: 0 },
    });
}

/// Lends this thread's buffers, empty. Not to be called by what is called.
pub(super) fn with<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.plain.clear();
        scratch.sealed.filled = 0;
        work(scratch)
    })
}

impl Sealed {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// At least so much room behind what is there.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        if self.buffer.len() - self.filled < size {
            self.buffer.resize(self.filled + size, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// So much of the room was written.
    pub(super) fn add(&mut self, size: usize) {
        self.filled += size;
    }
}
