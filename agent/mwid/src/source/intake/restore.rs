//! What was last published, read again. In: directories. Out: what each holds, not proven. Never writes, never proves.
use mtls_identity::dir::{ReadError, Reading, read_set};
use std::path::PathBuf;

pub(super) struct Found {
    pub(super) directory: PathBuf,
    pub(super) reading: Result<Reading, ReadError>,
}

/// Reads all directories, off the runtime.
pub(super) async fn look(directories: Vec<PathBuf>) -> Vec<Found> {
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
