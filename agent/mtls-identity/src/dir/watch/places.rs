//! Which directories to watch, for what. In: a path. Out: the places that decide where it leads. Never watches itself.
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longer chains of links are a loop.
const MOST_LINKS: usize = 16;

/// What counts in one watched directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    everything: bool,
    names: BTreeSet<OsString>,
}

/// The directories to watch, by their real path, with device and inode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(BTreeMap<PathBuf, ((u64, u64), Interest)>);

impl Places {
    /// For each link on the way the directory that holds it; the directory at the end; and where the way ends early, the
    /// nearest directory that exists, for the name that is missing in it.
    pub(super) fn of(path: &Path) -> Self {
        let mut places = Self::default();
        let mut next = absolute(path);
        for _ in 0..MOST_LINKS {
            let Some((directory, name)) = nearest_existing_parent(&next) else {
                break; // the root itself
            };
            let whole = places.add(&directory, Some(&name)) && next.parent() == Some(directory.as_path());
            if !whole {
                break;
            }
            let here = directory.join(&name);
            if let Ok(target) = std::fs::read_link(&here) {
                next = directory.join(target);
            } else if here.is_dir() {
                places.add(&here, None);
                if name == OsStr::new("..data") || here.join("..data").symlink_metadata().is_err() {
                    break;
                }
                next = here.join("..data");
            } else {
                break;
            }
        }
        places
    }

    fn add(&mut self, directory: &Path, name: Option<&OsStr>) -> bool {
        let Ok(real) = directory.canonicalize() else {
            return false;
        };
        let Ok(metadata) = real.metadata() else {
            return false;
        };
        let (place, interest) = self.0.entry(real).or_default();
        *place = (metadata.dev(), metadata.ino());
        match name {
            Some(name) => _ = interest.names.insert(name.to_owned()),
            None => interest.everything = true,
        }
        true
    }

    pub(super) fn directories(&self) -> impl Iterator<Item = (&PathBuf, (u64, u64))> {
        self.0.iter().map(|(path, (place, _))| (path, *place))
    }

    /// Whether something that happened to `path` can change where the way leads, or what lies at its end.
    pub(super) fn concern(&self, path: &Path) -> bool {
        if self.0.contains_key(path) {
            return true;
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        self.0
            .get(directory)
            .is_some_and(|(_, interest)| interest.everything || interest.names.contains(name))
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The nearest ancestor that is a directory, and the name below it.
fn nearest_existing_parent(path: &Path) -> Option<(PathBuf, OsString)> {
    let mut below = path;
    loop {
        let parent = below.parent()?;
        let name = below.file_name()?;
        if parent.is_dir() {
            return Some((parent.to_owned(), name.to_owned()));
        }
        below = parent;
    }
}
