//! An open directory that knows its path, so that every error says where.
//!
//! In: a directory and names in it. Out: the call's result, or an error with the whole path. Never decides anything.

use super::claim::is_generation;
use super::sweep::LINK_PREFIX;
use crate::publish::error::PublishError;
use crate::publish::fs::{FileSystem, Stat};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The most that is read back from one published file.
const MOST: usize = 16 * 1024 * 1024;

/// An open directory.
pub(super) struct Folder<'a> {
    fs: &'a dyn FileSystem,
    fd: OwnedFd,
    path: PathBuf,
}

/// An open file in a folder.
pub(super) struct OpenFile<'a> {
    fs: &'a dyn FileSystem,
    fd: OwnedFd,
    path: PathBuf,
}

fn told<T>(result: io::Result<T>, action: &'static str, path: impl Into<PathBuf>) -> Result<T, PublishError> {
    result.map_err(|source| PublishError::Io {
        action,
        path: path.into(),
        source,
    })
}

/// `None` for a name that is not there.
pub(super) fn missing_ok<T>(result: Result<T, PublishError>) -> Result<Option<T>, PublishError> {
    match result {
        Err(PublishError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

impl<'a> Folder<'a> {
    pub(super) fn open(fs: &'a dyn FileSystem, path: &Path) -> Result<Self, PublishError> {
        let fd = told(fs.open_path(path), "open", path)?;
        Ok(Self {
            fs,
            fd,
            path: path.to_owned(),
        })
    }

    /// How a name in here is told: random parts of our own names are left out, so that each try tells the same error in the
    /// same words.
    fn named(&self, name: &Path) -> PathBuf {
        let random = name
            .to_str()
            .and_then(|text| text.split_once('-'))
            .filter(|(first, _)| {
                is_generation(name.as_os_str()) || LINK_PREFIX.strip_suffix('-') == Some(first)
            });
        match random {
            Some((first, _)) => self.path.join(format!("{first}-*")),
            None => self.path.join(name),
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the descriptor away.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    pub(super) fn folder(&self, name: &Path) -> Result<Folder<'a>, PublishError> {
        let path = self.named(name);
        let fd = told(self.fs.open_directory(self.fd(), name), "open", &path)?;
        Ok(Self {
            fs: self.fs,
            fd,
            path,
        })
    }

    pub(super) fn make_folder(&self, name: &Path, mode: u32) -> Result<(), PublishError> {
        let made = self.fs.make_directory(self.fd(), name, mode);
        told(made, "create the directory", self.named(name))
    }

    pub(super) fn create(&self, name: &Path, mode: u32) -> Result<OpenFile<'a>, PublishError> {
        let path = self.named(name);
        let fd = told(self.fs.create_file(self.fd(), name, mode), "create", &path)?;
        Ok(OpenFile {
            fs: self.fs,
            fd,
            path,
        })
    }

    pub(super) fn file(&self, name: &Path) -> Result<OpenFile<'a>, PublishError> {
        let path = self.named(name);
        let fd = told(self.fs.open_file(self.fd(), name), "open", &path)?;
        Ok(OpenFile {
            fs: self.fs,
            fd,
            path,
        })
    }

    pub(super) fn touch(&self, name: &Path) -> Result<(), PublishError> {
        told(
            self.fs.touch(self.fd(), name),
            "set the time of",
            self.named(name),
        )
    }

    pub(super) fn make_link(&self, target: &Path, name: &Path) -> Result<(), PublishError> {
        let made = self.fs.make_link(target, self.fd(), name);
        told(made, "create the link", self.named(name))
    }

    pub(super) fn read_link(&self, name: &Path) -> Result<PathBuf, PublishError> {
        told(
            self.fs.read_link(self.fd(), name),
            "read the link",
            self.named(name),
        )
    }

    /// Moves `name` over `new_name` in `to`: one atomic step.
    pub(super) fn rename(&self, name: &Path, to: &Self, new_name: &Path) -> Result<(), PublishError> {
        let renamed = self.fs.rename(self.fd(), name, to.fd(), new_name);
        told(renamed, "switch", to.named(new_name))
    }

    pub(super) fn remove_file(&self, name: &Path) -> Result<(), PublishError> {
        told(self.fs.remove_file(self.fd(), name), "remove", self.named(name))
    }

    pub(super) fn remove_folder(&self, name: &Path) -> Result<(), PublishError> {
        let removed = self.fs.remove_directory(self.fd(), name);
        told(removed, "remove the directory", self.named(name))
    }

    pub(super) fn list(&self) -> Result<Vec<OsString>, PublishError> {
        told(self.fs.list(self.fd()), "list", &self.path)
    }

    pub(super) fn stat(&self) -> Result<Stat, PublishError> {
        told(self.fs.stat(self.fd()), "look at", &self.path)
    }

    pub(super) fn stat_of(&self, name: &Path) -> Result<Stat, PublishError> {
        told(self.fs.stat_at(self.fd(), name), "look at", self.named(name))
    }

    pub(super) fn set_mode(&self, mode: u32) -> Result<(), PublishError> {
        told(self.fs.set_mode(self.fd(), mode), "set the mode of", &self.path)
    }

    pub(super) fn sync(&self) -> Result<(), PublishError> {
        told(self.fs.sync(self.fd()), "sync", &self.path)
    }

    /// False when somebody else holds the lock.
    pub(super) fn lock(&self) -> Result<bool, PublishError> {
        match self.fs.lock(self.fd()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => told(Err(e), "lock", &self.path),
        }
    }
}

impl OpenFile<'_> {
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), PublishError> {
        told(self.fs.write(self.fd.as_fd(), bytes), "write", &self.path)
    }

    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, PublishError> {
        told(self.fs.read(self.fd.as_fd(), MOST), "read", &self.path)
    }

    pub(super) fn sync(&self) -> Result<(), PublishError> {
        told(self.fs.sync(self.fd.as_fd()), "sync", &self.path)
    }

    pub(super) fn stat(&self) -> Result<Stat, PublishError> {
        told(self.fs.stat(self.fd.as_fd()), "look at", &self.path)
    }

    pub(super) fn set_mode(&self, mode: u32) -> Result<(), PublishError> {
        told(
            self.fs.set_mode(self.fd.as_fd(), mode),
            "set the mode of",
            &self.path,
        )
    }

    pub(super) fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), PublishError> {
        let set = self.fs.set_owner(self.fd.as_fd(), uid, gid);
        told(set, "set the owner of", &self.path)
    }
}
