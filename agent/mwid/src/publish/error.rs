//! Why a publish or a reaction did not work, in words that say what to do.
//!
//! In: what failed, where, and the kernel's word for it. Out: one enum. Never holds a byte of a key.

use super::react::ReactionError;
use crate::files::FilesError;
use crate::random::NoRandom;
use std::io;
use std::path::PathBuf;

/// Why a directory was not published, or cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("cannot {action} {path}{fix}", path = .path.display(), fix = fix_for(.source))]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("publish directory {path} is not an absolute path with a name at its end; write it as /run/mwid/identity", path = .path.display())]
    BadPath { path: PathBuf },
    #[error("publish names the directory {path} twice; give each entry its own directory", path = .path.display())]
    SameDirectoryTwice { path: PathBuf },
    #[error("publish directory {path}: there is no {what} `{name}` on this machine; create it or change the key `{what}`", path = .path.display(), what = .what.key())]
    Unknown { path: PathBuf, what: Who, name: String },
    #[error("publish directory {path}: looking up the {what} `{name}` failed", path = .path.display(), what = .what.key())]
    LookUp {
        path: PathBuf,
        what: Who,
        name: String,
        #[source]
        source: nix::Error,
    },
    #[error(
        "{path} is a directory with files in it that mwid did not put there; mwid needs this name for a symbolic \
         link of its own: move the directory away, or publish to another name",
        path = .path.display()
    )]
    NotEmpty { path: PathBuf },
    #[error(
        "{path} is a symbolic link to {target}, which mwid did not make; remove the link, or publish to another name",
        path = .path.display(), target = .target.display()
    )]
    ForeignLink { path: PathBuf, target: PathBuf },
    #[error("{path} is neither a directory nor a symbolic link; remove it, or publish to another name", path = .path.display())]
    InTheWay { path: PathBuf },
    #[error(
        "the directory {parent} does not exist; mwid creates parents only below its runtime directory: create it and \
         let mwid's user write to it (tmpfiles.d, or RuntimeDirectory= in a unit), or publish elsewhere",
        parent = .parent.display()
    )]
    NoParent { parent: PathBuf },
    #[error(
        "every user may write to {path} (mode {mode:04o}, not sticky), so anybody could replace the keys published \
         there; run `chmod o-w {path}`, or publish elsewhere",
        path = .path.display()
    )]
    ParentOpenToAll { path: PathBuf, mode: u32 },
    #[error(
        "{path} belongs to user {uid} with mode {mode:04o}, so somebody other than mwid could replace what is published; \
         remove it, or publish elsewhere",
        path = .path.display()
    )]
    HiddenNotOurs { path: PathBuf, uid: u32, mode: u32 },
    #[error("another mwid publishes to {path}; stop it, or give each its own directory", path = .path.display())]
    Busy { path: PathBuf },
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error(
        "publish directory {path}: `store_password` has characters that are not ASCII, which Java refuses in PKCS#12 files; \
         choose one of ASCII, or leave the file set pkcs12 out",
        path = .path.display()
    )]
    PasswordNotAscii { path: PathBuf },
    #[error("publish directory {path}: a reaction under `then` can never work", path = .path.display())]
    Reaction {
        path: PathBuf,
        #[source]
        source: Box<ReactionError>,
    },
    #[error(transparent)]
    Random(#[from] NoRandom),
    #[error("the thread that wrote {path} ended early", path = .path.display())]
    Worker {
        path: PathBuf,
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Whose name was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Owner,
    Group,
}

impl Who {
    fn key(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Group => "group",
        }
    }
}

/// What a person can do about it. The last generation is whole in every case.
fn fix_for(error: &io::Error) -> &'static str {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => " (free space or inodes on that file system; mwid tries again)",
        Some(Errno::ROFS) => {
            " (the file system is read-only: remount it, or name the path in ReadWritePaths= of mwid.service)"
        }
        Some(Errno::ACCESS) => " (let mwid's user write to the parent directory, or publish elsewhere)",
        Some(Errno::PERM) => {
            " (to give files to another user mwid needs CAP_CHOWN, to give them to a group it must be a member of it: \
             see `owner`, `group` and SupplementaryGroups= of mwid.service)"
        }
        Some(Errno::IO) => " (the disk reports errors; look into the kernel's log)",
        Some(Errno::NOENT | Errno::NOTDIR) => " (something removed it; mwid tries again)",
        Some(Errno::NOTSUP | Errno::NOSYS) => {
            " (that file system lacks what mwid needs; publish to a tmpfs or a local disk)"
        }
        _ => "",
    }
}
