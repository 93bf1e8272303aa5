//! Random bytes for names and salts. In: how many. Out: that many, from the kernel. Never makes a key.
//!
//! Not from the crypto provider: its generator gathers jitter for a tenth of a second before its first byte, and the first publish of a
//! daemon is what makes it ready.

use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel has none: before it was started up, or where the system call is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's source of random numbers failed")]
pub(crate) struct NoRandom;

/// `N` random bytes, at most 256: so many getrandom(2) gives whole or not at all.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandom> {
    const { assert!(N <= 256) };
    let mut bytes = [0; N];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(given) if given == N => Ok(bytes),
        Ok(_) | Err(_) => Err(NoRandom),
    }
}
