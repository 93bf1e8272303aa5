//! The credentials file as it is now. In: a path. Out: what it says, read again only when it changed. A file that others can read is used,
//! and warned of: a key in it is theirs too.
use super::AdcError;
use super::file::{self, Credentials, ImpersonationUrl, Own, Subject};
use crate::tokens::endpoint::iam::{Target, TargetError};
use crate::tokens::endpoint::kept::Kept;
use crate::tokens::{AccountInfo, Home};
use aws_lc_rs::digest::{SHA256, digest};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Keys are 2 KB.
const LARGEST: u32 = 64 * 1024;

/// One version of the file, and what was found out with it.
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    /// SHA-256 of what it says.
    sum: [u8; 32],
    pub(super) own: Own,
    pub(super) home: Home,
    /// The service account by which they act, where there is one in between.
    pub(super) via: Option<Target>,
    /// Whom they act as, where that is another.
    pub(super) target: Option<Target>,
    /// The acting account's own token, which makes those of the target.
    pub(super) key: Kept,
    pub(super) info: OnceCell<AccountInfo>,
}

/// The newest version.
#[derive(Default)]
pub(super) struct Newest {
    state: Mutex<State>,
    /// How often the file was found to say something else than before.
    changes: AtomicU64,
}

#[derive(Default)]
struct State {
    loaded: Option<(Stamp, Arc<Loaded>)>,
    /// When [`Newest::version`] looked.
    glanced: Option<Instant>,
}

/// Between two looks at the file's inode, by whoever asks for something.
const GLANCE: Duration = Duration::from_secs(1);

/// By what a change is known.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Newest {
    /// What the newest version's program may take, if it has one. None: no version is known yet.
    pub(super) fn program_within(&self) -> Option<Duration> {
        let state = self.state();
        let (_, loaded) = state.loaded.as_ref()?;
        let Own::External(file) = &loaded.own else {
            return Some(Duration::ZERO);
        };
        Some(match &file.subject {
            Subject::Executable(program) => program.within,
            Subject::File { .. } | Subject::Url { .. } => Duration::ZERO,
        })
    }

    /// The last one that could be read, whatever became of it.
    pub(super) fn last(&self) -> Option<Arc<Loaded>> {
        self.state().loaded.as_ref().map(|(_, loaded)| Arc::clone(loaded))
    }

    /// Counts the changes of what the file says. While somebody reads it, it is not there, or cannot be used, the number of before: what it gave goes on
    /// until there is something better.
    pub(super) fn version(&self, path: &Path) -> u64 {
        if let Ok(mut state) = self.state.try_lock()
            && state.glanced.is_none_or(|at| at.elapsed() >= GLANCE)
        {
            state.glanced = Some(Instant::now());
            // Nothing was ever given that could have changed, before the first look. Who asks for a token is told of an error.
            if let Some((known, _)) = &state.loaded
                && std::fs::metadata(path).is_ok_and(|metadata| Stamp::of(&metadata) != *known)
            {
                self.look_with(&mut state, path).ok();
            }
        }
        self.changes.load(Acquire)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the file; blocks for as long as the disk does.
    pub(super) fn look(&self, path: &Path) -> Result<Arc<Loaded>, AdcError> {
        self.look_with(&mut self.state(), path)
    }

    fn look_with(&self, state: &mut State, path: &Path) -> Result<Arc<Loaded>, AdcError> {
        let (file, metadata) = open(path)?;
        let stamp = Stamp::of(&metadata);
        let known = state.loaded.as_ref();
        if let Some((at, loaded)) = known
            && *at == stamp
        {
            return Ok(Arc::clone(loaded));
        }
        let mut loaded = Arc::new(read(path, file)?);
        match known {
            // Somebody changed its mode, or wrote the same again.
            Some((_, same)) if same.sum == loaded.sum => loaded = Arc::clone(same),
            Some(_) => {
                self.changes.fetch_add(1, AcqRel);
            }
            None => {}
        }
        if metadata.mode() & 0o004 != 0 {
            tracing::warn!(
                file = %path.display(),
                "every user of this machine can read the credentials file, so whatever it gives is theirs too; run `chmod o-r` on it"
            );
        }
        state.loaded = Some((stamp, Arc::clone(&loaded)));
        Ok(loaded)
    }
}

fn open(path: &Path) -> Result<(File, Metadata), AdcError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => AdcError::NotThere {
            path: path.to_owned(),
        },
        _ => AdcError::Unreadable {
            path: path.to_owned(),
            source,
        },
    };
    // A pipe would block the open for ever.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(AdcError::NoFile {
            path: path.to_owned(),
        });
    }
    Ok((file, metadata))
}

fn read(path: &Path, file: File) -> Result<Loaded, AdcError> {
    let path = path.to_owned();
    // Large enough at once: a growing vector would leave copies behind.
    let mut json = Zeroizing::new(Vec::with_capacity(LARGEST as usize + 1));
    if let Err(source) = file.take(u64::from(LARGEST) + 1).read_to_end(&mut json) {
        return Err(AdcError::Unreadable { path, source });
    }
    if json.len() > LARGEST as usize {
        return Err(AdcError::TooLarge {
            path,
            limit: LARGEST.into(),
        });
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, &json).as_ref());
    let file::Read {
        credentials,
        universe,
        project,
    } = match file::parse(&json) {
        Ok(read) => read,
        Err(source) => return Err(AdcError::Format { path, source }),
    };
    let Settled { own, via, target } = match settled(credentials) {
        Ok(settled) => settled,
        Err(source) => return Err(AdcError::Target { path, source }),
    };
    Ok(Loaded {
        path,
        sum,
        own,
        home: Home {
            universe: Some(universe),
            project,
        },
        via,
        target,
        key: Kept::default(),
        info: OnceCell::new(),
    })
}

/// Who acts, and as whom, maybe by one in between.
struct Settled {
    own: Own,
    via: Option<Target>,
    target: Option<Target>,
}

fn settled(credentials: Credentials) -> Result<Settled, TargetError> {
    Ok(match credentials {
        Credentials::Impersonated(file) => Settled {
            target: Some(of_url(&file.target)?.with_delegates(&file.delegates)),
            via: target_of(&file.source)?,
            own: file.source,
        },
        Credentials::Own(own) => Settled {
            target: target_of(&own)?,
            via: None,
            own,
        },
    })
}

/// Federated credentials may name a service account of their own.
fn target_of(own: &Own) -> Result<Option<Target>, TargetError> {
    let Own::External(file) = own else {
        return Ok(None);
    };
    let target = file.target.as_ref().map(of_url).transpose()?;
    Ok(match file.target_lifetime {
        Some(lifetime) => target.map(|target| target.with_lifetime(lifetime)),
        None => target,
    })
}

fn of_url(ImpersonationUrl(url): &ImpersonationUrl) -> Result<Target, TargetError> {
    Target::of_url(url)
}
