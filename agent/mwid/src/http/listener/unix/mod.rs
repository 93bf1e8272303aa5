//! Unix sockets at a path, never reachable with another owner or mode than the wanted one.
//!
//! A socket is bound in a fresh 0700 directory beside its path, given its owner and mode there, and renamed into place. What was at the path goes into that
//! directory until the new socket is to stay: a change that fails later gives it back.
mod swap;
#[cfg(test)]
mod tests;

use super::{ListenError, Listener, WAITING};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, listen, socket};
use nix::unistd::{Gid, Group, Uid, User};

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::fd::AsRawFd;

use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// `sun_path` of the system's socket address, without the closing zero.
const MOST: usize = 107;

/// What a socket is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a Path,
    pub(crate) mode: u32,
    /// Name or number; as it comes if none.
    pub(crate) owner: Option<&'a str>,
    /// Name or number; as it comes if none.
    pub(crate) group: Option<&'a str>,
}

/// Which file a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// A path that holds our socket; the socket is removed from it on drop, if it is still ours.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    id: FileId,
}

/// A socket that listens, with owner and mode, not yet at its path. Dropped, it leaves no trace.
#[derive(Debug)]
pub(crate) struct Prepared {
    listener: Listener,
    hidden: Hidden,
    path: PathBuf,
}

/// A listener at its place. A socket's path has again what it had before, if this is dropped before it is kept.
#[derive(Debug)]
pub(crate) struct Placed {
    listener: Listener,
    undo: Option<Undo>,
    /// It takes nobody until it is kept.
    hushed: bool,
}

#[derive(Debug)]
struct Undo {
    /// Has what was at the path before.
    hidden: Hidden,
    path: PathBuf,
    id: FileId,
    /// Whether something was.
    before: bool,
    kept: bool,
}

/// A 0700 directory with one socket; removed on drop with what is in it.
#[derive(Debug)]
struct Hidden {
    directory: PathBuf,
}

/// Makes a socket without touching its path. `ours` is the socket that this process has at the path already, if it has.
pub(crate) fn prepare(wanted: Wanted<'_>, ours: Option<FileId>) -> Result<Prepared, ListenError> {
    let path = wanted.path.to_owned();
    let (Some(parent), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(ListenError::NoName { path });
    };
    let (owner, group) = (find_user(wanted)?, find_group(wanted)?);
    let make = |what| {
        let path = path.clone();
        move |source| ListenError::Make { what, path, source }
    };
    let hidden = Hidden::new(parent).map_err(make("make a private directory"))?;
    let inside = hidden.socket();
    for candidate in [&path, &inside] {
        let length = candidate.as_os_str().len();
        if length > MOST {
            return Err(ListenError::TooLong {
                path: path.clone(),
                length,
                most: MOST,
            });
        }
    }
    check_free(&path, ours)?;
    let listener = UnixListener::bind(&inside).map_err(make("bind"))?;
    let backlog = Backlog::new(WAITING).map_err(|e| make("listen")(e.into()))?;
    listen(&listener, backlog).map_err(|e| make("listen")(e.into()))?;
    if owner.is_some() || group.is_some() {
        let (uid, gid) = (owner.map(Uid::as_raw), group.map(Gid::as_raw));
        chown(&inside, uid, gid).map_err(|source| ListenError::Give {
            path: path.clone(),
            source,
        })?;
    }
    std::fs::set_permissions(&inside, Permissions::from_mode(wanted.mode)).map_err(make("set the mode"))?;
    let listener = Listener::open_unix(listener).map_err(make("listen"))?;
    Ok(Prepared {
        listener,
        hidden,
        path,
    })
}

/// Makes a socket and puts it at its path at once.
#[cfg(test)]
pub(crate) fn bind(wanted: Wanted<'_>) -> Result<Listener, ListenError> {
    prepare(wanted, None)?.put_in_place().map(Placed::keep)
}

impl Prepared {
    /// Puts the socket at its path; what was there (a stale socket, or ours) is replaced, and kept aside until it is to stay.
    pub(crate) fn put_in_place(self) -> Result<Placed, ListenError> {
        self.put_by(swap::swap)
    }

    fn put_by(self, swap: impl Fn(&Path, &Path) -> io::Result<bool>) -> Result<Placed, ListenError> {
        let Self {
            listener,
            hidden,
            path,
        } = self;
        let fail = |source| ListenError::Make {
            what: "rename",
            path: path.clone(),
            source,
        };
        let id = FileId::of(&hidden.socket()).map_err(fail)?;
        let before = match std::fs::symlink_metadata(&path) {
            Ok(meta) if !meta.file_type().is_socket() => return Err(ListenError::NotASocket { path }),
            Ok(_) => swap(&hidden.socket(), &path),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                std::fs::rename(hidden.socket(), &path).map(|()| false)
            }
            Err(e) => Err(e),
        };
        let undo = Undo {
            before: before.map_err(fail)?,
            hidden,
            path,
            id,
            kept: false,
        };
        Ok(Placed {
            listener,
            undo: Some(undo),
            hushed: false,
        })
    }
}

