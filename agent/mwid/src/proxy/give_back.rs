//! Memory of connections that have ended, given back to the system. In: connections that begin and end, also those to applications. Out: a word to the allocator when most of many
//! have ended. Never on a way that a connection waits on, and never while few come and go.
use std::sync::atomic::{AtomicUsize, Ordering};

/// Not for less than so many connections: a look at all of the memory costs less than one of them did.
const MANY: usize = 32;

/// Counts the connections of all routes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    open: AtomicUsize,
    /// The most that were open since memory was last given back.
    peak: AtomicUsize,
}

/// One connection; on drop it has ended.
#[derive(Debug)]
pub(super) struct Connection<'a>(&'a Memory);

impl Memory {
    pub(super) fn connection(&self) -> Connection<'_> {
        self.begins();
        Connection(self)
    }

    /// One more connection; whoever says so says [`Memory::ends`], too.
    pub(super) fn begins(&self) {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(open, Ordering::Relaxed);
    }

    /// One has ended.
    pub(super) fn ends(&self) {
        if !self.ended() {
            return;
        }
        // There is none when the runtime itself ends, and with it the process.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(give_back);
        }
    }

    /// True when there is much to give back: half of the most that there were have ended, so that each of them is looked at a few times in all.
    fn ended(&self) -> bool {
        let open = self.open.fetch_sub(1, Ordering::Relaxed) - 1;
        let peak = self.peak.load(Ordering::Relaxed);
        let many = peak.saturating_sub(open) >= MANY && open <= peak / 2;
        // One of those who see it does it.
        many && self
            .peak
            .compare_exchange(peak, open, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.0.ends();
    }
}

/// The allocator of glibc keeps what was freed below anything that is still in use, for ever: what is left of ten thousand connections is 80 MB.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and may be called at any time by any thread.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often memory is given back when so many connections end of so many, beginning with `from`.
    fn given(memory: &Memory, open: &mut Vec<Connection<'_>>, end: usize) -> usize {
        let ended = open.split_off(open.len() - end);
        // Forgotten: their drop would look for a runtime.
        ended
            .into_iter()
            .map(std::mem::forget)
            .filter(|()| memory.ended())
            .count()
    }

    #[test]
    fn memory_is_given_back_when_most_of_many_have_ended_and_not_while_few_come_and_go() {
        let memory = Memory::default();
        let mut open: Vec<_> = (0..1000).map(|_| memory.connection()).collect();
        assert_eq!(given(&memory, &mut open, 499), 0, "more than half are here");
        assert_eq!(given(&memory, &mut open, 1), 1);
        assert_eq!(given(&memory, &mut open, 500), 4, "at 250, 125, 62 and 30");
        for _ in 0..10 {
            open.extend((0..MANY - 1).map(|_| memory.connection()));
            let few = open.len();
            assert_eq!(given(&memory, &mut open, few), 0);
        }
        assert_eq!(memory.open.load(Ordering::Relaxed), 0);
    }
}
