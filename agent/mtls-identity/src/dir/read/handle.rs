//! One open directory. In: a path. Out: bounded files of that one directory, and whether it still is what the path names.
//! Never opens by path again once the directory is open.
use super::error::ReadError;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, stat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Kubernetes' name for the link to the current contents.
const DATA: &str = "..data";

/// The most directory entries that are looked at.
const MOST_ENTRIES: usize = 1024;

/// What tells one state of a file or directory from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Stamp {
    #[expect(
        clippy::unnecessary_cast,
        reason = "the fields' types differ between systems; only equality counts"
    )]
    fn of(stat: &Stat) -> Self {
        Self {
            place: (stat.st_dev as u64, stat.st_ino as u64),
            size: stat.st_size as i64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

/// A directory that stays the same one, whatever happens to its name.
pub(super) struct Handle {
    fd: OwnedFd,
    /// As the caller named it; `..data` is added if that is what was opened.
    path: PathBuf,
    place: (u64, u64),
    files: Vec<(String, Stamp)>,
}

impl Handle {
    /// Resolves the path once.
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let fd = open_directory(rustix::fs::CWD, path, path)?;
        let data = path.join(DATA);
        let (fd, path) = match open_directory(&fd, Path::new(DATA), &data) {
            Ok(inner) => (inner, data),
            // No such thing, or something else of that name: then the files lie here.
            Err(ReadError::DirectoryMissing { .. } | ReadError::NotADirectory { .. }) => {
                (fd, path.to_owned())
            }
            Err(e) => return Err(e),
        };
        let stat = fstat(&fd).map_err(|e| io("look at", &path, e))?;
        Ok(Self {
            fd,
            path,
            place: Stamp::of(&stat).place,
            files: Vec::new(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the path leads at this moment, for people.
    pub(super) fn resolved(&self) -> PathBuf {
        std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// A whole file, or `None` if there is none of that name.
    pub(super) fn file(&mut self, name: &str, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, ReadError> {
        let path = self.path.join(name);
        // Non-blocking, so that a pipe in a file's place cannot hold us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::ACCESS | Errno::PERM) => return Err(self.denied(name)),
            Err(Errno::NXIO) => return Err(ReadError::NotARegularFile { path }),
            Err(e) => return Err(io("open", &path, e)),
        };
        let stat = fstat(&fd).map_err(|e| io("look at", &path, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(ReadError::NotARegularFile { path });
        }
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if size > limit {
            return Err(ReadError::TooLarge { path, limit });
        }
        let bytes = read_up_to(File::from(fd), size).map_err(|source| ReadError::Io {
            operation: "read",
            path: path.clone(),
            source,
        })?;
        if bytes.is_empty() {
            return Err(ReadError::FileEmpty { path });
        }
        self.files.push((name.to_owned(), Stamp::of(&stat)));
        Ok(Some(bytes))
    }

    /// The names that end in `suffix`, in order.
    pub(super) fn names_ending_in(&self, suffix: &str) -> Result<Vec<String>, ReadError> {
        let entries = rustix::fs::Dir::read_from(&self.fd).map_err(|e| io("list", &self.path, e))?;
        let mut names = Vec::new();
        for (count, entry) in entries.enumerate() {
            if count >= MOST_ENTRIES {
                return Err(ReadError::TooManyFiles {
                    path: self.path.clone(),
                    limit: MOST_ENTRIES,
                });
            }
            let entry = entry.map_err(|e| io("list", &self.path, e))?;
            if let Ok(name) = entry.file_name().to_str()
                && name.ends_with(suffix)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether the path still leads to this directory, and every file that was read is still the one that was read.
    pub(super) fn is_unchanged(&self) -> bool {
        let same_directory = stat(&self.path).is_ok_and(|now| Stamp::of(&now).place == self.place);
        same_directory
            && self.files.iter().all(|(name, then)| {
                statat(&self.fd, name, AtFlags::empty()).is_ok_and(|now| Stamp::of(&now) == *then)
            })
    }

    fn denied(&self, name: &str) -> ReadError {
        let owner = statat(&self.fd, name, AtFlags::empty())
            .ok()
            .map(|s| (s.st_uid, s.st_gid, s.st_mode & 0o7777));
        permission_denied(self.path.join(name), owner)
    }
}

/// `shown` is the whole path, for errors.
fn open_directory(at: impl rustix::fd::AsFd, path: &Path, shown: &Path) -> Result<OwnedFd, ReadError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open_by(shown, || openat(&at, path, flags, Mode::empty()))
}

/// A link's target may be made between the kernel's answer and ours: nobody is told that something does not exist which does.
pub(super) fn open_by(
    shown: &Path,
    mut open: impl FnMut() -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, ReadError> {
    let path = shown.to_owned();
    let answer = match open() {
        Err(Errno::NOENT) if leads_somewhere(shown) => open(),
        answer => answer,
    };
    answer.map_err(|e| match e {
        Errno::NOENT => match std::fs::read_link(shown) {
            Ok(_) if leads_somewhere(shown) => ReadError::ChangedWhileReading { path, tries: 2 },
            Ok(target) => ReadError::DanglingLink { path, target },
            Err(_) => ReadError::DirectoryMissing { path },
        },
        Errno::NOTDIR => ReadError::NotADirectory { path },
        Errno::ACCESS | Errno::PERM => {
            let owner = stat(shown).ok().map(|s| (s.st_uid, s.st_gid, s.st_mode & 0o7777));
            permission_denied(path, owner)
        }
        e => io("open", shown, e),
    })
}

fn leads_somewhere(path: &Path) -> bool {
    stat(path).is_ok()
}

fn permission_denied(path: PathBuf, owner: Option<(u32, u32, u32)>) -> ReadError {
    ReadError::PermissionDenied {
        path,
        uid: rustix::process::geteuid().as_raw(),
        owner,
    }
}

/// Reads what `fstat` announced into one buffer that never moves, so that no copy of a key is left behind. A file that grew
/// meanwhile is caught by its stamp.
fn read_up_to(mut file: File, size: u64) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let size = usize::try_from(size).map_err(std::io::Error::other)?;
    let mut bytes = Zeroizing::new(vec![0; size]);
    let mut filled = 0;
    while filled < size {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn io(operation: &'static str, path: &Path, error: Errno) -> ReadError {
    ReadError::Io {
        operation,
        path: path.to_owned(),
        source: error.into(),
    }
}
