//! Why a socket cannot be listened on.
use nix::errno::Errno;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error(
        "cannot listen on {address}: choose another address, or stop the program that uses it (`ss -ltnp`)"
    )]
    Tcp {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error(
        "the socket path {} has {length} bytes, the system allows {most}: use a shorter directory",
        path.display()
    )]
    TooLong {
        path: PathBuf,
        length: usize,
        most: usize,
    },
    #[error("the socket path {} has no directory or no name: give a path like /run/mwid/admin.sock", path.display())]
    NoName { path: PathBuf },
    #[error("another process listens on {}: stop it, or use another path", path.display())]
    Live { path: PathBuf },
    #[error("{} is there and is no socket: it is left alone, move it away or use another path", path.display())]
    NotASocket { path: PathBuf },
    #[error("cannot see what is at {}", path.display())]
    Look {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot {what} for the socket {}: its directory must be there and writable for mwid's user", path.display())]
    Make {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no user {name:?} for the socket {}: create it, or correct `owner`", path.display())]
    NoUser { name: String, path: PathBuf },
    #[error("no group {name:?} for the socket {}: create it, or correct `group`", path.display())]
    NoGroup { name: String, path: PathBuf },
    #[error("cannot look up {name:?} for the socket {}", path.display())]
    LookUp {
        name: String,
        path: PathBuf,
        #[source]
        source: Errno,
    },
    #[error(
        "cannot give the socket {} to its owner and group: mwid's user must be in the group; another owner needs CAP_CHOWN",
        path.display()
    )]
    Give {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl ListenError {
    /// Whether somebody listens on the TCP address already, or on one that overlaps with it.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self, Self::Tcp { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }

    /// Whether the machine has no such address, or not even its family (a kernel without IPv6).
    pub(crate) fn has_no_such_address(&self) -> bool {
        let Self::Tcp { source, .. } = self else {
            return false;
        };
        let errno = source.raw_os_error().map(Errno::from_raw);
        matches!(errno, Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
    }
}
