//! The place of a published directory: is it ours, or free to take?
//!
//! In: a path. Out: its open parent and hidden sibling, and which generation the public link shows, or a refusal that
//! says what to do. Never removes anything but an empty directory, and that only right before the first switch.

use super::folder::{Folder, missing_ok};
use crate::publish::error::PublishError;
use crate::publish::fs::{FileSystem, Kind};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A process that is just being started holds a copy of its parent's locks until its exec, so one look is not enough.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Where things are. Only words; nothing is opened.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The public path.
    pub(super) path: PathBuf,
    pub(super) parent: PathBuf,
    /// The public link's name in the parent.
    pub(super) name: PathBuf,
    /// The hidden sibling's name in the parent.
    pub(super) hidden: PathBuf,
    /// Whether missing parents may be created: they are the runtime directory or below it.
    may_create: bool,
}

/// What the public name shows now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Public {
    Nothing,
    /// An empty directory, which the first switch replaces.
    EmptyDirectory,
    /// Our link; the generation directory's name.
    Generation(OsString),
}

/// Held while anything is changed: by this process through the mutex, against other processes through the file lock.
#[derive(Debug, Default)]
pub(in crate::publish) struct Claim(Mutex<Option<Held>>);

#[derive(Debug)]
pub(in crate::publish) struct Held {
    same: (u64, u64),
    /// The file lock lives as long as this.
    _fd: OwnedFd,
}

impl Place {
    pub(super) fn new(path: &Path, runtime_dir: &Path) -> Result<Self, PublishError> {
        let plain = path.is_absolute()
            && path
                .components()
                .all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        let (Some(parent), Some(name), true) = (path.parent(), path.file_name(), plain) else {
            return Err(PublishError::BadPath {
                path: path.to_owned(),
            });
        };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        Ok(Self {
            path: path.to_owned(),
            parent: parent.to_owned(),
            name: name.into(),
            hidden: hidden.into(),
            may_create: parent.starts_with(runtime_dir),
        })
    }

    /// Opens the parent; creates it when it is the runtime directory or below it.
    pub(super) fn open_parent<'a>(&self, fs: &'a dyn FileSystem) -> Result<Folder<'a>, PublishError> {
        let parent = match missing_ok(Folder::open(fs, &self.parent))? {
            Some(parent) => parent,
            None if self.may_create => make_all(fs, &self.parent)?,
            None => {
                return Err(PublishError::NoParent {
                    parent: self.parent.clone(),
                });
            }
        };
        let stat = parent.stat()?;
        if stat.mode & 0o1002 == 0o0002 {
            return Err(PublishError::ParentOpenToAll {
                path: self.parent.clone(),
                mode: stat.mode,
            });
        }
        Ok(parent)
    }

    /// What the public name shows, or why it is not ours to replace.
    pub(super) fn public(&self, parent: &Folder<'_>) -> Result<Public, PublishError> {
        let Some(stat) = missing_ok(parent.stat_of(&self.name))? else {
            return Ok(Public::Nothing);
        };
        let path = self.path.clone();
        match stat.kind {
            Kind::Link => {
                let target = parent.read_link(&self.name)?;
                match (target.parent(), target.file_name()) {
                    (Some(dir), Some(name)) if dir == self.hidden => Ok(Public::Generation(name.to_owned())),
                    _ => Err(PublishError::ForeignLink { path, target }),
                }
            }
            Kind::Directory if parent.folder(&self.name)?.list()?.is_empty() => Ok(Public::EmptyDirectory),
            Kind::Directory => Err(PublishError::NotEmpty { path }),
            Kind::File | Kind::Other => Err(PublishError::InTheWay { path }),
        }
    }

    /// Opens the hidden sibling, creating it when it is not there. It must be ours alone to write.
    pub(super) fn open_hidden<'a>(&self, parent: &Folder<'a>) -> Result<Folder<'a>, PublishError> {
        let hidden = match missing_ok(parent.folder(&self.hidden))? {
            Some(hidden) => hidden,
            None => {
                parent.make_folder(&self.hidden, 0o700)?;
                parent.folder(&self.hidden)?
            }
        };
        let stat = hidden.stat()?;
        let me = rustix::process::geteuid().as_raw();
        if (stat.uid != me && stat.uid != 0) || stat.mode & 0o022 != 0 {
            return Err(PublishError::HiddenNotOurs {
                path: hidden.path().to_owned(),
                uid: stat.uid,
                mode: stat.mode,
            });
        }
        if stat.mode != 0o755 {
            hidden.set_mode(0o755)?;
        }
        Ok(hidden)
    }
}

/// Creates the missing directories of a path, from the top.
fn make_all<'a>(fs: &'a dyn FileSystem, path: &Path) -> Result<Folder<'a>, PublishError> {
    let mut folder = Folder::open(fs, Path::new("/"))?;
    for part in path.components() {
        let Component::Normal(part) = part else { continue };
        let below = folder.path().join(part);
        folder = match missing_ok(Folder::open(fs, &below))? {
            Some(folder) => folder,
            None => {
                folder.make_folder(Path::new(part), 0o755)?;
                let made = folder.folder(Path::new(part))?;
                made.set_mode(0o755)?; // whatever the umask says: others must get to what is published
                made
            }
        };
    }
    Ok(folder)
}

impl Claim {
    /// Waits for other threads of this process.
    pub(in crate::publish) fn hold(&self) -> MutexGuard<'_, Option<Held>> {
        // A thread that panicked left nothing half-done in memory: the state is on disk.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the file lock on the hidden directory, unless this claim has it already.
pub(super) fn lock(held: &mut Option<Held>, parent: &Folder<'_>, place: &Place) -> Result<(), PublishError> {
    let fresh = parent.folder(&place.hidden)?;
    let same = fresh.stat()?.same;
    if held.as_ref().is_some_and(|held| held.same == same) {
        return Ok(());
    }
    let mut tries = 0..LOCK_TRIES;
    while !fresh.lock()? {
        if tries.next().is_none() {
            return Err(PublishError::Busy {
                path: place.path.clone(),
            });
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    *held = Some(Held {
        same,
        _fd: fresh.into_fd(),
    });
    Ok(())
}

/// The highest generation that a public link shows or its hidden sibling keeps, as their names say; none if there is none of
/// ours. What cannot be read counts as not there: publishing will say why.
pub(in crate::publish) fn last_generation(public: &Path) -> Option<u64> {
    let mut hidden = OsString::from(".");
    hidden.push(public.file_name()?);
    let kept = std::fs::read_dir(public.with_file_name(hidden))
        .into_iter()
        .flatten();
    let kept = kept.flatten().filter_map(|entry| number_of(&entry.file_name()));
    let target = std::fs::read_link(public).ok();
    let shown = target.as_deref().and_then(Path::file_name).and_then(number_of);
    kept.chain(shown).max()
}

fn number_of(name: &OsStr) -> Option<u64> {
    let name = Some(name).filter(|name| is_generation(name))?;
    name.to_str()?.split_once('-')?.0.parse().ok()
}

/// Whether a name in the hidden directory is one of our generations: `00000012-9f3c0a417be2d605`.
pub(super) fn is_generation(name: &OsStr) -> bool {
    let Some((number, random)) = name.to_str().and_then(|name| name.split_once('-')) else {
        return false;
    };
    number.len() >= 8
        && number.bytes().all(|b| b.is_ascii_digit())
        && random.len() == 16
        && random.bytes().all(|b| b.is_ascii_hexdigit())
}
