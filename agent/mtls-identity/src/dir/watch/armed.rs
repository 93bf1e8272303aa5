//! The watches that are set. In: places. Out: events of notify, and trouble when the kernel grants no more. Never decides what
//! an event means.
use super::WatchError;
use super::places::Places;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How often the places are looked up again because they moved while they were armed.
const ROUNDS: usize = 8;

pub(super) struct Armed {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeMap<PathBuf, (u64, u64)>,
}

impl Armed {
    pub(super) fn new() -> Self {
        Self {
            watcher: None,
            directories: BTreeMap::new(),
        }
    }

    /// Watches what decides where `path` leads now. What is armed already stays as it is.
    pub(super) fn follow(&mut self, path: &Path, events: &super::Events) -> (Places, Result<(), WatchError>) {
        let mut places = Places::of(path);
        let mut result = self.start(events);
        if result.is_ok() {
            for _ in 0..ROUNDS {
                result = self.arm(&places);
                let now = Places::of(path);
                if now == places {
                    break;
                }
                // Something appeared while we armed: its own directory was not watched yet.
                places = now;
            }
        }
        (places, result)
    }

    /// No longer trusts the watch on a directory that was removed or renamed: a new one of its name is a stranger.
    pub(super) fn forget(&mut self, path: &Path) {
        if self.directories.remove(path).is_some()
            && let Some(watcher) = &mut self.watcher
        {
            // It may have gone with its directory.
            let _gone = watcher.unwatch(path);
        }
    }

    /// After lost events no watch is trusted.
    pub(super) fn forget_all(&mut self) {
        for path in std::mem::take(&mut self.directories).into_keys() {
            if let Some(watcher) = &mut self.watcher {
                let _gone = watcher.unwatch(&path);
            }
        }
    }

    fn start(&mut self, events: &super::Events) -> Result<(), WatchError> {
        if self.watcher.is_none() {
            let watcher = notify::recommended_watcher(events.clone()).map_err(WatchError::Start)?;
            self.watcher = Some(watcher);
        }
        Ok(())
    }

    fn arm(&mut self, places: &Places) -> Result<(), WatchError> {
        let wanted: BTreeMap<_, _> = places
            .directories()
            .map(|(p, place)| (p.clone(), place))
            .collect();
        let stale: Vec<_> = self
            .directories
            .iter()
            .filter(|(path, place)| wanted.get(*path) != Some(*place))
            .map(|(path, _)| path.clone())
            .collect();
        for path in stale {
            self.forget(&path);
        }
        let Some(watcher) = &mut self.watcher else {
            return Ok(());
        };
        let mut result = Ok(());
        for (path, place) in wanted {
            if self.directories.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => _ = self.directories.insert(path, place),
                // Gone again; its parent's watch, or the next look, will see what comes.
                Err(e) if matches!(e.kind, notify::ErrorKind::PathNotFound) => {}
                Err(source) => result = Err(WatchError::Watch { path, source }),
            }
        }
        result
    }
}
