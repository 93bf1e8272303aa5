//! The real file system: each step is one system call, or one loop of the same call.
//!
//! In: an open directory and a name. Out: what the kernel said. Never retries anything but an interrupted call.

use super::{FileSystem, Kind, Stat};
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::io::retry_on_intr;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The kernel.
#[derive(Debug)]
pub(in crate::publish) struct RealFileSystem;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl FileSystem for RealFileSystem {
    fn open_path(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(retry_on_intr(|| fs::open(path, DIRECTORY, Mode::empty()))?)
    }

    fn open_directory(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
        Ok(retry_on_intr(|| {
            fs::openat(dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
        })?)
    }

    fn make_directory(&self, dir: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<()> {
        Ok(fs::mkdirat(dir, name, Mode::from_raw_mode(mode))?)
    }

    fn create_file(&self, dir: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| {
            fs::openat(dir, name, flags, Mode::from_raw_mode(mode))
        })?)
    }

    fn open_file(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
        // NONBLOCK: a pipe that somebody put there must not hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| fs::openat(dir, name, flags, Mode::empty()))?)
    }

    fn write(&self, file: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match retry_on_intr(|| rustix::io::write(file, bytes))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => bytes = bytes.get(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn read(&self, file: BorrowedFd<'_>, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        // The buffer has its full size from the start: growing would leave copies of a key behind.
        let size = usize::try_from(fs::fstat(file)?.st_size).unwrap_or(usize::MAX);
        if size > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Zeroizing::new(vec![0; size]);
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match retry_on_intr(|| rustix::io::read(file, &mut *rest))? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn sync(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(retry_on_intr(|| fs::fsync(fd))?)
    }

    fn set_mode(&self, fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
        Ok(fs::fchmod(fd, Mode::from_raw_mode(mode))?)
    }

    fn set_owner(&self, fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        Ok(fs::fchown(
            fd,
            uid.map(fs::Uid::from_raw),
            gid.map(fs::Gid::from_raw),
        )?)
    }

    fn touch(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_NOW,
        };
        let both = Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(fs::utimensat(dir, name, &both, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn make_link(&self, target: &Path, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        Ok(fs::symlinkat(target, dir, name)?)
    }

    fn read_link(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<PathBuf> {
        let target = fs::readlinkat(dir, name, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    fn rename(
        &self,
        from: BorrowedFd<'_>,
        name: &Path,
        to: BorrowedFd<'_>,
        new_name: &Path,
    ) -> io::Result<()> {
        Ok(fs::renameat(from, name, to, new_name)?)
    }

    fn remove_file(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        Ok(fs::unlinkat(dir, name, AtFlags::empty())?)
    }

    fn remove_directory(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        Ok(fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
    }

    fn list(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        // `read_from` opens the directory anew, so that the position of `dir` stays as it is.
        for entry in fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    fn stat(&self, fd: BorrowedFd<'_>) -> io::Result<Stat> {
        Ok(stat_of(&fs::fstat(fd)?))
    }

    fn stat_at(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<Stat> {
        Ok(stat_of(&fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    fn lock(&self, dir: BorrowedFd<'_>) -> io::Result<()> {
        Ok(retry_on_intr(|| {
            fs::flock(dir, FlockOperation::NonBlockingLockExclusive)
        })?)
    }
}

fn stat_of(stat: &fs::Stat) -> Stat {
    Stat {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        },
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        same: (stat.st_dev, stat.st_ino),
        modified: stat.st_mtime,
    }
}
