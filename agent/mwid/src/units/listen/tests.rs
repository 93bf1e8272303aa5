//! In a process of its own, to which a shell passes two sockets as systemd does.

use super::*;
use std::io::Read as _;
use std::os::unix::net::{UnixListener, UnixStream};

const HELPER: &str = "units::listen::tests::helper";

#[test]
fn sockets_are_taken_once_and_given_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [dir.path().join("a"), dir.path().join("b")];
    let [a, b] = paths
        .each_ref()
        .map(|path| OwnedFd::from(UnixListener::bind(path).unwrap()));
    // The shell keeps its number over exec, so LISTEN_PID can name it; descriptors 3 and 4 are systemd's first ones.
    let script =
        format!("exec 3<&0 4<&2 </dev/null 2>/dev/null; export LISTEN_PID=$$; exec \"$0\" {HELPER} --exact");
    let run = std::process::Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .stdin(a)
        .stderr(b)
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "workload:admin")
        .env("MWID_TEST_CONNECT", &paths[1])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && text.contains("1 passed"), "{text}");
}

/// In the first process nothing was passed.
#[test]
fn helper() {
    let passed = take().unwrap();
    let Some(path) = std::env::var_os("MWID_TEST_CONNECT") else {
        assert_eq!(passed.unused().len(), 0);
        return;
    };
    let mut admin = passed.by_name("admin").unwrap();
    assert_eq!(admin.len(), 1);
    assert_eq!(
        passed.by_name("admin").unwrap().len(),
        1,
        "a reload may ask again"
    );
    assert_eq!(passed.unused(), ["workload"]);
    assert!(
        take().unwrap().by_name("workload").unwrap().is_empty(),
        "taken twice"
    );
    let listener = UnixListener::from(admin.remove(0));
    let flags = rustix::io::fcntl_getfd(&listener).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let client = UnixStream::connect(path).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
}