impl Placed {
    /// A TCP listener that was hushed: whoever comes before it is to stay, comes again.
    pub(super) fn hushed(listener: Listener) -> Self {
        Self {
            hushed: true,
            ..Self::from(listener)
        }
    }

    /// From now on it stays.
    pub(crate) fn keep(self) -> Listener {
        let Self {
            listener,
            undo,
            hushed,
        } = self;
        if hushed {
            listener.unhush();
        }
        match (listener, undo) {
            (Listener::Unix(listener, _), Some(mut undo)) => {
                undo.kept = true;
                let (path, id) = (undo.path.clone(), undo.id);
                Listener::Unix(listener, Some(Place { path, id }))
            }
            (listener, _) => listener,
        }
    }
}

/// One that no file stands for: dropped, it is closed, and that is all.
impl From<Listener> for Placed {
    fn from(listener: Listener) -> Self {
        Self {
            listener,
            undo: None,
            hushed: false,
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // Somebody else's by now, or gone.
        if self.kept || !self.id.is_at(&self.path) {
            return;
        }
        let undone = if self.before {
            std::fs::rename(self.hidden.socket(), &self.path)
        } else {
            std::fs::remove_file(&self.path)
        };
        if let Err(error) = undone {
            tracing::warn!(path = %self.path.display(), error = &error as &dyn std::error::Error, "cannot give back what was at the path of a socket");
        }
    }
}

impl Place {
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Removes the socket from its path. It is gone, or somebody else's by now, if another file is there.
    pub(super) fn clear(&self) {
        if self.id.is_at(&self.path)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), error = &error as &dyn std::error::Error, "cannot remove our socket");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
    }
}

impl FileId {
    /// Whether the path still names this file.
    pub(crate) fn is_at(self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|found| found == self)
    }

    fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::symlink_metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
        })
    }
}

impl Hidden {
    fn new(parent: &Path) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let directory = parent.join(format!(".m{:04x}", random()));
            match DirBuilder::new().mode(0o700).create(&directory) {
                Ok(()) => return Ok(Self { directory }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < 100 => tries += 1,
                Err(e) => return Err(e),
            }
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The socket is gone if it was renamed. What cannot be removed is an empty directory that nobody else can enter.
        for name in [self.socket(), self.socket().with_extension("old")] {
            std::fs::remove_file(name).ok();
        }
        std::fs::remove_dir(&self.directory).ok();
    }
}

/// A name that is likely to be free; secrecy does not matter, `mkdir` refuses a name that is taken.
fn random() -> u16 {
    use std::hash::{BuildHasher, RandomState};
    let bytes = RandomState::new().hash_one(0_u8).to_ne_bytes();
    u16::from_ne_bytes([bytes[0], bytes[1]])
}

/// Refuses a path that holds anything but a socket that nobody listens on, or that is ours.
fn check_free(path: &Path, ours: Option<FileId>) -> Result<(), ListenError> {
    let look = |source| ListenError::Look {
        path: path.to_owned(),
        source,
    };
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(look(e)),
    };
    if !meta.file_type().is_socket() {
        return Err(ListenError::NotASocket {
            path: path.to_owned(),
        });
    }
    let id = FileId {
        device: meta.dev(),
        inode: meta.ino(),
    };
    if ours == Some(id) {
        return Ok(());
    }
    match knock(path) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(()),
        // Answered, or full, or not for us: somebody is there.
        Ok(()) | Err(Errno::EAGAIN | Errno::EACCES | Errno::EPERM | Errno::EPROTOTYPE) => {
            Err(ListenError::Live {
                path: path.to_owned(),
            })
        }
        Err(e) => Err(look(e.into())),
    }
}

/// Connects without waiting.
fn knock(path: &Path) -> Result<(), Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(probe.as_raw_fd(), &UnixAddr::new(path)?)
}

fn find_user(wanted: Wanted<'_>) -> Result<Option<Uid>, ListenError> {
    let Some(name) = wanted.owner else { return Ok(None) };
    if let Ok(number) = name.parse() {
        return Ok(Some(Uid::from_raw(number)));
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(Some(user.uid)),
        Ok(None) => Err(ListenError::NoUser {
            name: name.to_owned(),
            path: wanted.path.to_owned(),
        }),
        Err(e) => Err(look_up(name, wanted, e)),
    }
}

fn find_group(wanted: Wanted<'_>) -> Result<Option<Gid>, ListenError> {
    let Some(name) = wanted.group else { return Ok(None) };
    if let Ok(number) = name.parse() {
        return Ok(Some(Gid::from_raw(number)));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(Some(group.gid)),
        Ok(None) => Err(ListenError::NoGroup {
            name: name.to_owned(),
            path: wanted.path.to_owned(),
        }),
        Err(e) => Err(look_up(name, wanted, e)),
    }
}

fn look_up(name: &str, wanted: Wanted<'_>, source: Errno) -> ListenError {
    ListenError::LookUp {
        name: name.to_owned(),
        path: wanted.path.to_owned(),
        source,
    }
}
