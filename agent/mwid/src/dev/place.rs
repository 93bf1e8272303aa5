//! Runtime directories for development.
//!
//! In: the user's id and XDG_RUNTIME_DIR. Out: a directory that this user owns and nobody else may enter. Never takes over a directory that
//! somebody else prepared.

use nix::unistd::{Uid, mkdtemp};
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why there is no place for the embedded platform.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("cannot make the directory {}; set XDG_RUNTIME_DIR or TMPDIR to a directory that you may write", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} belongs to user {owner} with mode {mode:04o}, wanted: a directory of user {us} with mode 0700; remove it, or set XDG_RUNTIME_DIR",
        path.display()
    )]
    Foreign {
        path: PathBuf,
        owner: u32,
        mode: u32,
        us: u32,
    },
}

/// The runtime directory of `mwid run --dev`: the same at each start, so that client commands find it by name.
pub(crate) fn of_this_user(xdg_runtime_dir: Option<&Path>, temporary: &Path) -> Result<PathBuf, PlaceError> {
    let us = Uid::effective();
    let path = match xdg_runtime_dir {
        Some(dir) => dir.join("mwid-dev"),
        None => temporary.join(format!("mwid-dev-{us}")),
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => Ok(path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(&path).map_err(|source| PlaceError::Make {
                path: path.clone(),
                source,
            })?;
            if is_ours(&found, us) {
                return Ok(path);
            }
            Err(PlaceError::Foreign {
                owner: found.uid(),
                mode: found.mode() & 0o7777,
                us: us.as_raw(),
                path,
            })
        }
        Err(source) => Err(PlaceError::Make { path, source }),
    }
}

fn is_ours(found: &Metadata, us: Uid) -> bool {
    found.is_dir() && found.uid() == us.as_raw() && found.mode() & 0o077 == 0
}

/// A new private directory, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    pub(crate) fn new(below: &Path) -> Result<Self, PlaceError> {
        let template = below.join("mwid-demo-XXXXXX");
        match mkdtemp(&template) {
            Ok(path) => Ok(Self { path }),
            Err(errno) => Err(PlaceError::Make {
                path: template,
                source: errno.into(),
            }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the temporary directory; remove it by hand");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_directory_is_private_and_the_same_each_time() {
        let xdg = tempfile::tempdir().unwrap();
        let first = of_this_user(Some(xdg.path()), Path::new("/nowhere")).unwrap();
        assert_eq!(
            std::fs::metadata(&first).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(
            of_this_user(Some(xdg.path()), Path::new("/nowhere")).unwrap(),
            first
        );
    }

    #[test]
    fn a_prepared_directory_is_not_taken_over() {
        let tmp = tempfile::tempdir().unwrap();
        let trap = tmp.path().join(format!("mwid-dev-{}", Uid::effective()));
        std::fs::create_dir(&trap).unwrap();
        std::fs::set_permissions(&trap, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(
            of_this_user(None, tmp.path()),
            Err(PlaceError::Foreign { .. })
        ));
        std::fs::remove_dir(&trap).unwrap();
        std::os::unix::fs::symlink(tmp.path(), &trap).unwrap();
        assert!(matches!(
            of_this_user(None, tmp.path()),
            Err(PlaceError::Foreign { .. })
        ));
    }

    #[test]
    fn a_temporary_directory_goes_with_its_value() {
        let below = tempfile::tempdir().unwrap();
        let temporary = Temporary::new(below.path()).unwrap();
        std::fs::write(temporary.path().join("x"), "x").unwrap();
        let path = temporary.path().to_owned();
        drop(temporary);
        assert!(!path.exists());
    }
}
