//! Why a directory could not be read. In: what went wrong and where. Out: words that say what to do. Never holds file contents.
use super::config_status::ConfigStatus;
use crate::bundle::BundleError;
use crate::spiffe_id::SpiffeIdError;
use std::io;
use std::path::PathBuf;

/// Why no candidate could be read from a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing has the directory's name.
    #[error("the directory {} does not exist; whoever fills it has not done so yet, or the path is wrong", path.display())]
    DirectoryMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The directory's name is a link, and what it points at does not exist.
    #[error("the link {} points at {}, which does not exist; whoever replaces it removed the directory without a new one", path.display(), target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// What the link holds.
        target: PathBuf,
    },
    /// The path names something else.
    #[error("{} is not a directory; give the directory that holds the files", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// A file that the set needs is not there.
    #[error("the file {} is missing{}", path.display(), or_instead(*or))]
    FileMissing {
        /// The file.
        path: PathBuf,
        /// The name of the file that would do as well.
        or: Option<&'static str>,
    },
    /// A file that the set needs has no bytes.
    #[error("the file {} is empty; it is still being written, or whoever writes it has nothing to give", path.display())]
    FileEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The kernel does not let this process read.
    #[error("the user with uid {uid} may not read {}{}; let this user or one of its groups read it", path.display(), owned_by(*owner))]
    PermissionDenied {
        /// What could not be opened.
        path: PathBuf,
        /// This process's effective user.
        uid: u32,
        /// The owner (uid, gid) and the mode, if they could be seen.
        owner: Option<(u32, u32, u32)>,
    },
    /// More bytes than a file of this kind can need.
    #[error("the file {} is larger than {limit} bytes; it cannot be what it should be", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// A pipe, a device, a directory where a file should be.
    #[error("{} is not a regular file; only regular files are read", path.display())]
    NotARegularFile {
        /// The path.
        path: PathBuf,
    },
    /// The directory or a file in it was replaced during each of several reads.
    #[error("{} changed during each of {tries} reads; it is read again soon", path.display())]
    ChangedWhileReading {
        /// The directory.
        path: PathBuf,
        /// How often it was read.
        tries: u32,
    },
    /// A trust bundle's file is not named after a trust domain.
    #[error("the file name {} does not begin with a trust domain", path.display())]
    BundleName {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        #[source]
        source: SpiffeIdError,
    },
    /// A trust bundle's file does not hold one.
    #[error("the file {} is not a trust bundle", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BundleError,
    },
    /// More trust bundle files, or more directory entries, than can be meant.
    #[error("the directory {} has more than {limit} entries; it cannot be what it should be", path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// The most that is looked at.
        limit: usize,
    },
    /// The files are not complete, and the platform's own status file says why.
    #[error("the platform issued no identity to {}, and config_status says: {status}", path.display())]
    NotIssued {
        /// The directory.
        path: PathBuf,
        /// What the platform reports.
        status: ConfigStatus,
        /// What is missing.
        #[source]
        cause: Box<ReadError>,
    },
    /// The operating system refused for another reason.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// A short name out of a small fixed set, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::DirectoryMissing { .. } => "directory_missing",
            Self::DanglingLink { .. } => "dangling_link",
            Self::NotADirectory { .. } => "not_a_directory",
            Self::FileMissing { .. } => "file_missing",
            Self::FileEmpty { .. } => "file_empty",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::TooLarge { .. } => "too_large",
            Self::NotARegularFile { .. } => "not_a_regular_file",
            Self::ChangedWhileReading { .. } => "changed_while_reading",
            Self::BundleName { .. } => "bundle_name",
            Self::Bundle { .. } => "bundle",
            Self::TooManyFiles { .. } => "too_many_files",
            Self::NotIssued { .. } => "not_issued",
            Self::Io { .. } => "io",
        }
    }

    /// Whether the same read may succeed in a moment, because a replacement is under way. Anything else needs a person, or the poll.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::DirectoryMissing { .. }
            | Self::DanglingLink { .. }
            | Self::FileMissing { .. }
            | Self::FileEmpty { .. }
            | Self::Bundle { .. }
            | Self::ChangedWhileReading { .. } => true,
            Self::NotIssued { cause, .. } => cause.is_transient(),
            _ => false,
        }
    }
}

fn or_instead(or: Option<&str>) -> String {
    or.map(|name| format!(", and so is {name}, which would do as well"))
        .unwrap_or_default()
}

fn owned_by(owner: Option<(u32, u32, u32)>) -> String {
    owner
        .map(|(uid, gid, mode)| format!(" (owner {uid}, group {gid}, mode {mode:04o})"))
        .unwrap_or_default()
}
