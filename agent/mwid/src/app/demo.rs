//! The demo: waits for the daemon, runs the workloads for a while. In: a running daemon. Out: their tally. Never looks inside the daemon.
use super::AppError;
use super::daemon::Daemon;
use crate::dev::workloads::{self, Seen, Tally};
use crate::shutdown::Shutdown;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the embedded platform may take to publish its first identity.
const START: Duration = Duration::from_secs(10);

pub(super) async fn show(
    daemon: &Daemon,
    directory: &Path,
    time: Duration,
    mut seen: impl FnMut(Seen) + Send,
    shutdown: &Shutdown,
) -> Result<Tally, AppError> {
    let mut board = daemon.board().subscribe();
    let ready = async {
        while !daemon.board().is_ready() {
            if board.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(START, ready).await.is_err() {
        return Err(AppError::NotReady {
            directory: directory.to_owned(),
            patience: START,
        });
    }
    let (news, mut heard) = mpsc::unbounded_channel();
    let stop = shutdown.child();
    let run = workloads::run(directory, daemon.provider(), daemon.clock(), news, stop.clone());
    let timer = async {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = shutdown.asked() => {}
        }
        stop.ask();
    };
    let tell = async {
        while let Some(one) = heard.recv().await {
            seen(one);
        }
    };
    let (tally, (), ()) = tokio::join!(run, timer, tell);
    tally.map_err(AppError::Workload)
}
