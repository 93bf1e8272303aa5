//! Published directories: may the parent be written, and is the name free or ours to replace?
//!
//! The public name is a link into a hidden sibling (`identity -> .identity/00000012-…`), which each publish switches.
use super::looker::may_write_in;
use super::{Finding, Scene};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    scene
        .settings
        .publish
        .iter()
        .filter_map(|entry| at(&entry.directory, &scene.settings.runtime_dir))
        .collect()
}

fn at(directory: &Path, runtime_dir: &Path) -> Option<Finding> {
    let (parent, name) = (directory.parent()?, directory.file_name()?);
    if let Some(finding) = parent_trouble(directory, parent, runtime_dir) {
        return finding;
    }
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let found = in_the_way(directory, Path::new(&hidden))?;
    Some(
        Finding::error("directory_not_replaceable", format!("{} {found}", directory.display()))
            .why("a publish replaces this name by a link to the new generation; mwid does not remove what it did not write")
            .fix(format!("move it away (mv {0} {0}.old), or publish elsewhere", directory.display())),
    )
}

/// `Some(None)`: not there yet, which is the runtime directory's matter.
#[expect(clippy::option_option, reason = "found, nothing to look at further, or go on")]
fn parent_trouble(directory: &Path, parent: &Path, runtime_dir: &Path) -> Option<Option<Finding>> {
    let Ok(metadata) = parent.metadata() else {
        return Some((!parent.starts_with(runtime_dir)).then(|| {
            Finding::error(
                "directory_not_writable",
                format!(
                    "{} is not there, so nothing can be published in {}",
                    parent.display(),
                    directory.display()
                ),
            )
            .why("mwid makes directories only in its runtime directory")
            .fix(format!("install -d -o mwid -m 0755 {}", parent.display()))
        }));
    };
    if metadata.mode() & 0o1002 == 0o0002 {
        return Some(Some(
            Finding::error(
                "directory_open",
                format!(
                    "everybody may write in {}, above the published {}",
                    parent.display(),
                    directory.display()
                ),
            )
            .why("anybody could put another identity in its place")
            .fix(format!("chmod o-w {}", parent.display())),
        ));
    }
    let errno = may_write_in(parent).err()?;
    Some(Some(
        Finding::error(
            "directory_not_writable",
            format!(
                "this user may not write in {}, where {} is published: {}",
                parent.display(),
                directory.display(),
                errno.desc()
            ),
        )
        .why("a publish puts a new generation beside the last and switches a link; both need the directory above")
        .fix(format!(
            "chown mwid {}, and name it in ReadWritePaths= of the unit",
            parent.display()
        )),
    ))
}

/// What stands at the name and is not ours.
fn in_the_way(directory: &Path, hidden: &Path) -> Option<String> {
    let metadata = directory.symlink_metadata().ok()?;
    if metadata.is_symlink() {
        let target: PathBuf = directory.read_link().ok()?;
        return (target.parent() != Some(hidden))
            .then(|| format!("is a link to {} that mwid did not make", target.display()));
    }
    if metadata.is_dir() {
        let empty = directory.read_dir().ok()?.next().is_none();
        return (!empty).then(|| "is a directory with files in it".to_owned());
    }
    Some("is there and is no directory".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn id(directory: &Path) -> Option<&'static str> {
        at(directory, Path::new("/run/mwid")).map(|finding| finding.id)
    }

    #[test]
    fn only_what_is_free_or_ours_can_be_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let public = dir.path().join("identity");
        assert_eq!(id(&public), None);
        create_dir(&public).unwrap();
        assert_eq!(id(&public), None, "an empty directory is replaced");
        write(public.join("x"), "").unwrap();
        assert_eq!(id(&public), Some("directory_not_replaceable"));
        assert_eq!(id(&public.join("x")), Some("directory_not_replaceable"), "a file");
        let ours = dir.path().join("ours");
        symlink(".ours/00000001-x", &ours).unwrap();
        assert_eq!(id(&ours), None);
        let foreign = dir.path().join("foreign");
        symlink("/srv/other", &foreign).unwrap();
        assert_eq!(id(&foreign), Some("directory_not_replaceable"));
    }

    #[test]
    fn the_directory_above_must_be_there_and_ours_to_write() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            id(&dir.path().join("no/identity")),
            Some("directory_not_writable")
        );
        assert_eq!(
            id(Path::new("/run/mwid/identity")),
            None,
            "the runtime directory is its own subject"
        );
        if nix::unistd::geteuid().is_root() {
            println!("skipped: root may write everywhere, so nothing is unwritable");
        } else {
            set_permissions(dir.path(), Permissions::from_mode(0o555)).unwrap();
            assert_eq!(id(&dir.path().join("identity")), Some("directory_not_writable"));
        }
        set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert_eq!(id(&dir.path().join("identity")), Some("directory_open"));
        set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(id(&dir.path().join("identity")), None, "like /tmp");
    }
}
