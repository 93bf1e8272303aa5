//! For how long what was looked up of a caller holds.
//!
//! In: the hold on its process, the run of its unit. Out: whether both still are what they were, and a wait for the end. Never a task or a timer of its
//! own where the kernel tells: all streams of a connection wait at one entry for its process and one for its unit.
use super::invocation::Invocation;
use super::process::is_alive;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How often one looks where no event is to be had.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// The life of the process that connected, and of the run of the unit in which it was found.
#[derive(Debug, Default)]
pub(in crate::caller) struct Life {
    over: AtomicBool,
    /// That of the process itself.
    gone: AtomicBool,
    /// None: there is no hold on it. Unless it had ended, what is looked up says so itself.
    process: Option<Arc<OwnedFd>>,
    /// Its end, once somebody waits for it. None: the table of what the kernel tells of is full.
    events: OnceLock<Option<AsyncFd<Arc<OwnedFd>>>>,
    invocation: OnceLock<Invocation>,
    /// Rung when that is known: who waits already waits for its end too.
    found: Notify,
}

impl Life {
    pub(in crate::caller) fn of(process: Option<Arc<OwnedFd>>) -> Self {
        Self {
            process,
            ..Self::default()
        }
    }

    /// Of a process that had ended before anybody could take hold of it.
    pub(super) fn ended() -> Self {
        Self {
            over: true.into(),
            gone: true.into(),
            ..Self::default()
        }
    }

    /// It was found in a unit.
    pub(super) fn found_in(&self, invocation: Invocation) {
        self.invocation.get_or_init(|| invocation);
        self.found.notify_waiters();
    }

    /// Whether somebody saw the end. Costs nothing.
    pub(in crate::caller) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Whether somebody saw the process's end: who has the connection now is not who was attested.
    pub(in crate::caller) fn is_process_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Looks whether it is over.
    pub(in crate::caller) fn look(&self) {
        if self.process_ended() {
            self.process_is_gone();
        } else if self.invocation.get().is_some_and(Invocation::is_over) {
            self.over.store(true, Ordering::Release);
        }
    }

    fn process_is_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.over.store(true, Ordering::Release);
    }

    pub(super) fn process_ended(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !is_alive(process))
    }

    /// Returns when it is over. Any number may wait.
    pub(in crate::caller) async fn over(&self) {
        if self.is_over() {
            return;
        }
        tokio::select! {
            () = self.end_of_process() => self.process_is_gone(),
            () = self.end_of_invocation() => self.over.store(true, Ordering::Release),
        }
    }

    async fn end_of_process(&self) {
        let Some(process) = &self.process else {
            return pending().await;
        };
        let events = self.events.get_or_init(|| readable(Arc::clone(process)).ok());
        while is_alive(process) {
            match events {
                // A runtime that is shutting down ends who waits, too.
                Some(events) => match events.readable().await {
                    Ok(mut ready) if is_alive(process) => ready.clear_ready(),
                    Ok(_) => return,
                    Err(_) => return pending().await,
                },
                None => sleep(LOOK).await,
            }
        }
    }

    async fn end_of_invocation(&self) {
        let mut found = pin!(self.found.notified());
        // From now on, so that nothing falls between.
        found.as_mut().enable();
        if self.invocation.get().is_none() {
            found.await;
        }
        match self.invocation.get() {
            Some(invocation) => invocation.over().await,
            None => pending().await,
        }
    }
}

/// To be told when it is readable. Within a runtime only.
pub(super) fn readable(fd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: an OwnedFd is open, and the same, until it is dropped; the Arc that is handed over keeps it from that.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(|e| e.into_parts().1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::io::pipe;

    #[tokio::test]
    async fn all_who_wait_are_told_of_the_end_and_of_nothing_before() {
        // Like a pidfd, a pipe is readable once its other end is gone.
        let (process, alive) = pipe().unwrap();
        let life = Arc::new(Life::of(Some(Arc::new(process.into()))));
        let wait = |_| {
            let life = Arc::clone(&life);
            tokio::spawn(async move { life.over().await })
        };
        let all: Vec<_> = (0..100).map(wait).collect();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        life.look();
        assert!(!life.is_over() && all.iter().all(|one| !one.is_finished()));
        assert_eq!(life.over().now_or_never(), None, "one who leaves harms nobody");
        drop(alive);
        for one in all {
            tokio::time::timeout(Duration::from_secs(20), one)
                .await
                .unwrap()
                .unwrap();
        }
        assert!(life.is_over() && life.is_process_gone());
        assert_eq!(life.over().now_or_never(), Some(()), "also one who comes late");
    }

    #[test]
    fn who_looks_sees_the_end_too() {
        let (process, alive) = pipe().unwrap();
        let life = Life::of(Some(Arc::new(process.into())));
        life.look();
        assert!(!life.is_over());
        drop(alive);
        assert!(!life.is_over() && !life.is_process_gone(), "nobody looked");
        life.look();
        assert!(life.is_over() && life.is_process_gone());
        assert!(Life::ended().is_process_gone());
        assert_eq!(Life::ended().over().now_or_never(), Some(()));
        assert_eq!(
            Life::default().over().now_or_never(),
            None,
            "who is not held has no end"
        );
    }
}
