//! The runtime directory: is it there or can it be made, and is it ours to write?
use super::looker::may_write_in;
use super::{Finding, Scene};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    at(&scene.settings.runtime_dir).into_iter().collect()
}

fn at(dir: &Path) -> Option<Finding> {
    let why = "sockets, the lock and the default published directory live in runtime_dir";
    let make = format!(
        "let systemd make it (RuntimeDirectory=mwid in the unit), or: install -d -o mwid -m 0755 {}",
        dir.display()
    );
    match dir.metadata() {
        Ok(metadata) if !metadata.is_dir() => Some(
            Finding::error(
                "runtime_dir_not_writable",
                format!("{} is not a directory", dir.display()),
            )
            .why(why)
            .fix("move it away, or choose another runtime_dir"),
        ),
        Ok(metadata) if metadata.mode() & 0o1002 == 0o0002 => Some(
            Finding::error(
                "runtime_dir_open",
                format!("everybody may write in the runtime directory {}", dir.display()),
            )
            .why("anybody could replace the sockets and what is published there")
            .fix(format!("chmod o-w {}", dir.display())),
        ),
        Ok(_) => may_write_in(dir).err().map(|errno| {
            Finding::error(
                "runtime_dir_not_writable",
                format!(
                    "this user may not write in the runtime directory {}: {}",
                    dir.display(),
                    errno.desc()
                ),
            )
            .why(why)
            .fix(make)
        }),
        Err(_) => {
            let above = dir.ancestors().skip(1).find(|above| above.is_dir())?;
            may_write_in(above).err().map(|errno| {
                Finding::error(
                    "runtime_dir_not_writable",
                    format!(
                        "the runtime directory {} is not there, and this user may not make it in {}: {}",
                        dir.display(),
                        above.display(),
                        errno.desc()
                    ),
                )
                .why(why)
                .fix(make)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_cannot_be_used_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(at(dir.path()), None);
        assert_eq!(at(&dir.path().join("a/b")), None, "it can be made");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(at(&file).unwrap().id, "runtime_dir_not_writable");
        set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(at(dir.path()).unwrap().id, "runtime_dir_open");
        if nix::unistd::geteuid().is_root() {
            println!("skipped: root may write everywhere, so nothing is unwritable");
            return;
        }
        set_permissions(dir.path(), Permissions::from_mode(0o555)).unwrap();
        assert_eq!(at(dir.path()).unwrap().id, "runtime_dir_not_writable");
        assert_eq!(
            at(&dir.path().join("a/b")).unwrap().id,
            "runtime_dir_not_writable"
        );
    }
}
