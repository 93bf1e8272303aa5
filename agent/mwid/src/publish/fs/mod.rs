//! The file-system calls of a publish, behind one trait, so that a test can fail or stop at each of them.
//!
//! In: an open directory and a name inside it. Out: what the kernel said. Never follows a symbolic link in the last
//! component, never decides anything, never cleans up by itself.

#[cfg(test)]
pub(super) mod faulty;
mod real;

pub(super) use real::RealFileSystem;

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Link,
    Other,
}

/// What the kernel knows about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) kind: Kind,
    /// Permission bits only.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    /// Device and inode: the same pair is the same thing.
    pub(super) same: (u64, u64),
    /// Seconds since 1970.
    pub(super) modified: i64,
}

/// One method is one step that can fail or be the last before a kill.
pub(super) trait FileSystem: Send + Sync + 'static {
    /// Opens a directory by path; links on the way are followed (`/var/run`).
    fn open_path(&self, path: &Path) -> io::Result<OwnedFd>;
    fn open_directory(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd>;
    fn make_directory(&self, dir: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<()>;
    /// Creates a file that must not exist.
    fn create_file(&self, dir: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<OwnedFd>;
    fn open_file(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd>;
    /// Writes everything.
    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()>;
    /// Reads to the end, at most `limit` bytes.
    fn read(&self, file: BorrowedFd<'_>, limit: usize) -> io::Result<Zeroizing<Vec<u8>>>;
    fn sync(&self, fd: BorrowedFd<'_>) -> io::Result<()>;
    fn set_mode(&self, fd: BorrowedFd<'_>, mode: u32) -> io::Result<()>;
    fn set_owner(&self, fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()>;
    /// Sets the modification time to now.
    fn touch(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()>;
    fn make_link(&self, target: &Path, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()>;
    fn read_link(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<PathBuf>;
    fn rename(
        &self,
        from: BorrowedFd<'_>,
        name: &Path,
        to: BorrowedFd<'_>,
        new_name: &Path,
    ) -> io::Result<()>;
    fn remove_file(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()>;
    fn remove_directory(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()>;
    /// Names without `.` and `..`.
    fn list(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>>;
    fn stat(&self, fd: BorrowedFd<'_>) -> io::Result<Stat>;
    fn stat_at(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<Stat>;
    /// Takes the exclusive lock or fails with `WouldBlock`; the lock goes with the descriptor.
    fn lock(&self, dir: BorrowedFd<'_>) -> io::Result<()>;
}
