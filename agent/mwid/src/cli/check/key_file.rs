//! Can everybody on this machine read the source's private key?
use super::Finding;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The names that hold a key, of both file sets.
const KEYS: [&str; 2] = ["private_key.pem", "credential-bundle.private-key.x509.pem"];

pub(super) fn probe(directory: &Path) -> Vec<Finding> {
    KEYS.iter()
        .filter_map(|name| directory.join(name).canonicalize().ok())
        .filter(|key| everybody_reads(key))
        .map(|key| {
            let parent = directory.parent().unwrap_or(directory).display();
            Finding::warning("key_readable_by_everybody", format!("everybody may read the private key {}", key.display()))
                .why("every process on this machine can be this VM; mwid's access rules bind only those who ask mwid")
                .fix(format!(
                    "Google's guest agent writes it so each time; close the directory above it at each boot, by a line in \
                     /etc/tmpfiles.d/mwid.conf: `z {parent} 0750 root mwid`, and now: chgrp mwid {parent} && chmod 0750 {parent}"
                ))
        })
        .collect()
}

/// By its own mode, and only if everybody also gets through all directories above it.
pub(super) fn everybody_reads(key: &Path) -> bool {
    let mode = |path: &Path| path.metadata().map_or(0, |m| m.mode());
    mode(key) & 0o004 != 0 && key.ancestors().skip(1).all(|above| mode(above) & 0o001 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_open_only_when_it_and_all_above_it_are() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("private_key.pem");
        std::fs::write(&key, "").unwrap();
        let modes = |above: u32, file: u32| {
            set_permissions(dir.path(), Permissions::from_mode(above)).unwrap();
            set_permissions(&key, Permissions::from_mode(file)).unwrap();
            probe(dir.path())
        };
        assert_eq!(modes(0o755, 0o640), []);
        assert_eq!(modes(0o750, 0o644), []);
        let open = modes(0o755, 0o644);
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].id, "key_readable_by_everybody");
        assert!(open[0].fix.contains("chmod 0750"));
    }
}
