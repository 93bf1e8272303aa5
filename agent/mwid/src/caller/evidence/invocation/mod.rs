//! Runs of systemd units: from a start to the stop that follows.
//!
//! In: a unit's name; the links in which systemd tells the journal which run of a unit is the present one. Out: that run, and its end. Never asks
//! systemd itself, and needs no privilege: the directory is everybody's to read, and one watch on it serves all units.
mod begin;

use super::life::{LOOK, readable};
use crate::caller::Denial;
use begin::Clocks;
use rustix::fs::inotify;
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::SystemTime;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// `invocation:payments.service` is a link to the number of the unit's present run, there while the unit is not stopped (systemd 235).
const UNITS: &str = "/run/systemd/units";
const PREFIX: &str = "invocation:";

/// Units that are watched. A VM has some hundred; those beyond are looked at now and then.
const MOST: usize = 4096;

/// The runs of all units. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::caller) struct Invocations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    clocks: Clocks,
    watched: Arc<Watched>,
    /// What reads the events, once somebody waits for one. None: there are none to be had.
    reader: OnceLock<Option<AbortHandle>>,
}

/// Those units whose end somebody may wait for.
#[derive(Debug, Default)]
struct Watched(Mutex<HashMap<String, Weak<watch::Sender<()>>>>);

/// One run of a unit.
#[derive(Debug)]
pub(super) struct Invocation {
    all: Invocations,
    link: PathBuf,
    id: PathBuf,
    /// By the wall clock of that time.
    began: SystemTime,
    /// None: there are too many units.
    news: Option<Arc<watch::Sender<()>>>,
}

impl Invocations {
    /// Opens nothing.
    pub(in crate::caller) fn new() -> Self {
        Self::at(UNITS)
    }

    pub(in crate::caller) fn at(directory: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Shared {
            directory: directory.into(),
            clocks: Clocks::new(),
            watched: Arc::default(),
            reader: OnceLock::new(),
        }))
    }

    /// The present run of a unit; `None`: where there is no systemd of today. An error for a unit that is stopped: what is left of
    /// its processes is nobody's. And where the kernel does not tell: who cannot be watched may be a leftover.
    pub(super) fn of(&self, unit: &str) -> Result<Option<Invocation>, Denial> {
        let link = self.0.directory.join(format!("{PREFIX}{unit}"));
        let (id, began) = match self.look(&link) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let unit = unit.to_owned();
                return Err(Denial::Stopped { unit });
            }
            Err(source) => {
                let unit = unit.to_owned();
                return Err(Denial::Run { unit, source });
            }
        };
        Ok(Some(Invocation {
            all: self.clone(),
            link,
            id,
            began,
            news: self.0.watched.add(unit),
        }))
    }

    /// Where a link leads, and when it was made; `None`: there is not even a directory.
    fn look(&self, link: &Path) -> io::Result<Option<(PathBuf, SystemTime)>> {
        // In this order: should a new run begin between the two, its link ends this one.
        let found =
            std::fs::read_link(link).and_then(|id| Ok((id, std::fs::symlink_metadata(link)?.modified()?)));
        match found {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                match std::fs::symlink_metadata(&self.0.directory) {
                    Ok(_) => Err(e),
                    Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// Whether events come: from now on.
    fn listen(&self) -> bool {
        let start = || {
            let events = watch_directory(&self.0.directory)
                .inspect_err(|error| {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(error, directory = ?self.0.directory, "stops of units are looked for every few seconds");
                })
                .ok()?;
            let watched = Arc::clone(&self.0.watched);
            Some(tokio::spawn(read(events, watched)).abort_handle())
        };
        let reader = self.0.reader.get_or_init(start).as_ref();
        reader.is_some_and(|reader| !reader.is_finished())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(Some(reader)) = self.reader.get() {
            reader.abort();
        }
    }
}

impl Invocation {
    pub(super) fn is_over(&self) -> bool {
        std::fs::read_link(&self.link).ok().as_ref() != Some(&self.id)
    }

    /// Whether a process that started at this time, in ticks since the boot, is what an earlier run left: systemd makes the link before it starts
    /// anything.
    pub(super) fn began_after(&self, started: u64) -> bool {
        self.all.0.clocks.is_before(started, self.began)
    }

    /// Returns when the unit was stopped, or is another run by now.
    pub(super) async fn over(&self) {
        loop {
            // Before the look, so that nothing falls between.
            let news = self.news.as_ref().map(|news| news.subscribe());
            let listens = self.all.listen();
            if self.is_over() {
                return;
            }
            match news {
                // The sender is held here: this cannot fail.
                Some(mut news) if listens => drop(news.changed().await),
                _ => sleep(LOOK).await,
            }
        }
    }
}

impl Watched {
    fn add(&self, unit: &str) -> Option<Arc<watch::Sender<()>>> {
        let mut units = self.units();
        if let Some(news) = units.get(unit).and_then(Weak::upgrade) {
            return Some(news);
        }
        if units.len() >= MOST {
            units.retain(|_, news| news.strong_count() > 0);
            if units.len() >= MOST {
                return None;
            }
        }
        let news = Arc::new(watch::Sender::new(()));
        units.insert(unit.to_owned(), Arc::downgrade(&news));
        Some(news)
    }

    fn tell(&self, unit: &str) {
        if let Some(news) = self.units().get(unit).and_then(Weak::upgrade) {
            news.send_replace(());
        }
    }

    fn tell_all(&self) {
        let all: Vec<_> = self.units().values().filter_map(Weak::upgrade).collect();
        for news in all {
            news.send_replace(());
        }
    }

    /// Nothing in here panics half way.
    fn units(&self) -> MutexGuard<'_, HashMap<String, Weak<watch::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn watch_directory(directory: &Path) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    use inotify::{CreateFlags, WatchFlags};
    let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    // systemd makes a link under another name and renames it into place.
    let wanted = WatchFlags::DELETE | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::ONLYDIR;
    inotify::add_watch(&events, directory, wanted)?;
    readable(Arc::new(events))
}

/// Tells those whom the events are about, until the directory is gone.
async fn read(events: AsyncFd<Arc<OwnedFd>>, watched: Arc<Watched>) {
    let mut room = [MaybeUninit::uninit(); 8 * 1024];
    while let Ok(mut ready) = events.readable().await {
        let mut reader = inotify::Reader::new(events.get_ref(), &mut room);
        loop {
            match reader.next() {
                Ok(event) if event.events().intersects(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                    watched.tell_all();
                }
                Ok(event) if event.events().intersects(inotify::ReadFlags::IGNORED) => {
                    // Who waits looks, and finds its link gone.
                    return watched.tell_all();
                }
                Ok(event) => {
                    let name = event.file_name().and_then(|name| name.to_str().ok());
                    if let Some(unit) = name.and_then(|name| name.strip_prefix(PREFIX)) {
                        watched.tell(unit);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break ready.clear_ready(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
