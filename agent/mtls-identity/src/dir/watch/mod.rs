//! Hints that a directory may have changed. In: a path and the time between polls. Out: hints, by blocking. Never says *what*
//! changed, and never wakes between polls when nothing happens.
//!
//! Notifications are hints only: watches go deaf when their directory is deleted, replaced or mounted over, and queues
//! overflow. So each hint and each poll looks anew which directories decide where the path leads, and watches those: the one
//! that holds the link (not the link, which would mean its target), the directory it points at, and, where something does not
//! exist yet, the nearest ancestor that does.
mod armed;
mod places;

use armed::Armed;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use places::Places;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Events that wait while a directory is read. More than these are one hint anyway.
const MOST_EVENTS: usize = 256;

/// What [`Watch::wait`] returned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Something may have changed: read.
    Changed,
    /// The poll time is over without a notification: read, in case one was lost.
    Poll,
    /// The caller's own limit is over.
    Limit,
    /// A [`WatchStopper`] stopped the watch; it gives no more hints.
    Stopped,
}

/// Why there are no notifications; polling goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// No inotify instance.
    #[error("cannot watch for changes, only poll; fs.inotify.max_user_instances may be used up")]
    Start(#[source] notify::Error),
    /// One directory cannot be watched.
    #[error("cannot watch {} for changes, only poll; fs.inotify.max_user_watches may be used up, or this user may not read the directory", path.display())]
    Watch {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: notify::Error,
    },
}

enum Signal {
    Event(notify::Event),
    Stop,
}

/// The sending side: notify's thread and stoppers.
#[derive(Clone)]
struct Events {
    signals: SyncSender<Signal>,
    /// Set when events could not be queued, or the kernel's queue overflowed.
    lost: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

impl notify::EventHandler for Events {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        let event = match event {
            // Reading a file is an access: it would wake us for our own reads, for ever.
            Ok(event) if is_noise(&event) => return,
            Ok(event) if !event.need_rescan() => event,
            Ok(event) => {
                self.lost.store(true, Ordering::Release);
                event
            }
            Err(_) => {
                self.lost.store(true, Ordering::Release);
                notify::Event::new(EventKind::Other)
            }
        };
        if let Err(TrySendError::Full(_)) = self.signals.try_send(Signal::Event(event)) {
            self.lost.store(true, Ordering::Release);
        }
    }
}

fn is_noise(event: &notify::Event) -> bool {
    matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}

/// Watches the directory that a path leads to, however often it is replaced.
///
/// Blocking, for a thread of its own: [`Watch::wait`] sleeps until there is a reason to read. Before each hint the watches are
/// set anew, so a change after a read is never missed.
///
/// ```
/// use mtls_identity::dir::{Hint, Watch};
/// use std::time::Duration;
///
/// let mut watch = Watch::new("/nonexistent/workload-spiffe-credentials", Duration::from_secs(30));
/// // The first hint comes at once: read what is there.
/// assert_eq!(watch.wait(None), Hint::Changed);
/// watch.stopper().stop();
/// assert_eq!(watch.wait(None), Hint::Stopped);
/// ```
pub struct Watch {
    path: PathBuf,
    poll: Duration,
    next_poll: Instant,
    events: Events,
    signals: Receiver<Signal>,
    armed: Armed,
    places: Places,
    trouble: Option<WatchError>,
    started: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("path", &self.path)
            .field("poll", &self.poll)
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}

/// Ends a [`Watch`] from elsewhere.
#[derive(Clone)]
pub struct WatchStopper(Events);

impl WatchStopper {
    /// [`Watch::wait`] returns [`Hint::Stopped`] from now on.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        // A full queue wakes the watch as well.
        let _woken = self.0.signals.try_send(Signal::Stop);
    }
}

impl std::fmt::Debug for WatchStopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchStopper")
    }
}

impl Watch {
    /// Sets the watches. Neither the path nor any part of it needs to exist. `poll` is the net under the notifications.
    pub fn new(path: impl AsRef<Path>, poll: Duration) -> Self {
        let (signals, receiver) = sync_channel(MOST_EVENTS);
        let events = Events {
            signals,
            lost: Arc::default(),
            stopped: Arc::default(),
        };
        let mut watch = Self {
            path: path.as_ref().to_owned(),
            poll,
            next_poll: after(poll),
            events,
            signals: receiver,
            armed: Armed::new(),
            places: Places::default(),
            trouble: None,
            started: false,
        };
        watch.rearm();
        watch
    }

    /// Sleeps until there is a reason to read, but no longer than `limit`. The first call returns at once.
    pub fn wait(&mut self, limit: Option<Duration>) -> Hint {
        if !self.started {
            self.started = true;
            return self.hint(Hint::Changed);
        }
        let limit = limit.map(after);
        loop {
            if self.events.stopped.load(Ordering::Acquire) {
                return Hint::Stopped;
            }
            let until = limit.map_or(self.next_poll, |limit| limit.min(self.next_poll));
            match self
                .signals
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(Signal::Event(event)) => {
                    if self.take_in(&event) {
                        return self.hint(Hint::Changed);
                    }
                }
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Hint::Stopped,
                Err(RecvTimeoutError::Timeout) if Instant::now() >= self.next_poll => {
                    return self.hint(Hint::Poll);
                }
                Err(RecvTimeoutError::Timeout) => return Hint::Limit,
            }
        }
    }

    /// Why notifications do not work at the moment, if they do not.
    pub fn trouble(&self) -> Option<&WatchError> {
        self.trouble.as_ref()
    }

    /// A handle that ends this watch.
    pub fn stopper(&self) -> WatchStopper {
        WatchStopper(self.events.clone())
    }

    /// Everything that waits is one hint; then the watches are set for what is there now.
    fn hint(&mut self, hint: Hint) -> Hint {
        loop {
            match self.signals.try_recv() {
                Ok(Signal::Event(event)) => _ = self.take_in(&event),
                Ok(Signal::Stop) => return Hint::Stopped,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.rearm();
        self.next_poll = after(self.poll);
        hint
    }

    /// True when the event matters.
    fn take_in(&mut self, event: &notify::Event) -> bool {
        let gone = matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Both))
        );
        if gone && let Some(path) = event.paths.first() {
            self.armed.forget(path);
        }
        self.events.lost.load(Ordering::Acquire) || event.paths.iter().any(|path| self.places.concern(path))
    }

    fn rearm(&mut self) {
        if self.events.lost.swap(false, Ordering::AcqRel) {
            self.armed.forget_all();
        }
        let (places, result) = self.armed.follow(&self.path, &self.events);
        self.places = places;
        self.trouble = result.err();
    }
}

/// A poll time beyond what the clock can hold is "never", a century.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait)
        .or_else(|| now.checked_add(Duration::from_secs(100 * 365 * 86_400)))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests;
