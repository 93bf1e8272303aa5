//! A process that connected, and what /proc says of it. In: its number and a hold on it. Out: its unit and its program, proven to be
//! of that process. Never what was read of a process that ended meanwhile: its number may be another's by then.
//!
//! Every read here is short and of memory that the kernel holds (some 10 µs), and so is done where it is needed, async thread or
//! not. Reading a program whole is not: see `digest`.
use super::digest::FileKey;
use super::stat::{effective_uid, start_time};
use super::{socket, unit};
use crate::caller::Denial;
use crate::caller::denial::passes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More than the longest path in each of a dozen hierarchies.
const MOST_PROC_BYTES: u64 = 64 * 1024;

/// The kernel's fixed number for it (`PROC_USER_INIT_INO`).
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// A process, held.
#[derive(Debug)]
pub(super) struct Process {
    pid: i32,
    /// Of the connection.
    uid: u32,
    hold: Hold,
}

/// What keeps a process apart from a later one of the same number.
#[derive(Debug)]
enum Hold {
    /// The kernel's own, of the process that connected.
    Peer(Arc<OwnedFd>),
    /// Of whoever had the number when we met the connection: weaker, for the one that connected may have ended before. So
    /// its user must be the connection's, and its start time must not change while we read.
    Number(Arc<OwnedFd>),
    /// The process has ended.
    Ended,
    Failed(Errno),
}

/// The file that a process runs.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// As the kernel shows it: of a process in another mount namespace it is that one's path, and of a removed file it ends
    /// with ` (deleted)`.
    pub(super) path: PathBuf,
    pub(super) key: FileKey,
}

/// What the kernel adds to the path of a removed file.
const REMOVED: &str = " (deleted)";

impl Program {
    /// Whether the path is this one, of a file that is still there or not.
    pub(super) fn has_path(&self, path: &Path) -> bool {
        let shown = self.path.as_os_str().as_bytes();
        shown.strip_suffix(REMOVED.as_bytes()).unwrap_or(shown) == path.as_os_str().as_bytes()
    }

    pub(super) fn is_removed(&self) -> bool {
        self.path.as_os_str().as_bytes().ends_with(REMOVED.as_bytes())
    }
}

impl Process {
    /// Takes hold of the process that connected.
    pub(super) fn of_peer(stream: &impl AsFd, pid: i32, uid: u32) -> Self {
        let hold = match socket::peer_pidfd(stream) {
            Ok(pidfd) => Hold::Peer(Arc::new(pidfd)),
            Err(Errno::ENOPROTOOPT) => Hold::by_number(pid),
            Err(e) => Hold::failed(e),
        };
        Self { pid, uid, hold }
    }

