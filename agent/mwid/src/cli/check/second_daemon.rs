//! Does a daemon of this runtime directory run? The daemon holds an exclusive flock(2) on `mwid.lock` from start to end.
use super::Finding;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

pub(super) struct Daemon {
    pub(super) runs: bool,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn look(runtime_dir: &Path) -> Daemon {
    let path = runtime_dir.join("mwid.lock");
    match File::open(&path) {
        Ok(lock) => ask(&path, &lock),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Daemon {
            runs: false,
            findings: Vec::new(),
        },
        Err(error) => unseen(&path, &error),
    }
}

/// A shared lock for a moment; a daemon that starts at this very moment tries again by systemd's Restart=.
fn ask(path: &Path, lock: &File) -> Daemon {
    match lock.try_lock_shared() {
        Ok(()) => Daemon {
            runs: false,
            findings: Vec::new(),
        },
        Err(TryLockError::WouldBlock) => Daemon {
            runs: true,
            findings: vec![
                Finding::note("daemon_runs", format!("a daemon runs and holds {}", path.display()))
                    .why("a second daemon with this runtime_dir would be refused")
                    .fix("to run another one beside it, give it a runtime_dir of its own; to change this one: mwid reload"),
            ],
        },
        Err(TryLockError::Error(error)) => unseen(path, &error),
    }
}

fn unseen(path: &Path, error: &std::io::Error) -> Daemon {
    Daemon {
        runs: false,
        findings: vec![
            Finding::note(
                "daemon_unseen",
                format!(
                    "whether a daemon runs could not be found out: {}: {error}",
                    path.display()
                ),
            )
            .why("addresses and sockets that it holds are shown as in use by another program")
            .fix("run this as the daemon's own user: sudo -u mwid mwid check"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_a_daemon_and_a_free_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let seen = look(dir.path());
        assert!(!seen.runs && seen.findings.is_empty(), "no lock at all");
        let lock = File::create(dir.path().join("mwid.lock")).unwrap();
        assert!(!look(dir.path()).runs, "left over");
        lock.lock().unwrap();
        let seen = look(dir.path());
        assert!(seen.runs);
        assert_eq!(seen.findings[0].id, "daemon_runs");
        drop(lock);
        assert!(!look(dir.path()).runs);
    }
}
