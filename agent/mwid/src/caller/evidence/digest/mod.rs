//! SHA-256 of programs. In: an open program and what tells its file from others. Out: its digest, computed once as long as the file does not change.
//! Never more than a few at a time, never of a file without a bound.
//!
//! A program of 100 MB takes about 0.1 s. That happens once a program; meanwhile the thread is lent out (`block_in_place`), so that other
//! connections do not wait.
use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// No program is larger.
pub(super) const MOST_BYTES: u64 = 512 * 1024 * 1024;
/// Programs that are read at the same time. Who has a slow file system can keep so many places busy, not our threads.
const MOST_READERS: usize = 4;
/// Files whose digest is remembered.
const MOST_KNOWN: usize = 256;
/// How long to wait for a place.
const PATIENCE: Duration = Duration::from_secs(5);
/// A file that changed so shortly before may change once more within the same tick of the file system's clock, unseen.
const SETTLED: Duration = Duration::from_secs(1);

/// Tells one state of one file from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    device: (u32, u32),
    inode: u64,
    pub(super) size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

impl FileKey {
    /// Of the file that a path leads to. Does not ask a file system in user space: its owner could let us wait for ever.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)?;
        Ok(Self::new(&found))
    }

    fn of_file(file: &File) -> io::Result<Self> {
        let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        Ok(Self::new(&found))
    }

    fn new(found: &Statx) -> Self {
        Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            size: found.stx_size,
            modified: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
            changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
        }
    }

    /// Whether both are states of one file.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether the next change will be seen in the times.
    fn is_settled(&self) -> bool {
        #[expect(
            clippy::disallowed_methods,
            reason = "compared with the file system's own clock, which no test can choose"
        )]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let changed = u64::try_from(self.changed.0).unwrap_or(u64::MAX);
        now.is_ok_and(|now| changed.saturating_add(SETTLED.as_secs()) < now.as_secs())
    }
}

/// Why there is no digest.
#[derive(Debug)]
pub(super) enum DigestError {
    /// The file is not as it was.
    Changed,
    /// All places were taken.
    Busy,
    Read(io::Error),
}

/// What was computed.
#[derive(Debug)]
pub(in crate::caller) struct Digests {
    state: Mutex<State>,
    /// Told whenever a reader ends.
    ended: Condvar,
    patience: Duration,
}

impl Default for Digests {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<FileKey, [u8; 32]>,
    reading: Vec<FileKey>,
}

impl Digests {
    fn with_patience(patience: Duration) -> Self {
        Self {
            state: Mutex::default(),
            ended: Condvar::new(),
            patience,
        }
    }

    /// The digest of the file in this state, which `open` opens if it must be read.
    pub(super) fn get(
        &self,
        key: FileKey,
        open: impl FnOnce() -> io::Result<File>,
    ) -> Result<[u8; 32], DigestError> {
        if let Some(known) = self.state().known.get(&key) {
            return Ok(*known);
        }
        lend_thread(|| self.compute(key, open))
    }

    fn compute(
        &self,
        key: FileKey,
        open: impl FnOnce() -> io::Result<File>,
    ) -> Result<[u8; 32], DigestError> {
        let taken = |state: &mut State| {
            !state.known.contains_key(&key)
                && (state.reading.contains(&key) || state.reading.len() >= MOST_READERS)
        };
        let (mut state, _) = self
            .ended
            .wait_timeout_while(self.state(), self.patience, |state| taken(state))
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.known.get(&key) {
            return Ok(*known);
        }
        if taken(&mut state) {
            return Err(DigestError::Busy);
        }
        state.reading.push(key);
        drop(state);
        let place = Place { digests: self, key };
        let digest = open()
            .map_err(DigestError::Read)
            .and_then(|file| read(&file, key));
        if let Ok(digest) = &digest
            && key.is_settled()
        {
            let mut state = self.state();
            if state.known.len() >= MOST_KNOWN {
                state.known.clear();
            }
            state.known.insert(key, *digest);
        }
        drop(place);
        digest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one step, so that a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's place, given back even if reading panics.
struct Place<'a> {
    digests: &'a Digests,
    key: FileKey,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.digests.state().reading.retain(|key| *key != self.key);
        self.digests.ended.notify_all();
    }
}

/// Runs what takes long, on a thread that then runs nothing else.
fn lend_thread<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn read(mut file: &File, key: FileKey) -> Result<[u8; 32], DigestError> {
    let is_as_it_was = || match FileKey::of_file(file) {
        Ok(now) if now == key => Ok(()),
        Ok(_) => Err(DigestError::Changed),
        Err(e) => Err(DigestError::Read(e)),
    };
    is_as_it_was()?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 256 * 1024];
    let mut left = key.size;
    while left > 0 {
        match file.read(&mut buffer) {
            Ok(0) => return Err(DigestError::Changed),
            Ok(n) => {
                context.update(&buffer[..n]);
                left = left.checked_sub(n as u64).ok_or(DigestError::Changed)?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(DigestError::Read(e)),
        }
    }
    is_as_it_was()?;
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

#[cfg(test)]
mod tests;
