//! Puts a socket at a path in place of another one. In: the new one's hidden name, the path. Out: whether there was another one, which then has the hidden
//! name. Never loses what was at the path.
use std::fs::{hard_link, remove_file, rename};
use std::io;
use std::path::Path;

/// Both in one step, where the file system can do that; else without a gap where it has links, else with as short a one as can be.
pub(super) fn swap(new: &Path, path: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        // Nothing is there any more.
        Err(Errno::NOENT) => rename(new, path).map(|()| false),
        Err(Errno::INVAL | Errno::NOSYS) => by_link(new, path),
        Err(e) => Err(e.into()),
    }
}

/// With a second name for what is at the path.
pub(super) fn by_link(new: &Path, path: &Path) -> io::Result<bool> {
    let old = new.with_extension("old");
    match hard_link(path, &old) {
        Ok(()) => finish(new, path, &old),
        Err(e) if e.kind() == io::ErrorKind::NotFound => rename(new, path).map(|()| false),
        // No links there, or not of somebody else's sockets (fs.protected_hardlinks).
        Err(_) => by_moving(new, path),
    }
}

/// For a moment nothing is at the path.
pub(super) fn by_moving(new: &Path, path: &Path) -> io::Result<bool> {
    let old = new.with_extension("old");
    match rename(path, &old) {
        Ok(()) => finish(new, path, &old),
        Err(e) if e.kind() == io::ErrorKind::NotFound => rename(new, path).map(|()| false),
        Err(e) => Err(e),
    }
}

/// The old one has its other name; puts the new one at the path, or all back.
fn finish(new: &Path, path: &Path, old: &Path) -> io::Result<bool> {
    if let Err(failed) = rename(new, path) {
        // Two names of one file: a rename between them does nothing and leaves both.
        rename(old, path)?;
        remove_file(old).ok();
        return Err(failed);
    }
    rename(old, new).map(|()| true)
}
