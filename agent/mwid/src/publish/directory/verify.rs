//! Is the generation that is there the wanted one, and whole?
//!
//! In: a generation directory and the fingerprint of what is wanted. Out: yes, with owner and modes as they should be,
//! or no. Never changes a byte.

use super::folder::{Folder, OpenFile, missing_ok};
use super::manifest::{self, Entry, Manifest};
use super::{Access, write};
use crate::publish::error::PublishError;
use crate::publish::fs::{Kind, Stat};
use mtls_identity::UnixTime;
use std::io;
use std::path::Path;
use std::time::Duration;

/// There when the reactions for a generation have been through.
const REACTED: &str = ".reacted";

/// What is known about a whole generation.
pub(super) struct Whole {
    pub(super) reacted: bool,
    pub(super) written: UnixTime,
    /// When its identity expires.
    pub(super) until: UnixTime,
}

/// `None` when a new generation must be written. Without a fingerprint, whatever was written is wanted. An error only for what a new one would meet as well.
pub(super) fn verify(
    hidden: &Folder<'_>,
    name: &Path,
    fingerprint: Option<&[u8; 32]>,
    access: Access,
) -> Result<Option<Whole>, PublishError> {
    match look(hidden, name, fingerprint, access) {
        // Whatever keeps us from reading or repairing the old one, a new one is the cure.
        Err(PublishError::Io { .. }) => Ok(None),
        other => other,
    }
}

fn look(
    hidden: &Folder<'_>,
    name: &Path,
    fingerprint: Option<&[u8; 32]>,
    access: Access,
) -> Result<Option<Whole>, PublishError> {
    let folder = hidden.folder(name)?;
    let open = folder.file(Path::new(manifest::NAME))?;
    let Some(manifest) = Manifest::parse(&open.read()?) else {
        return Ok(None);
    };
    if fingerprint.is_some_and(|wanted| !manifest.is_from(wanted)) {
        return Ok(None);
    }
    let mut reacted = false;
    for found in folder.list()? {
        match found.to_str() {
            Some(REACTED) => reacted = true,
            Some(manifest::NAME) => {}
            Some(name) if manifest.files.contains_key(name) => {}
            _ => return Ok(None),
        }
    }
    for (name, entry) in &manifest.files {
        if !file_is_whole(&folder, Path::new(name), entry, access)? {
            return Ok(None);
        }
    }
    if folder.stat()?.mode != write::DIRECTORY_MODE {
        folder.set_mode(write::DIRECTORY_MODE)?;
    }
    let written = u64::try_from(open.stat()?.modified).unwrap_or(0);
    Ok(Some(Whole {
        reacted,
        written: UnixTime::since_unix_epoch(Duration::from_secs(written)),
        until: UnixTime::since_unix_epoch(Duration::from_secs(manifest.until)),
    }))
}

fn file_is_whole(
    folder: &Folder<'_>,
    name: &Path,
    entry: &Entry,
    access: Access,
) -> Result<bool, PublishError> {
    let stat = folder.stat_of(name)?;
    if stat.kind != Kind::File || stat.size != entry.size {
        return Ok(false);
    }
    let open = match folder.file(name) {
        // Given to another user with a mode that keeps us out: size, owner and mode are what can be seen.
        Err(PublishError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(is_right(&stat, entry, access));
        }
        open => open?,
    };
    if manifest::sha256(&open.read()?) != entry.sha256 {
        return Ok(false);
    }
    if !is_right(&stat, entry, access) {
        repair(&open, &stat, entry, access)?;
        open.sync()?;
    }
    Ok(true)
}

fn is_right(stat: &Stat, entry: &Entry, access: Access) -> bool {
    let me = rustix::process::geteuid().as_raw();
    if entry.secret {
        stat.mode == access.key_mode
            && stat.uid == access.uid.unwrap_or(me)
            && access.gid.is_none_or(|gid| stat.gid == gid)
    } else {
        stat.mode == write::PUBLIC_MODE
    }
}

fn repair(open: &OpenFile<'_>, stat: &Stat, entry: &Entry, access: Access) -> Result<(), PublishError> {
    if !entry.secret {
        return open.set_mode(write::PUBLIC_MODE);
    }
    if access.gid.is_some_and(|gid| gid != stat.gid) {
        // The wanted mode's group bits are meant for the wanted group only.
        open.set_mode(stat.mode & 0o700)?;
    }
    let me = rustix::process::geteuid().as_raw();
    let uid = access.uid.unwrap_or(me);
    let access = Access {
        uid: (uid != stat.uid).then_some(uid),
        ..access
    };
    write::set_access(open, access)
}

/// See [`super::Directory::mark_reacted`].
pub(super) fn mark_reacted(folder: &Folder<'_>) -> Result<(), PublishError> {
    if missing_ok(folder.stat_of(Path::new(REACTED)))?.is_none() {
        folder.create(Path::new(REACTED), 0o600)?;
        folder.sync()?;
    }
    Ok(())
}
