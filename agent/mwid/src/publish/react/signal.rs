//! Signals the process that a pid file names.
//!
//! In: a pid file, read anew each time. Out: one signal to exactly the process that was looked at. Never signals process
//! groups (0, negative numbers), init or mwid itself, and never trusts a file that a third user could have written.

use super::ReactionError;
use nix::sys::signal::Signal;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A pid file holds a number and a line end.
const MOST: u64 = 64;

pub(super) fn send(file: &Path, signal: Signal) -> Result<(), ReactionError> {
    let (text, owner) = read(file).map_err(|source| ReactionError::PidFile {
        path: file.to_owned(),
        source,
    })?;
    let bad = || ReactionError::BadPid {
        path: file.to_owned(),
    };
    let number = parse(&text).ok_or_else(bad)?;
    if u32::try_from(number).is_ok_and(|number| number == std::process::id()) {
        return Err(bad());
    }
    let pid = Pid::from_raw(number).ok_or_else(bad)?;
    let told = |source: io::Error| ReactionError::Signal {
        path: file.to_owned(),
        pid: number,
        source,
    };
    // From here on we hold this very process: a number that is used again cannot be hit.
    let process =
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|e| told(not_found_for_gone(e)))?;
    let process_owner = owner_of(number).map_err(told)?;
    let me = rustix::process::geteuid().as_raw();
    if ![0, me, process_owner].contains(&owner) {
        return Err(ReactionError::PidFileOwner {
            path: file.to_owned(),
            owner,
            pid: number,
            process_owner,
        });
    }
    let signal = rustix::process::Signal::from_named_raw(signal as i32).ok_or_else(bad)?;
    rustix::process::pidfd_send_signal(&process, signal).map_err(|e| told(not_found_for_gone(e)))
}

fn not_found_for_gone(errno: rustix::io::Errno) -> io::Error {
    if errno == rustix::io::Errno::SRCH {
        return io::ErrorKind::NotFound.into();
    }
    errno.into()
}

/// The effective user. Not the owner of the /proc entry: for a process that is not dumpable that is root.
fn owner_of(pid: i32) -> io::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = line.and_then(|line| line.split_whitespace().nth(1));
    effective
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The text and the owner of the very file that was read.
fn read(file: &Path) -> io::Result<(String, u32)> {
    // NONBLOCK: a pipe in its place must not hold us.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = std::fs::File::from(rustix::fs::open(file, flags, Mode::empty())?);
    let owner = open.metadata()?.uid();
    let mut text = String::new();
    open.take(MOST).read_to_string(&mut text)?;
    Ok((text, owner))
}

/// Digits, with at most one line end; from 2 up.
fn parse(text: &str) -> Option<i32> {
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let digits = digits.strip_suffix('\r').unwrap_or(digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_number_is_a_pid() {
        assert_eq!(parse("4711\n"), Some(4711));
        assert_eq!(parse("4711"), Some(4711));
        for bad in [
            "",
            "\n",
            "0\n",
            "1\n",
            "-4711\n",
            "+4711\n",
            " 4711\n",
            "4711 4712\n",
            "4711\n4712\n",
            "99999999999999\n",
            "0x10\n",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
