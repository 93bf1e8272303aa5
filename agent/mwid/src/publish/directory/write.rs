//! Writes one generation into a directory that nobody can see yet.
//!
//! In: files. Out: the name of a complete, synced generation directory. Never leaves a half-written one behind unless
//! it is killed or the disk refuses even to remove; the next publish sweeps that.

use super::folder::{Folder, OpenFile};
use super::manifest::{self, Manifest};
use super::{Access, sweep};
use crate::files::File;
use crate::publish::error::PublishError;
use crate::random;
use mtls_identity::IdentitySnapshot;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Certificates and bundles: for everybody.
pub(super) const PUBLIC_MODE: u32 = 0o644;
/// A finished generation; what guards the keys in it are their own modes.
pub(super) const DIRECTORY_MODE: u32 = 0o755;

pub(super) fn write(
    hidden: &Folder<'_>,
    identity: &IdentitySnapshot,
    files: &[File],
    fingerprint: &[u8; 32],
    access: Access,
) -> Result<OsString, PublishError> {
    let name = OsString::from(format!("{:08}-{}", identity.generation(), random_name()?));
    let manifest = Manifest::of(fingerprint, identity.not_after().as_secs(), files);
    let written = fill(hidden, Path::new(&name), files, &manifest, access);
    if written.is_err() {
        discard(hidden, &name);
    }
    written.map(|()| name)
}

/// Best effort: what cannot be removed now is swept at the next publish, and the first error is what matters.
pub(super) fn discard(hidden: &Folder<'_>, name: &OsString) {
    drop(sweep::remove_tree(hidden, Path::new(name)));
}

fn fill(
    hidden: &Folder<'_>,
    name: &Path,
    files: &[File],
    manifest: &Manifest,
    access: Access,
) -> Result<(), PublishError> {
    hidden.make_folder(name, 0o700)?;
    let folder = hidden.folder(name)?;
    for file in files {
        let open = folder.create(Path::new(&file.name), 0o600)?;
        if file.secret {
            set_access(&open, access)?;
        } else {
            open.set_mode(PUBLIC_MODE)?;
        }
        open.write(&file.bytes)?;
        open.sync()?;
    }
    // Last: a directory without a whole manifest was never finished.
    let open = folder.create(Path::new(manifest::NAME), 0o600)?;
    open.write(manifest.text().as_bytes())?;
    open.sync()?;
    folder.set_mode(DIRECTORY_MODE)?;
    folder.sync()
}

/// Owner, group and mode of a key file, which is still 0600 and empty: the mode opens up only when the group is right,
/// and the owner comes last, because after that the file is no longer ours to change.
pub(super) fn set_access(open: &OpenFile<'_>, access: Access) -> Result<(), PublishError> {
    if access.gid.is_some() {
        open.set_owner(None, access.gid)?;
    }
    open.set_mode(access.key_mode)?;
    if access.uid.is_some() {
        open.set_owner(access.uid, None)?;
    }
    Ok(())
}

/// A name for a link that is about to be moved into place.
pub(super) fn link_name() -> Result<PathBuf, PublishError> {
    Ok(PathBuf::from(format!("{}{}", sweep::LINK_PREFIX, random_name()?)))
}

fn random_name() -> Result<String, PublishError> {
    Ok(manifest::hex(&random::bytes::<8>()?))
}
