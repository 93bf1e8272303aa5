//! Units of control groups by number. In: a control group's number, as the socket table has it. Out: the unit that it belongs to. Looks only
//! where units live: in slices first, then below units; never where the users' own managers make groups.
use super::unit::{self, Kind};
use crate::caller::Denial;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where the one hierarchy is mounted: alone, and beside the older ones.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Directories that one search opens. A VM has some hundred units.
const MOST_OPENED: usize = 4096;
/// Numbers that are remembered, with a path or without.
const MOST_KNOWN: usize = 1024;

/// The hierarchy, and what was found in it.
#[derive(Debug, Default)]
pub(in crate::caller) struct Cgroups {
    mount: OnceLock<Option<PathBuf>>,
    /// The directory of each number; `None`: it was searched for in vain. The kernel gives no number twice.
    known: Mutex<HashMap<u64, Option<PathBuf>>>,
}

impl Cgroups {
    #[cfg(test)]
    pub(super) fn mounted_at(mount: &Path) -> Self {
        Self {
            mount: OnceLock::from(Some(mount.to_owned())),
            known: Mutex::default(),
        }
    }

    /// The unit of the control group with this number; `None`: in none.
    ///
    /// A search reads some dozen small directories that the kernel holds in memory (under 1 ms), once a unit.
    pub(super) fn unit(&self, id: u64) -> Result<Option<String>, Denial> {
        let mount = self
            .mount
            .get_or_init(find_mount)
            .as_deref()
            .ok_or(Denial::NoCgroup)?;
        let path = match self.remembered(id) {
            // A number is not used again, but look: the next question may be years later.
            Some(Some(path)) if has_number(&path, id) => path,
            Some(None) => return Err(Denial::Cgroup { id }),
            _ => self.search(mount, id)?,
        };
        let inside = path.strip_prefix(mount).map_err(|_| Denial::Cgroup { id })?;
        let inside = [b"/", inside.as_os_str().as_bytes()].concat();
        Ok(unit::of_path(&inside).map(str::to_owned))
    }

    fn remembered(&self, id: u64) -> Option<Option<PathBuf>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&id).cloned()
    }

    fn search(&self, mount: &Path, id: u64) -> Result<PathBuf, Denial> {
        let found = find(mount, id);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(id, found.clone());
        found.ok_or(Denial::Cgroup { id })
    }
}

fn find_mount() -> Option<PathBuf> {
    MOUNTS
        .iter()
        .find(|path| statfs(**path).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC))
        .map(PathBuf::from)
}

fn has_number(directory: &Path, id: u64) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|found| found.ino() == id)
}

/// The directory with this number: the root, a slice, a unit, or one below a unit.
fn find(mount: &Path, id: u64) -> Option<PathBuf> {
    if has_number(mount, id) {
        return Some(mount.to_owned());
    }
    let (mut slices, mut below) = (VecDeque::from([mount.to_owned()]), VecDeque::new());
    for _ in 0..MOST_OPENED {
        // Units are looked into only when all slices are done: hardly any has groups of its own.
        let (directory, inside_unit) = match slices.pop_front() {
            Some(directory) => (directory, false),
            None => (below.pop_front()?, true),
        };
        // One that is gone meanwhile holds nothing.
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.ino() == id {
                return Some(entry.path());
            }
            match unit::kind(OsStr::as_bytes(&entry.file_name())) {
                _ if inside_unit => below.push_back(entry.path()),
                Some(Kind::Slice) => slices.push_back(entry.path()),
                Some(Kind::Unit(name)) if !unit::is_user_manager(name) => below.push_back(entry.path()),
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
