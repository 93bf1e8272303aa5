//! One published directory: a link that always shows a whole generation.
//!
//! In: a proven identity. Out: a new generation directory beside the last, and one atomic switch of the public link
//! (`identity -> .identity/00000012-…`), or an error that left the last generation as it was.
//! Never writes into a directory that readers can see, never widens a mode on the way, never logs.
//!
//! A reader that opens the public directory once and then uses `openat`, or that reads one file, sees one generation.
//! A reader that opens two files by name may see two; each of them stays whole for [`KEEP`] after the switch.

mod claim;
mod folder;
mod manifest;
mod sweep;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub(super) use claim::{Claim, last_generation};

use super::error::PublishError;
use super::fs::FileSystem;
use crate::files::{self, Wanted};
use claim::{Place, Public};
use folder::Folder;
use mtls_identity::{IdentitySnapshot, UnixTime};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sweep::Retired;
use tokio::time::Instant;

/// How long the generation before stays after a switch.
pub(super) const KEEP: Duration = Duration::from_secs(60);

/// Who owns what is published. Numbers: names were looked up before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    /// For everything that holds a key.
    pub(super) key_mode: u32,
}

/// Now, on both clocks: the wall's for what is on disk, the monotonic for waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) wall: UnixTime,
    pub(super) instant: Instant,
}

/// One published directory.
pub(super) struct Directory {
    fs: Arc<dyn FileSystem>,
    place: Place,
    access: Access,
    wanted: Wanted,
    claim: Arc<Claim>,
    retired: Retired,
}

/// What a publish did.
#[derive(Debug)]
pub(super) struct Done {
    /// False: the same generation was there already and is kept.
    pub(super) switched: bool,
    /// Whether the reactions for this generation have been through before.
    pub(super) reacted: bool,
    /// When this generation was written, by the wall clock.
    pub(super) written: UnixTime,
    /// When to call [`Directory::sweep`] next.
    pub(super) sweep_at: Option<Instant>,
    /// Trouble that did not keep the generation from being published: an old one that cannot be removed.
    pub(super) trouble: Option<PublishError>,
}

