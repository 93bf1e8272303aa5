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
mod tests {
    use super::*;

    fn number(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn a_number_leads_to_its_unit() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(&path).unwrap();
            number(&path)
        };
        let cgroups = Cgroups::mounted_at(root.path());
        let unit = |id| cgroups.unit(id).map_err(|e| e.kind());
        let found = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(unit(number(root.path())), Ok(None), "in no unit");
        let payments = make("system.slice/payments.service");
        assert_eq!(unit(payments), found("payments.service"));
        assert_eq!(
            unit(make("system.slice/payments.service/evil.service/deep")),
            found("payments.service")
        );
        assert_eq!(
            unit(make("system.slice/system-x.slice/x@1.service")),
            found("x@1.service")
        );
        assert_eq!(unit(make("init.scope")), found("init.scope"));
        assert_eq!(unit(make("user.slice/user-1.slice")), Ok(None));
        assert_eq!(unit(make("docker")), Ok(None));
        // A user's own groups, and those of other managers, are not even looked at.
        assert_eq!(unit(make("user.slice/user-1.slice/user@1.service")), Ok(None));
        assert_eq!(
            unit(make("user.slice/user-1.slice/user@1.service/payments.service")),
            Err("no_unit")
        );
        assert_eq!(unit(make("docker/1/payments.service")), Err("no_unit"));
        fs::write(root.path().join("system.slice/file.service"), "").unwrap();
        assert_eq!(
            unit(number(&root.path().join("system.slice/file.service"))),
            Err("no_unit")
        );
        // Remembered, but looked at again: the directory has another number now.
        let path = root.path().join("system.slice/payments.service");
        fs::rename(&path, root.path().join("system.slice/other.service")).unwrap();
        make("system.slice/payments.service");
        assert_eq!(unit(payments), found("other.service"));
    }

    #[test]
    fn what_was_searched_for_in_vain_is_not_searched_for_again() {
        let root = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::mounted_at(root.path());
        let outside = tempfile::tempdir().unwrap();
        let id = number(outside.path());
        assert!(matches!(cgroups.unit(id), Err(Denial::Cgroup { id: told }) if told == id));
        fs::rename(outside.path(), root.path().join("late.service")).unwrap();
        assert!(cgroups.unit(id).is_err());
        for id in 0..2 * MOST_KNOWN as u64 {
            drop(cgroups.unit(u64::MAX - id));
        }
        assert!(cgroups.known.lock().unwrap().len() <= MOST_KNOWN);
        assert_eq!(cgroups.unit(id).unwrap().as_deref(), Some("late.service"));
    }

    #[test]
    fn a_search_ends() {
        let root = tempfile::tempdir().unwrap();
        for n in 0..MOST_OPENED {
            fs::create_dir(root.path().join(format!("{n}.slice"))).unwrap();
        }
        let hidden = root.path().join("0.slice/a.slice/b.service");
        fs::create_dir_all(&hidden).unwrap();
        let cgroups = Cgroups::mounted_at(root.path());
        assert!(
            cgroups.unit(number(&hidden)).is_err(),
            "it comes after {MOST_OPENED} others"
        );
    }
}
