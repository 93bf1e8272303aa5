//! Removes what is no longer, or never was, a published generation.
//!
//! In: the hidden directory and what is current. Out: fewer names in it. Never removes the current generation, one that
//! readers by name may still use, or anything that mwid did not make.

use super::claim::{Public, is_generation};
use super::folder::{Folder, missing_ok};
use super::{KEEP, Moment, manifest};
use crate::publish::error::PublishError;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Links that were about to be moved into place.
pub(super) const LINK_PREFIX: &str = "link-";

/// What this process knows about generations that are not the current one.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// When each one's time is over.
    over_at: HashMap<OsString, Instant>,
    /// Whether everything that is on disk is known: not at the start, nor after anything failed.
    complete: bool,
}

impl Retired {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, name: OsString, since: Instant) {
        self.known().over_at.insert(name, since + KEEP);
    }

    /// Something may be on disk that is not known here.
    pub(super) fn look_again(&self) {
        self.known().complete = false;
    }

    /// When the next one's time is over. Never in the past, so that a stubborn one does not make a busy loop.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let soonest = now + Duration::from_secs(1);
        self.known().over_at.values().min().map(|at| (*at).max(soonest))
    }
}

/// Goes on after the first failure, and then tells it.
pub(super) fn sweep(
    hidden: &Folder<'_>,
    public: &Public,
    retired: &Retired,
    now: Moment,
) -> Result<(), PublishError> {
    let mut known = retired.known();
    let mut first_error = None;
    if !known.complete {
        known.complete = true;
        for name in hidden.list()? {
            if let Err(e) = look_at(hidden, &name, &mut known, now) {
                known.complete = false;
                first_error.get_or_insert(e);
            }
        }
    }
    if let Public::Generation(current) = public {
        // It may have been retired and then come back (an operator's hand on the link).
        known.over_at.remove(current);
    }
    let over = known.over_at.iter().filter(|(_, at)| **at <= now.instant);
    let over: Vec<OsString> = over.map(|(name, _)| name.clone()).collect();
    for name in over {
        match remove_tree(hidden, Path::new(&name)) {
            Ok(()) => drop(known.over_at.remove(&name)),
            Err(e) => drop(first_error.get_or_insert(e)),
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Something on disk from before our start, or from a failure: what is it, and when is its time over?
fn look_at(hidden: &Folder<'_>, name: &OsString, known: &mut Known, now: Moment) -> Result<(), PublishError> {
    let path = Path::new(name);
    let is_link = name.to_str().is_some_and(|name| name.starts_with(LINK_PREFIX));
    if is_link {
        return hidden.remove_file(path);
    }
    if !is_generation(name) || known.over_at.contains_key(name) {
        return Ok(()); // not ours, or known
    }
    let folder = hidden.folder(path)?;
    let mut over_at = now.instant;
    if missing_ok(folder.stat_of(Path::new(manifest::NAME)))?.is_some() {
        // Finished. Its time on disk is when it stopped being current, at the latest.
        let modified = u64::try_from(folder.stat()?.modified).unwrap_or(0);
        let age = Duration::from_secs(now.wall.as_secs().saturating_sub(modified));
        over_at += KEEP.saturating_sub(age);
    }
    known.over_at.insert(name.clone(), over_at);
    Ok(())
}

/// Removes a generation directory with the files in it (there are no directories in one).
pub(super) fn remove_tree(hidden: &Folder<'_>, name: &Path) -> Result<(), PublishError> {
    let Some(folder) = missing_ok(hidden.folder(name))? else {
        return Ok(());
    };
    // The manifest first: a removal that is cut short leaves what the next sweep knows as unfinished.
    missing_ok(folder.remove_file(Path::new(manifest::NAME)))?;
    for file in folder.list()? {
        missing_ok(folder.remove_file(Path::new(&file)))?;
    }
    missing_ok(hidden.remove_folder(name))?;
    Ok(())
}