impl Directory {
    pub(super) fn new(
        path: &Path,
        runtime_dir: &Path,
        access: Access,
        wanted: Wanted,
        claim: Arc<Claim>,
        fs: Arc<dyn FileSystem>,
    ) -> Result<Self, PublishError> {
        Ok(Self {
            fs,
            place: Place::new(path, runtime_dir)?,
            access,
            wanted,
            claim,
            retired: Retired::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.place.path
    }

    /// Whether the place can be taken, without taking it.
    pub(super) fn inspect(&self) -> Result<(), PublishError> {
        let parent = self.place.open_parent(&*self.fs)?;
        self.place.public(&parent)?;
        Ok(())
    }

    /// Makes the public link show `identity`; keeps what is there when it is the same and whole.
    pub(super) fn publish(&self, identity: &IdentitySnapshot, now: Moment) -> Result<Done, PublishError> {
        let done = self.try_publish(identity, now);
        if done.is_err() {
            self.retired.look_again();
        }
        done
    }

    fn try_publish(&self, identity: &IdentitySnapshot, now: Moment) -> Result<Done, PublishError> {
        let mut held = self.claim.hold();
        let parent = self.place.open_parent(&*self.fs)?;
        let public = self.place.public(&parent)?;
        let hidden = self.place.open_hidden(&parent)?;
        claim::lock(&mut held, &parent, &self.place)?;
        if public == Public::Nothing {
            // Somebody may have removed the link, and what it showed was never retired.
            self.retired.look_again();
        }
        // First, because what a crash left behind may be what fills the disk.
        let swept = sweep::sweep(&hidden, &public, &self.retired, now);
        let fingerprint = files::fingerprint(identity, &self.wanted);
        let mut done = match self.kept(&hidden, &public, &fingerprint)? {
            Some(done) => done,
            None => {
                let files = files::render(identity, &self.wanted, now.wall)?;
                let new = write::write(&hidden, identity, &files, &fingerprint, self.access)?;
                if let Err(e) = self.switch(&parent, &hidden, &public, &new) {
                    write::discard(&hidden, &new);
                    return Err(e);
                }
                if let Public::Generation(old) = public {
                    self.retired.add(old, now.instant);
                }
                Done {
                    switched: true,
                    reacted: false,
                    written: now.wall,
                    sweep_at: None,
                    trouble: None,
                }
            }
        };
        // Also for what was kept: the switch may have been the last thing before a crash.
        hidden.sync()?;
        parent.sync()?;
        done.trouble = swept.err();
        done.sweep_at = self.retired.next(now.instant);
        Ok(done)
    }

    /// The end of the generation that is shown, if it is whole; of whichever identity and file sets it is.
    pub(super) fn whole_until(&self) -> Result<Option<UnixTime>, PublishError> {
        let mut held = self.claim.hold();
        let Some(parent) = folder::missing_ok(Folder::open(&*self.fs, &self.place.parent))? else {
            return Ok(None);
        };
        let Public::Generation(name) = self.place.public(&parent)? else {
            return Ok(None);
        };
        let hidden = self.place.open_hidden(&parent)?;
        claim::lock(&mut held, &parent, &self.place)?;
        let whole = verify::verify(&hidden, Path::new(&name), None, self.access)?;
        Ok(whole.map(|whole| whole.until))
    }

    /// Removes generations whose time is over; says when to come again.
    pub(super) fn sweep(&self, now: Moment) -> Result<Option<Instant>, PublishError> {
        let mut held = self.claim.hold();
        let Some(parent) = folder::missing_ok(Folder::open(&*self.fs, &self.place.parent))? else {
            return Ok(None);
        };
        let Some(hidden) = folder::missing_ok(parent.folder(&self.place.hidden))? else {
            return Ok(None);
        };
        let public = self.place.public(&parent)?;
        claim::lock(&mut held, &parent, &self.place)?;
        sweep::sweep(&hidden, &public, &self.retired, now)?;
        Ok(self.retired.next(now.instant))
    }

    /// Notes on disk that the reactions for the current generation have been through, so that a restart does not
    /// repeat them, and a crash before this does not lose them.
    pub(super) fn mark_reacted(&self) -> Result<(), PublishError> {
        let _held = self.claim.hold();
        let parent = self.place.open_parent(&*self.fs)?;
        if let Public::Generation(name) = self.place.public(&parent)? {
            verify::mark_reacted(&self.place.open_hidden(&parent)?.folder(Path::new(&name))?)?;
        }
        Ok(())
    }

    /// The current generation, if it is the wanted one and whole; owner and modes are repaired.
    fn kept(
        &self,
        hidden: &Folder<'_>,
        public: &Public,
        fingerprint: &[u8; 32],
    ) -> Result<Option<Done>, PublishError> {
        let Public::Generation(name) = public else {
            return Ok(None);
        };
        let Some(whole) = verify::verify(hidden, Path::new(name), Some(fingerprint), self.access)? else {
            return Ok(None);
        };
        Ok(Some(Done {
            switched: false,
            reacted: whole.reacted,
            written: whole.written,
            sweep_at: None,
            trouble: None,
        }))
    }

    /// The one step that readers see.
    fn switch(
        &self,
        parent: &Folder<'_>,
        hidden: &Folder<'_>,
        public: &Public,
        new: &OsString,
    ) -> Result<(), PublishError> {
        match public {
            // Before the switch, so that after a crash its age counts from here and not from when it was written.
            Public::Generation(old) => folder::missing_ok(hidden.touch(Path::new(old))).map(|_| ())?,
            Public::EmptyDirectory => parent.remove_folder(&self.place.name)?,
            Public::Nothing => {}
        }
        // The link is made where a crash's leftovers are swept; its target is right once it is in the parent.
        let link = write::link_name()?;
        hidden.make_link(&self.place.hidden.join(new), &link)?;
        // The new directory's own entry is on disk before anything points at it.
        let renamed = hidden
            .sync()
            .and_then(|()| hidden.rename(&link, parent, &self.place.name));
        if renamed.is_err() {
            // Best effort: what stays is swept at the next publish, and the rename's error is what matters.
            drop(hidden.remove_file(&link));
        }
        renamed
    }
}
