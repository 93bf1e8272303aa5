//! A file system that fails, or stops, at a chosen call. Wraps the real one.
//!
//! In: the number of the call to spoil. Out: an error there, and after a stop at every later call, as if the process had
//! been killed: not even cleaning up happens any more.

use super::{FileSystem, Kind, RealFileSystem, Stat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use zeroize::Zeroizing;

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::publish) enum Fault {
    /// `kill -9` at that moment: a write is cut in half, nothing happens afterwards.
    Stop,
    /// That one call fails with this.
    Error(Errno),
    /// That call and all later ones of its kind fail: a disk that stays full or read-only.
    Always(Errno),
    /// From that call on all of this name fail.
    AlwaysCall(&'static str, Errno),
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    fault: Option<(u64, Fault)>,
    /// The names of the calls made.
    log: Vec<&'static str>,
    hit: Option<&'static str>,
}

/// The spoiled file system.
#[derive(Debug, Default)]
pub(in crate::publish) struct Faulty(Mutex<State>, Mutex<Option<Gate>>);

/// A call's name, and what it waits for.
type Gate = (&'static str, Receiver<()>);

enum Now {
    Go,
    /// Do half of a write, then fail.
    Spoiled(io::Error),
}

impl Faulty {
    /// Call `number` (from 1, counted from now) is spoiled.
    pub(in crate::publish) fn spoil(&self, number: u64, fault: Fault) {
        *self.0.lock().unwrap() = State {
            fault: Some((number, fault)),
            ..State::default()
        };
    }

    /// The next call of this name hangs until the sender is dropped.
    pub(in crate::publish) fn hang(&self, call: &'static str) -> Sender<()> {
        let (go, wait) = channel();
        *self.1.lock().unwrap() = Some((call, wait));
        go
    }

    /// Whether a hang of that call is still to come.
    pub(in crate::publish) fn is_to_hang(&self) -> bool {
        self.1.lock().unwrap().is_some()
    }

    pub(in crate::publish) fn heal(&self) {
        *self.0.lock().unwrap() = State::default();
    }

    pub(in crate::publish) fn calls(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().log.clone()
    }

    /// Which kind of call was spoiled, if it came to that.
    pub(in crate::publish) fn hit(&self) -> Option<&'static str> {
        self.0.lock().unwrap().hit
    }

    fn now(&self, call: &'static str) -> Now {
        let gate = self.1.lock().unwrap().take_if(|(name, _)| *name == call);
        if let Some((_, wait)) = gate {
            let _ = wait.recv();
        }
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        state.log.push(call);
        let Some((number, fault)) = state.fault else {
            return Now::Go;
        };
        let here = state.calls == number;
        if here {
            state.hit = Some(call);
        }
        let errno = match fault {
            Fault::Stop if state.calls >= number => Errno::IO,
            Fault::Error(errno) if here => errno,
            Fault::AlwaysCall(name, errno) if state.calls >= number && name == call => errno,
            Fault::Always(errno) if state.calls >= number && state.hit == Some(call) => errno,
            _ => return Now::Go,
        };
        Now::Spoiled(errno.into())
    }

    fn go<T>(&self, call: &'static str, real: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.now(call) {
            Now::Go => real(),
            Now::Spoiled(e) => Err(e),
        }
    }
}

const REAL: RealFileSystem = RealFileSystem;

impl FileSystem for Faulty {
    fn open_path(&self, path: &Path) -> io::Result<OwnedFd> {
        self.go("open_path", || REAL.open_path(path))
    }
    fn open_directory(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
        self.go("open_directory", || REAL.open_directory(dir, name))
    }
    fn make_directory(&self, dir: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<()> {
        self.go("make_directory", || REAL.make_directory(dir, name, mode))
    }
    fn create_file(&self, dir: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<OwnedFd> {
        self.go("create_file", || {
            assert_eq!(mode & 0o077, 0, "{} starts closed to others", name.display());
            REAL.create_file(dir, name, mode)
        })
    }
    fn open_file(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
        self.go("open_file", || REAL.open_file(dir, name))
    }
    fn write(&self, file: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
        match self.now("write") {
            Now::Go => REAL.write(file, bytes),
            Now::Spoiled(e) => {
                if self.0.lock().unwrap().hit == Some("write") {
                    REAL.write(file, &bytes[..bytes.len() / 2]).unwrap();
                }
                Err(e)
            }
        }
    }
    fn read(&self, file: BorrowedFd<'_>, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        self.go("read", || REAL.read(file, limit))
    }
    fn sync(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.go("sync", || REAL.sync(fd))
    }
    fn set_mode(&self, fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
        self.go("set_mode", || REAL.set_mode(fd, mode))
    }
    fn set_owner(&self, fd: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        self.go("set_owner", || {
            let stat = REAL.stat(fd)?;
            let empty = stat.kind != Kind::File || stat.size == 0;
            assert!(empty || stat.mode & 0o077 == 0, "an open key is given away");
            REAL.set_owner(fd, uid, gid)
        })
    }
    fn touch(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        self.go("touch", || REAL.touch(dir, name))
    }
    fn make_link(&self, target: &Path, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        self.go("make_link", || REAL.make_link(target, dir, name))
    }
    fn read_link(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<PathBuf> {
        self.go("read_link", || REAL.read_link(dir, name))
    }
    fn rename(
        &self,
        from: BorrowedFd<'_>,
        name: &Path,
        to: BorrowedFd<'_>,
        new_name: &Path,
    ) -> io::Result<()> {
        self.go("rename", || REAL.rename(from, name, to, new_name))
    }
    fn remove_file(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        self.go("remove_file", || REAL.remove_file(dir, name))
    }
    fn remove_directory(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
        self.go("remove_directory", || REAL.remove_directory(dir, name))
    }
    fn list(&self, dir: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
        self.go("list", || REAL.list(dir))
    }
    fn stat(&self, fd: BorrowedFd<'_>) -> io::Result<Stat> {
        self.go("stat", || REAL.stat(fd))
    }
    fn stat_at(&self, dir: BorrowedFd<'_>, name: &Path) -> io::Result<Stat> {
        self.go("stat_at", || REAL.stat_at(dir, name))
    }
    fn lock(&self, dir: BorrowedFd<'_>) -> io::Result<()> {
        self.go("lock", || REAL.lock(dir))
    }
}
