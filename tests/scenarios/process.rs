//! Other processes: this test program, started once more as another user and from another file. It connects when it is told to, and the test
//! takes a second hold on its open socket, to speak on what the kernel knows to be another's, also when that one has ended.

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SOCKET: &str = "MWID_TEST_PROCESS_SOCKET";
const USER: &str = "MWID_TEST_PROCESS_USER";
const PATIENCE: Duration = Duration::from_secs(20);

/// Who somebody is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User<'a> {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: &'a [u32],
}

impl User<'static> {
    pub(crate) const fn alone(uid: u32) -> Self {
        Self {
            uid,
            gid: uid,
            groups: &[],
        }
    }
}

/// A process; ended when dropped.
pub(crate) struct Process {
    child: Child,
    /// Its standard input and output: a byte there asks for a connection.
    line: UnixStream,
}

/// This test program under another path; `more` makes it another program that does the same.
pub(crate) fn program(path: PathBuf, more: &[u8]) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // Not by fs::copy with a later append: a file that is written to cannot be run, and another test may be starting a process just now.
    let writes = Command::new("sh")
        .args([
            "-c",
            "cat \"$0\" - > \"$1.new\" && chmod 755 \"$1.new\" && mv \"$1.new\" \"$1\"",
        ])
        .args([&own, &path])
        .stdin(Stdio::piped())
        .spawn();
    let mut writes = writes.unwrap();
    writes.stdin.take().unwrap().write_all(more).unwrap();
    assert!(writes.wait().unwrap().success());
    path
}

impl Process {
    pub(crate) fn start(program: &Path, socket: &Path, user: User<'_>) -> Self {
        let User { uid, gid, groups } = user;
        let (line, theirs) = UnixStream::pair().unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        let numbers: Vec<_> = [uid, gid].iter().chain(groups).map(u32::to_string).collect();
        let child = Command::new(program)
            .args(["--ignored", "--exact", "process::in_a_process_of_its_own"])
            .env(SOCKET, socket)
            .env(USER, numbers.join(" "))
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, line }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection that this process made.
    pub(crate) fn connection(&self) -> UnixStream {
        (&self.line).write_all(b"c").unwrap();
        let mut number = [0; 4];
        (&self.line).read_exact(&mut number).unwrap();
        let pid = Pid::from_child(&self.child);
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let number = i32::from_ne_bytes(number);
        pidfd_getfd(process, number, PidfdGetfdFlags::empty())
            .unwrap()
            .into()
    }

    /// It ends; what it connected is open as long as somebody has it.
    pub(crate) fn end(mut self) {
        self.line.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "what other tests start, in a process of its own"]
fn in_a_process_of_its_own() {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return;
    };
    let numbers = std::env::var(USER).unwrap();
    let numbers: Vec<u32> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
    let [uid, gid, groups @ ..] = &numbers[..] else {
        panic!("{numbers:?}");
    };
    let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).unwrap();
    setgid(Gid::from_raw(*gid)).unwrap();
    setuid(Uid::from_raw(*uid)).unwrap();
    let line = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut line = UnixStream::from(line);
    let mut byte = [0];
    let mut open = vec![];
    while line.read(&mut byte).unwrap() == 1 {
        let connection = UnixStream::connect(&socket).unwrap();
        line.write_all(&connection.as_raw_fd().to_ne_bytes()).unwrap();
        open.push(connection);
    }
}
