//! Runs a command after a publish.
//!
//! In: an argument vector and a time limit. Out: success, or how it failed; its output in the log, line by line, bounded.
//! Never uses a shell, never passes on mwid's environment or a key, never leaves a process of its group behind.

use super::{ReactionError, Trigger};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// What is logged of one line, and how many lines of each stream; the rest is read and dropped, so that the command is not
/// held up or ended by a full pipe.
const LINE: usize = 1024;
const LINES: usize = 100;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) async fn run(
    command: &[String],
    limit: Duration,
    directory: &Path,
    trigger: &Trigger,
) -> Result<(), ReactionError> {
    let [program, arguments @ ..] = command else {
        return Err(ReactionError::EmptyCommand);
    };
    let path = PathBuf::from(program);
    let generation = trigger.generation.to_string();
    let environment: [(&str, &OsStr); 5] = [
        ("PATH", PATH.as_ref()),
        ("LANG", "C.UTF-8".as_ref()),
        ("MWID_DIRECTORY", directory.as_os_str()),
        ("MWID_GENERATION", generation.as_ref()),
        ("MWID_SPIFFE_ID", trigger.spiffe_id.as_ref()),
    ];
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|source| ReactionError::Start {
            program: path.clone(),
            source,
        })?;
    let told = |source: io::Error| ReactionError::Wait {
        program: path.clone(),
        source,
    };
    // Declared after the child, so dropped before it: also when this future is dropped half-way.
    let group = Group::of(&child);
    let output = tokio::spawn(log_both(child.stdout.take(), child.stderr.take(), path.clone()));
    let ended = tokio::time::timeout(limit, group.ended()).await;
    // What the command left running in its group ends with it. Before it is reaped: afterwards its number may be another's.
    drop(group);
    let status = child.wait().await.map_err(told)?;
    // A process that left the group may hold the pipes open; it is not waited for.
    drop(tokio::time::timeout(Duration::from_secs(1), output).await);
    let Ok(waited) = ended else {
        return Err(ReactionError::Timeout { program: path, limit });
    };
    waited.map_err(told)?;
    if !status.success() {
        return Err(ReactionError::Failed {
            program: path,
            status,
        });
    }
    Ok(())
}

/// The command's process group; killed as a whole when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = number.and_then(Pid::from_raw);
        restore_core_limit(pid);
        Self(pid)
    }

    /// Returns when the command has ended, and does not reap it. The thread that waits ends at the latest when the group is
    /// killed.
    async fn ended(&self) -> io::Result<()> {
        let pid = self.0.ok_or(io::ErrorKind::NotFound)?;
        let wait = move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options))
        };
        tokio::task::spawn_blocking(wait).await??;
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Gone already is the usual case.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// mwid writes no cores; a command may, as far as the hard limit lets it. Set from outside, just after the start, because
/// code between fork and exec would have to be unsafe.
fn restore_core_limit(pid: Option<Pid>) {
    let limit = rustix::process::getrlimit(Resource::Core);
    if pid.is_some() && limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Best effort: a command without cores still works.
        let _ = rustix::process::prlimit(pid, Resource::Core, raised);
    }
}

async fn log_both(
    out: Option<tokio::process::ChildStdout>,
    err: Option<tokio::process::ChildStderr>,
    program: PathBuf,
) {
    tokio::join!(log(out, "stdout", &program), log(err, "stderr", &program));
}

async fn log(stream: Option<impl AsyncRead + Unpin>, name: &str, program: &Path) {
    let Some(mut stream) = stream else { return };
    let mut buffer = [0; 4096];
    let mut lines = Lines::default();
    // An error of the pipe is the end of it.
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        for line in lines.add(buffer.get(..n).unwrap_or_default()) {
            tracing::info!(program = %program.display(), stream = name, "{line}");
        }
    }
    if let Some(line) = lines.rest() {
        tracing::info!(program = %program.display(), stream = name, "{line}");
    }
}

/// Cuts output into bounded lines without control characters.
#[derive(Default)]
struct Lines {
    current: Vec<u8>,
    told: usize,
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                out.extend(self.rest());
            } else if self.current.len() < LINE {
                self.current.push(*byte);
            }
        }
        out
    }

    fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.current);
        if line.is_empty() || self.told > LINES {
            return None;
        }
        self.told += 1;
        if self.told > LINES {
            return Some("(further output is not logged)".to_owned());
        }
        let text = String::from_utf8_lossy(&line);
        Some(text.chars().filter(|c| !c.is_control() || *c == '\t').collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_bounded_lines() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"one\ntw"), ["one"]);
        assert_eq!(lines.add(b"o\x1b[31m\n\n"), ["two[31m"]);
        assert_eq!(lines.add(&[b'x'; 5000]), [""; 0]);
        assert_eq!(lines.add(b"\n"), ["x".repeat(LINE)]);
        let flood = lines.add(&b"y\n".repeat(500));
        assert_eq!(flood.len(), LINES - 3 + 1);
        assert_eq!(
            flood.last().map(String::as_str),
            Some("(further output is not logged)")
        );
        assert_eq!(lines.rest(), None);
    }
}
