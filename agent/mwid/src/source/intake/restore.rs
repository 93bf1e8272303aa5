//! What was last published, read again while the source is silent or broken. In: directories. Out: the first identity of them
//! that is proven anew. Never writes, never puts an old identity before one that the source delivers.
use super::ledger::Ledger;
use super::{From, Intake, Waiting};
use crate::config::SourceSettings;
use crate::source::dev_ca;
use mtls_identity::Candidate;
use mtls_identity::dir::{ReadError, Reading, read_set};
use std::path::PathBuf;
use tokio::time::Instant;

struct Found {
    directory: PathBuf,
    reading: Result<Reading, ReadError>,
}

impl Intake {
    /// The source has spoken without an identity in force: no reason to wait longer.
    pub(super) fn hurry_restore(&mut self) {
        if self.restore_at.is_some() {
            self.restore_at = Some(Instant::now());
        }
    }

    pub(super) async fn restore_if_due(&mut self) {
        if self.restore_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.restore_at = None;
        for Found { directory, reading } in look(self.restore_from.clone()).await {
            match reading {
                Ok(reading) => {
                    if self.restore(reading.candidate, directory) {
                        return;
                    }
                }
                Err(error) => Ledger::not_restored(&directory, &error),
            }
        }
    }

    pub(super) fn restore(&mut self, candidate: Candidate, directory: PathBuf) -> bool {
        match self.prover().prove(&candidate, self.now()) {
            // A development identity must not come back to life under a source that means it.
            Ok(identity)
                if dev_ca::is_ours(&identity)
                    && !matches!(self.settings.source, SourceSettings::DevCa { .. }) =>
            {
                Ledger::not_restored_dev(&directory);
                false
            }
            Ok(identity) => {
                self.put_in_force(identity, &From::Restored(directory));
                true
            }
            Err(refusal) => {
                Ledger::not_restored(&directory, &refusal);
                // The clock may be behind after a boot; a candidate of the source itself goes before.
                if let (Some(at), None) = (refusal.retry_at(), &self.waiting) {
                    self.waiting = Some(Waiting {
                        candidate,
                        origin: From::Restored(directory),
                        at,
                    });
                }
                false
            }
        }
    }
}

/// Reads all directories, off the runtime.
async fn look(directories: Vec<PathBuf>) -> Vec<Found> {
    if directories.is_empty() {
        return vec![];
    }
    let read = tokio::task::spawn_blocking(|| {
        directories
            .into_iter()
            .map(|directory| Found {
                reading: read_set(&directory),
                directory,
            })
            .collect()
    });
    // It fails only when the runtime stops; then there is nothing to restore for.
    read.await.unwrap_or_default()
}
