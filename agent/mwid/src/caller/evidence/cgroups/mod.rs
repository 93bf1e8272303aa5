//! Units of control groups by number. In: a control group's number, as the socket table has it. Out: the unit that it belongs to. Looks only
//! where units live: in slices first, then below units; never where the users' own managers make groups.
use super::stat::start_time;
use super::unit::{self, Kind};
use crate::caller::Denial;
use crate::caller::denial::passes;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where the one hierarchy is mounted: alone, and beside the older ones.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Directories that one search opens. A VM has some hundred units.
const MOST_OPENED: usize = 4096;
/// Processes of one control group that are looked at.
const MOST_PROCESSES: usize = 4096;
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
        let found = find(mount, id).map_err(Denial::Cgroups)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(id, found.clone());
        found.ok_or(Denial::Cgroup { id })
    }

    /// When the first of the processes in a control group whose unit was told a moment ago was started, in ticks since the boot.
    pub(super) fn oldest(&self, id: u64) -> Result<Option<u64>, Denial> {
        let Some(Some(path)) = self.remembered(id) else {
            return Err(Denial::Cgroup { id });
        };
        let processes = match fs::read_to_string(path.join("cgroup.procs")) {
            Ok(processes) => processes,
            Err(e) if passes(&e) => return Err(Denial::Cgroups(e)),
            Err(_) => return Err(Denial::Cgroup { id }),
        };
        // One that is gone meanwhile is no more in it.
        let started = |pid: &str| start_time(&fs::read(format!("/proc/{pid}/stat")).ok()?);
        Ok(processes.lines().take(MOST_PROCESSES).filter_map(started).min())
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

/// The directory with this number: the root, a slice, a unit, or one below a unit. An error where the kernel had no room for the search: then
/// it was not there that nothing was found.
fn find(mount: &Path, id: u64) -> io::Result<Option<PathBuf>> {
    if has_number(mount, id) {
        return Ok(Some(mount.to_owned()));
    }
    let (mut slices, mut below) = (VecDeque::from([mount.to_owned()]), VecDeque::new());
    for _ in 0..MOST_OPENED {
        // Units are looked into only when all slices are done: hardly any has groups of its own.
        let (directory, inside_unit) = match slices.pop_front() {
            Some(directory) => (directory, false),
            None => match below.pop_front() {
                Some(directory) => (directory, true),
                None => return Ok(None),
            },
        };
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if passes(&e) => return Err(e),
            // One that is gone meanwhile holds nothing.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.ino() == id {
                return Ok(Some(entry.path()));
            }
            match unit::kind(OsStr::as_bytes(&entry.file_name())) {
                _ if inside_unit => below.push_back(entry.path()),
                Some(Kind::Slice) => slices.push_back(entry.path()),
                Some(Kind::Unit(name)) if !unit::is_user_manager(name) => below.push_back(entry.path()),
                _ => {}
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
