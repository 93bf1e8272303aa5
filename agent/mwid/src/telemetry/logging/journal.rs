//! The journal's own protocol (systemd, "Native Journal Protocol"): one datagram an entry, `NAME=value` a field.
//!
//! The message of an entry holds the fields too: `journalctl` shows nothing else, and a cause that nobody sees is none.
use super::line::Line;
use nix::sys::stat::fstat;
use serde_json::Value;
use std::io;
use std::os::unix::net::UnixDatagram;
use tracing::Level;

const SOCKET: &str = "/run/systemd/journal/socket";

pub(super) struct Journal {
    socket: UnixDatagram,
}

/// Whether standard error is the stream that systemd connected to the journal: it tells us the file's numbers.
pub(super) fn has_our_stderr() -> bool {
    let Ok(stat) = fstat(io::stderr()) else {
        return false;
    };
    std::env::var("JOURNAL_STREAM").is_ok_and(|told| is_stream(&told, stat.st_dev, stat.st_ino))
}

pub(super) fn is_stream(told: &str, device: u64, inode: u64) -> bool {
    told.split_once(':')
        .is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

impl Journal {
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A journal that does not keep up must not stop us: such lines go to standard error.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sent to the path each time, so that a restarted journal is found again.
    pub(super) fn send(&self, line: &Line) -> io::Result<()> {
        self.socket.send_to(&entry(line), SOCKET).map(drop)
    }
}

pub(super) fn entry(line: &Line) -> Vec<u8> {
    let mut entry = Vec::with_capacity(512);
    let priority = match line.level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    put(&mut entry, "PRIORITY", priority);
    put(&mut entry, "SYSLOG_IDENTIFIER", "mwid");
    put(&mut entry, "MESSAGE", &line.sentence());
    put(&mut entry, "MWID_ROOM", line.target);
    for (name, value) in &line.fields {
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .take(56)
            .collect();
        match value {
            Value::String(text) => put(&mut entry, &format!("MWID_{name}"), text),
            other => put(&mut entry, &format!("MWID_{name}"), &other.to_string()),
        }
    }
    entry
}

/// A value with a line break is sent with its length, so that it cannot pretend to be another field.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}
