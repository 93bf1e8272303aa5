//! Clients that ask to resume a session. In: a word of the TLS library in the midst of a step of a handshake. Out: whether there was one, to whoever made the
//! step. Never resumes anything.
use std::cell::Cell;

thread_local! {
    /// The library does not say of whose handshake it speaks; a step is made on one thread without a stop.
    static OFFERED: Cell<bool> = const { Cell::new(false) };
}

/// What the library calls.
pub(super) fn asked() {
    OFFERED.set(true);
}

/// Whether it was, since the last time.
pub(super) fn take() -> bool {
    OFFERED.take()
}
