//! Other users, for tests that run as root: a thread that has become somebody else connects, as a process of that user would.

use nix::libc;
use std::io::Write;

/// Runs `work` on a thread of its own with this user, group and further groups. The kernel's calls change one thread; the C library's would change all.
pub(crate) fn as_user<T: Send>(uid: u32, gid: u32, groups: &[u32], work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: the calls take numbers, and a list that outlives its call; they change this thread's credentials alone.
                let done = unsafe {
                    libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) == 0
                        && libc::syscall(libc::SYS_setresgid, gid, gid, gid) == 0
                        && libc::syscall(libc::SYS_setresuid, uid, uid, uid) == 0
                };
                assert!(
                    done,
                    "cannot become user {uid}: {}",
                    std::io::Error::last_os_error()
                );
                work()
            })
            .join()
            .unwrap()
    })
}

/// Whether other users can be tried; says so if not.
pub(crate) fn can_be_others(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        left_out(test, "only root can become other users");
    }
    root
}

/// Says, past the harness, which keeps what a test prints to itself, that a test looked at nothing. Where all of them can be run
/// (`MWID_TESTS_NONE_LEFT_OUT`, as `.ci/run` says it) that is a failure.
pub(crate) fn left_out(test: &str, why: &str) {
    let line = format!("LEFT OUT: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(
        std::env::var_os("MWID_TESTS_NONE_LEFT_OUT").is_none(),
        "{test} was left out: {why}"
    );
}
