//! Files that take the place of others, each in one step. In: a directory, names and bytes. Out: the files, and none of those that an earlier answer
//! had and this one has not. A reader sees the file before or the one after, whole; keys are never readable for others, not even while they are
//! written. Never removes what has another name than its command gives.
use crate::cli::{Exit, Failure};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use zeroize::Zeroizing;

/// A file to be.
pub(super) struct File {
    name: String,
    bytes: Zeroizing<Vec<u8>>,
    mode: Mode,
}

impl File {
    /// For everybody.
    pub(super) fn open(name: String, text: String) -> Self {
        Self {
            name,
            bytes: Zeroizing::new(text.into_bytes()),
            mode: Mode::from_raw_mode(0o644),
        }
    }

    /// For its owner alone.
    pub(super) fn secret(name: String, bytes: &[u8]) -> Self {
        Self {
            name,
            bytes: Zeroizing::new(bytes.to_vec()),
            mode: Mode::from_raw_mode(0o600),
        }
    }
}

/// All are written before the first one is put in place, so that a full disk leaves those there as they are. Then what is of no more use goes: files
/// with names that are `ours` and not among these.
pub(super) fn all(directory: &Path, files: &[File], ours: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let cannot = |what: String, e: io::Error| {
        let why = format!("cannot {what} in {}", directory.display());
        Failure::new(Exit::Io, why).because(e)
    };
    let failed = |name: &str, e| cannot(format!("write {name}"), e);
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(directory, flags, Mode::empty()).map_err(|e| {
        Failure::new(
            Exit::Io,
            format!("cannot open the directory {}", directory.display()),
        )
        .because(e)
    })?;
    let mut written = Written(dir.as_fd(), vec![]);
    for file in files {
        let name = format!(".{}.{}", file.name, std::process::id());
        written.1.push(name.clone());
        put(dir.as_fd(), &name, file).map_err(|e| failed(&file.name, e))?;
    }
    for (file, name) in files.iter().zip(&written.1) {
        rustix::fs::renameat(&dir, name, &dir, &file.name).map_err(|e| failed(&file.name, e.into()))?;
    }
    written.1.clear();
    let is_left = |name: &str| ours(name) && files.iter().all(|file| file.name != name);
    let left = names(dir.as_fd()).map_err(|e| cannot("look for old files".to_owned(), e.into()))?;
    for name in left.into_iter().filter(|name| is_left(name)) {
        remove(dir.as_fd(), &name).map_err(|e| cannot(format!("remove the old {name}"), e.into()))?;
    }
    rustix::fs::fsync(&dir).map_err(|e| failed("its entries", e.into()))
}

fn put(dir: BorrowedFd<'_>, name: &str, file: &File) -> io::Result<()> {
    // Left by one of the same number that was killed.
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?;
    let mut open = std::fs::File::from(fd);
    open.write_all(&file.bytes)?;
    // Whatever the umask says.
    rustix::fs::fchmod(&open, file.mode)?;
    open.sync_all()
}

/// Names that are no text are nobody's here.
fn names(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<String>> {
    let mut names = vec![];
    for entry in Dir::read_from(dir)? {
        names.extend(entry?.file_name().to_str().map(str::to_owned));
    }
    Ok(names)
}

/// A directory of that name is not of ours, and what is gone is gone.
fn remove(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    use rustix::io::Errno;
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Files that are not in place are removed again.
struct Written<'a>(BorrowedFd<'a>, Vec<String>);

impl Drop for Written<'_> {
    fn drop(&mut self) {
        for name in &self.1 {
            // Those that are in place have another name; where it fails, an unreadable file stays.
            rustix::fs::unlinkat(self.0, name, AtFlags::empty()).ok();
        }
    }
}

#[cfg(test)]
mod write_tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn files_take_the_place_of_others_with_their_own_mode_and_follow_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, "untouched").unwrap();
        symlink(&elsewhere, dir.path().join("svid.0.key")).unwrap();
        std::fs::write(dir.path().join("svid.0.pem"), "old").unwrap();
        let files = [
            File::secret("svid.0.key".to_owned(), b"key"),
            File::open("svid.0.pem".to_owned(), "new".to_owned()),
        ];
        all(dir.path(), &files, |_| false).unwrap();
        all(dir.path(), &files, |_| false).unwrap();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "untouched");
        for (name, text, mode) in [("svid.0.key", "key", 0o600), ("svid.0.pem", "new", 0o644)] {
            let path = dir.path().join(name);
            let found = std::fs::symlink_metadata(&path).unwrap();
            assert!(found.is_file(), "{name}");
            assert_eq!(found.mode() & 0o7777, mode, "{name}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("b/full")).unwrap();
        let files = [
            File::open("b".to_owned(), "x".to_owned()),
            File::open("c".to_owned(), "y".to_owned()),
        ];
        let failure = all(dir.path(), &files, |_| false).unwrap_err();
        assert_eq!(failure.exit(), Exit::Io);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let failure = all(&dir.path().join("none"), &files, |_| false).unwrap_err();
        assert!(failure.to_string().contains("none"), "{failure}");
    }

    #[test]
    fn what_was_not_written_this_time_goes_if_it_is_ours_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.0", "a.1", "b.1"] {
            std::fs::write(dir.path().join(name), "old").unwrap();
        }
        std::fs::create_dir(dir.path().join("a.2")).unwrap();
        symlink(dir.path().join("b.1"), dir.path().join("a.3")).unwrap();
        let files = [File::open("a.0".to_owned(), "new".to_owned())];
        all(dir.path(), &files, |name| name.starts_with("a.")).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        left.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
        let left: Vec<_> = left.into_iter().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["a.0", "a.2", "b.1"]);
    }
}