    /// Takes hold of whoever has the number.
    #[cfg(test)]
    pub(super) fn by_number(pid: i32, uid: u32) -> Self {
        Self {
            pid,
            uid,
            hold: Hold::by_number(pid),
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// The hold on it; none: there is none.
    pub(super) fn pidfd(&self) -> Option<&Arc<OwnedFd>> {
        match &self.hold {
            Hold::Peer(pidfd) | Hold::Number(pidfd) => Some(pidfd),
            Hold::Ended | Hold::Failed(_) => None,
        }
    }

    /// Whether it had ended when it was met: then there is no hold on it.
    pub(super) fn had_ended(&self) -> bool {
        matches!(self.hold, Hold::Ended)
    }

    /// Whether what is read of it is certainly of the process that connected.
    pub(super) fn is_certain(&self) -> bool {
        matches!(self.hold, Hold::Peer(_))
    }

    /// The systemd unit, and when the process started, in ticks since the boot; `None`: in none.
    pub(super) fn unit(&self) -> Result<Option<(String, u64)>, Denial> {
        self.look(|process| {
            let text = process.read("cgroup")?;
            let unit = unit::in_proc_file(&text).map(str::to_owned);
            unit.map(|unit| Ok((unit, process.start_time()?))).transpose()
        })
    }

    /// Tells it from every other process since the boot: its number, and when it started.
    pub(super) fn key(&self) -> Result<(i32, u64), Denial> {
        self.look(|process| Ok((process.pid, process.start_time()?)))
    }

    /// Whether its users' numbers are those of the machine: user_namespaces(7). Where the namespace's own name is not ours to read, the map
    /// tells: who is to have the machine's whole one in another namespace needs the machine's root for it.
    pub(super) fn is_in_first_user_namespace(&self) -> Result<bool, Denial> {
        self.look(|process| {
            if let Ok(name) = std::fs::read_link(process.path("ns/user")) {
                return Ok(name.as_os_str() == FIRST_USER_NAMESPACE);
            }
            let map = process.read("uid_map")?;
            let numbers = map
                .split(u8::is_ascii_whitespace)
                .filter(|number| !number.is_empty());
            Ok(numbers.eq([&b"0"[..], b"0", b"4294967295"]))
        })
    }

    /// Whether there is no hold on it because the kernel had no room for one: then there will be none, but for another connection of it.
    pub(super) fn is_out_of_reach(&self) -> bool {
        matches!(self.hold, Hold::Failed(e) if passes(&e.into()))
    }

    /// The file that it runs.
    pub(super) fn program(&self) -> Result<Program, Denial> {
        self.look(|process| {
            let link = process.path("exe");
            let fail = |e: io::Error| match e.kind() {
                io::ErrorKind::PermissionDenied => Denial::NotPermitted { pid: process.pid },
                _ => process.unreadable("exe", e),
            };
            Ok(Program {
                path: std::fs::read_link(&link).map_err(fail)?,
                key: FileKey::of(&link).map_err(fail)?,
            })
        })
    }

    /// Opens the very file that it runs, wherever its path leads.
    pub(super) fn open_program(&self) -> io::Result<File> {
        File::open(self.path("exe"))
    }

    /// Reads something, and vouches that it is of the process that we hold.
    fn look<T>(&self, read: impl FnOnce(&Self) -> Result<T, Denial>) -> Result<T, Denial> {
        let (pidfd, found) = match &self.hold {
            Hold::Peer(pidfd) => (pidfd, read(self)),
            Hold::Number(pidfd) => (pidfd, self.look_by_number(read)),
            Hold::Ended => return Err(Denial::Ended { pid: self.pid }),
            Hold::Failed(e) => {
                return Err(Denial::Hold {
                    pid: self.pid,
                    source: (*e).into(),
                });
            }
        };
        // After everything was read: who lives now has had its number all the time, so whatever was read is its own. An end
        // also explains whatever could not be read.
        if is_alive(pidfd) {
            found
        } else {
            Err(Denial::Ended { pid: self.pid })
        }
    }

    fn look_by_number<T>(&self, read: impl FnOnce(&Self) -> Result<T, Denial>) -> Result<T, Denial> {
        let started = self.start_time()?;
        let found = read(self);
        self.is_of_its_user()?;
        if self.start_time()? == started {
            found
        } else {
            Err(Denial::Ended { pid: self.pid })
        }
    }

    /// When the process started, in ticks since the boot.
    fn start_time(&self) -> Result<u64, Denial> {
        let text = self.read("stat")?;
        start_time(&text).ok_or_else(|| self.unreadable("stat", io::ErrorKind::InvalidData.into()))
    }

    fn is_of_its_user(&self) -> Result<(), Denial> {
        let text = self.read("status")?;
        match effective_uid(&text) {
            Some(uid) if uid == self.uid => Ok(()),
            Some(now) => Err(Denial::Replaced {
                pid: self.pid,
                uid: self.uid,
                now,
            }),
            None => Err(self.unreadable("status", io::ErrorKind::InvalidData.into())),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.pid).into()
    }

    fn read(&self, file: &'static str) -> Result<Vec<u8>, Denial> {
        let mut text = Vec::with_capacity(1024);
        let read = File::open(self.path(file)).and_then(|f| f.take(MOST_PROC_BYTES).read_to_end(&mut text));
        match read {
            // A text that is cut may say something else than the whole.
            Ok(n) if n as u64 == MOST_PROC_BYTES => {
                Err(self.unreadable(file, io::ErrorKind::FileTooLarge.into()))
            }
            Ok(_) => Ok(text),
            Err(e) => Err(self.unreadable(file, e)),
        }
    }

    fn unreadable(&self, file: &'static str, source: io::Error) -> Denial {
        // ESRCH: it ended between open and read.
        if source.raw_os_error() == Some(Errno::ESRCH as i32) {
            return Denial::Ended { pid: self.pid };
        }
        Denial::Proc {
            pid: self.pid,
            file,
            source,
        }
    }
}

impl Hold {
    fn by_number(pid: i32) -> Self {
        let Some(number) = rustix::process::Pid::from_raw(pid) else {
            return Self::Ended;
        };
        match rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()) {
            Ok(pidfd) => Self::Number(Arc::new(pidfd)),
            Err(e) => Self::failed(Errno::from_raw(e.raw_os_error())),
        }
    }

    fn failed(e: Errno) -> Self {
        match e {
            // What different kernels say of a process that nobody waits for any more.
            Errno::ESRCH | Errno::EINVAL | Errno::ENODATA => Self::Ended,
            e => Self::Failed(e),
        }
    }
}

/// A pidfd is readable once its process has ended.
pub(super) fn is_alive(pidfd: &OwnedFd) -> bool {
    loop {
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            ready => return ready == Ok(0),
        }
    }
}
