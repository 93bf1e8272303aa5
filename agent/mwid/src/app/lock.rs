//! One daemon a runtime directory.
//!
//! In: the runtime directory. Out: a lock held as long as the value lives. Never waits for another daemon, never deletes the lock file (a deleted lock
//! file lets two daemons each lock their own).

use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Much longer than `mwid check` holds the lock.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// The held lock.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Flock<File>,
}

/// Why the runtime directory is not ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("cannot make the runtime directory {}; create it for this user, or set runtime_dir to a directory that this user may write", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot open the lock file {}; check the owner and mode of the runtime directory", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another mwid runs with this runtime directory ({} is locked); stop it first, or give this one its own runtime_dir", path.display())]
    Held { path: PathBuf },
    #[error("cannot lock {}", path.display())]
    Lock {
        path: PathBuf,
        #[source]
        source: nix::Error,
    },
}

/// Makes the runtime directory if it is missing (0755: its sockets and files carry their own modes) and locks it.
pub(crate) fn take(runtime_dir: &Path) -> Result<Lock, LockError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(runtime_dir)
        .map_err(|source| LockError::Directory {
            path: runtime_dir.to_owned(),
            source,
        })?;
    let path = runtime_dir.join("mwid.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o644)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC)
        .open(&path)
        .map_err(|source| LockError::Open {
            path: path.clone(),
            source,
        })?;
    lock(file, &path)
}

/// `mwid check` holds the lock for an instant to see whether a daemon does; that must not keep one from starting.
fn lock(mut file: File, path: &Path) -> Result<Lock, LockError> {
    for last in [false, false, false, true] {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Lock { _held: held }),
            Err((file, nix::Error::EWOULDBLOCK)) if !last => file,
            Err((_, nix::Error::EWOULDBLOCK)) => break,
            Err((_, source)) => {
                return Err(LockError::Lock {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        std::thread::sleep(BETWEEN_TRIES);
    }
    Err(LockError::Held {
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(&dir.path().join("run")).unwrap();
        let refused = take(&dir.path().join("run")).unwrap_err();
        assert!(matches!(refused, LockError::Held { .. }), "{refused}");
        drop(first);
        take(&dir.path().join("run")).unwrap();
    }

    #[test]
    fn a_lock_file_that_is_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("mwid.lock")).unwrap();
        assert!(matches!(take(dir.path()), Err(LockError::Open { .. })));
    }
}
