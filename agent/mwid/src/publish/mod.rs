//! Publishing: each generation written into the shared directories, then the reactions.
//!
//! In: proven identities from the store. Out: whole generations on disk, reactions that were carried out, status, health.
//! Never changes the store, never holds up a handshake, never undoes a publish because a reaction failed. One task a
//! directory: a slow disk delays its own directory only.

mod directory;
mod error;
mod fs;
mod ledger;
mod metrics;
mod react;
mod resolve;
mod task;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use error::PublishError;
pub(crate) use metrics::Metrics;

use crate::config::PublishSettings;
use crate::health::Board;
use crate::health::status::PublishStatus;
use crate::report::Causes;
use crate::shutdown::Shutdown;
use crate::units::control::UnitControl;
use directory::Claim;
use fs::{FileSystem, RealFileSystem};
use ledger::Ledger;
use mtls_identity::{Clock, Reader};
use resolve::Prepared;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a publish needs from the wiring.
pub(crate) struct Context<'a> {
    pub(crate) reader: Reader,
    pub(crate) clock: Clock,
    pub(crate) board: &'a Board,
    pub(crate) metrics: Metrics,
    /// Parents that are missing are created here or below, nowhere else.
    pub(crate) runtime_dir: PathBuf,
    pub(crate) units: Arc<dyn UnitControl>,
    pub(crate) shutdown: Shutdown,
    /// Whether an identity is to come at all (not with `identity.source: none`): until it is published, not ready.
    pub(crate) expects_identity: bool,
}

/// Everything that is published, and the handle to change it.
pub(crate) struct Publishing {
    pub(crate) status: watch::Receiver<Vec<PublishStatus>>,
    shared: Arc<Shared>,
    checks: watch::Sender<()>,
    /// Stops the tasks of the settings in force, without the rest of the daemon.
    running: Shutdown,
}

/// Settings that can be taken into force without a further question.
pub(crate) struct Ready(Vec<Prepared>);

/// What outlives a change of settings.
struct Shared {
    reader: Reader,
    clock: Clock,
    ledger: Ledger,
    metrics: Metrics,
    runtime_dir: PathBuf,
    units: Arc<dyn UnitControl>,
    fs: Arc<dyn FileSystem>,
    shutdown: Shutdown,
    claims: std::sync::Mutex<BTreeMap<PathBuf, Arc<Claim>>>,
}

/// How long a change of settings or a stop waits for a publish or reaction that is under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// The generation that a process before this one reached, as these directories show it or still keep it beside them; 0 if
/// they know none.
pub(crate) fn last_generation(directories: &[PathBuf]) -> u64 {
    directories
        .iter()
        .filter_map(|public| directory::last_generation(public))
        .max()
        .unwrap_or(0)
}

/// Starts to publish. Only settings that can never work (an unknown user or group, a bad path) are an error; a directory
/// that is not there yet or not writable is reported, tried again and heals.
pub(crate) async fn start(
    settings: Vec<PublishSettings>,
    context: Context<'_>,
) -> Result<Publishing, PublishError> {
    start_on(settings, context, Arc::new(RealFileSystem)).await
}

async fn start_on(
    settings: Vec<PublishSettings>,
    context: Context<'_>,
    fs: Arc<dyn FileSystem>,
) -> Result<Publishing, PublishError> {
    let (ledger, status) = Ledger::new(context.board.part("publish"), context.expects_identity);
    let shared = Arc::new(Shared {
        reader: context.reader,
        clock: context.clock,
        ledger,
        metrics: context.metrics,
        runtime_dir: context.runtime_dir,
        units: context.units,
        fs,
        shutdown: context.shutdown,
        claims: std::sync::Mutex::default(),
    });
    let prepared = shared.clone().prepare(settings, false).await?;
    let mut publishing = Publishing {
        status,
        checks: watch::Sender::new(()),
        running: shared.shutdown.child(),
        shared,
    };
    publishing.run(prepared);
    Ok(publishing)
}

impl Publishing {
    /// Whether an identity is to come at all, by other settings than at the start.
    pub(crate) fn expect_identity(&self, expected: bool) {
        self.shared.ledger.expect_identity(expected);
    }

    /// First phase of a reload: looks up names and looks at directories. Changes nothing.
    pub(crate) async fn prepare(&self, settings: Vec<PublishSettings>) -> Result<Ready, PublishError> {
        self.shared.clone().prepare(settings, true).await.map(Ready)
    }

    /// Second phase: cannot fail. What is no longer named stays on disk as it is and is no longer renewed.
    pub(crate) fn apply(&mut self, ready: Ready) {
        self.running.ask();
        self.running = self.shared.shutdown.child();
        self.run(ready.0);
    }

    /// Has every directory looked at soon: what was damaged or removed is published anew, and what the store no longer
    /// vouches for is told.
    pub(crate) fn verify_all(&self) {
        self.checks.send_replace(());
    }

    fn run(&mut self, prepared: Vec<Prepared>) {
        for gone in self.shared.ledger.reset(&prepared) {
            tracing::warn!(
                directory = %gone.display(),
                "no longer published: what is there stays and will expire; remove it when nobody reads it"
            );
        }
        let running = self.running.clone();
        for one in prepared {
            task::start(&self.shared, one, self.checks.subscribe(), &running);
        }
        // The whole waits for its tasks through this one: a child's tasks are its own.
        self.shared.shutdown.spawn(async move {
            running.asked().await;
            if !running.stop(PATIENCE).await {
                tracing::warn!("a publish or reaction did not end in time; left behind");
            }
        });
    }
}

impl Shared {
    async fn prepare(
        self: Arc<Self>,
        settings: Vec<PublishSettings>,
        inspect: bool,
    ) -> Result<Vec<Prepared>, PublishError> {
        // User databases and disks may be slow.
        let path = self.runtime_dir.clone();
        let work = tokio::task::spawn_blocking(move || {
            let prepared = resolve::all(&self, settings)?;
            for one in &prepared {
                match one.directory.inspect() {
                    Err(e) if inspect => return Err(e),
                    Err(e) => tracing::warn!(
                        directory = %one.directory.path().display(),
                        "cannot publish yet: {}", Causes(&e)
                    ),
                    Ok(()) => {}
                }
            }
            Ok(prepared)
        });
        work.await
            .map_err(|source| PublishError::Worker { path, source })?
    }

    fn claim(&self, path: &std::path::Path) -> Arc<Claim> {
        let mut claims = self
            .claims
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        claims.entry(path.to_owned()).or_default().clone()
    }
}

impl Shared {
    /// The wall clock; a clock that has stopped counts as the beginning of time.
    fn now(&self) -> mtls_identity::UnixTime {
        self.clock
            .current_time()
            .unwrap_or_else(|| mtls_identity::UnixTime::since_unix_epoch(Duration::ZERO))
    }
}
