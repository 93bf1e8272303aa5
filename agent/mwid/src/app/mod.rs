//! The wiring: makes every room, hands each what it needs, and alone knows them all.
//!
//! In: settings, and a way to read them again. Out: a running daemon that ends when it is told to. Never does a room's work itself.

mod announce;
mod daemon;
mod demo;
mod doors;
mod error;
mod google;
mod harden;
mod lock;
mod platform;
mod reload;
mod signals;

pub(crate) use error::{AppError, ErrorKind};
pub(crate) use google::environment as credentials_environment;
pub(crate) use harden::close_process;
pub(crate) use platform::metadata_server;

use crate::config::{ConfigError, LogFormat, LogLevel, LogSettings, Settings};
use crate::dev::workloads::{Seen, Tally};
use crate::shutdown::Shutdown;
use crate::telemetry::logging;
use crate::units::listen::{self, Passed};
use daemon::Daemon;
use mtls_identity::Clock;
use std::sync::Arc;
use std::time::Duration;

/// How long the parts may take to end what is under way when the daemon stops. Under TimeoutStopSec= of systemd/mwid.service.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the settings again, for a reload.
type Load = Box<dyn Fn() -> Result<Settings, ConfigError> + Send + Sync>;

/// What is to run.
pub(crate) struct Plan {
    settings: Settings,
    load: Option<Load>,
}

impl Plan {
    /// Settings, and how to read them again at a reload.
    pub(crate) fn new(
        settings: Settings,
        load: impl Fn() -> Result<Settings, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            settings,
            load: Some(Box::new(load)),
        }
    }

    /// Settings that no file can change.
    pub(crate) fn fixed(settings: Settings) -> Self {
        Self { settings, load: None }
    }
}

/// Runs the daemon until SIGTERM or SIGINT.
pub(crate) fn run(plan: Plan) -> Result<(), AppError> {
    // Before there are other threads: this looks at the environment that systemd gave.
    let passed = listen::take().map_err(AppError::Passed)?;
    let logging = start_logging(plan.settings.log)?;
    let lock = lock::take(&plan.settings.runtime_dir).map_err(AppError::Lock)?;
    on_runtime(async move {
        let shutdown = Shutdown::default();
        signals::stop_on_signals(&shutdown).map_err(AppError::Signals)?;
        let daemon = Daemon::open(plan, system_clock(), passed, logging, lock, &shutdown).await?;
        daemon.run().await;
        end(&shutdown).await;
        Ok(())
    })
}

/// Runs the daemon on its embedded platform, and the two workloads on what it publishes, for `time`.
pub(crate) fn demo(plan: Plan, time: Duration, seen: impl FnMut(Seen) + Send) -> Result<Tally, AppError> {
    let logging = start_logging(LogSettings {
        level: LogLevel::Warn,
        format: LogFormat::Text,
    })?;
    let lock = lock::take(&plan.settings.runtime_dir).map_err(AppError::Lock)?;
    on_runtime(async move {
        let shutdown = Shutdown::default();
        signals::stop_on_signals(&shutdown).map_err(AppError::Signals)?;
        let directory = plan
            .settings
            .publish
            .first()
            .map(|p| p.directory.clone())
            .unwrap_or_default();
        let daemon = Daemon::open(plan, system_clock(), Passed::default(), logging, lock, &shutdown).await?;
        let tally = demo::show(&daemon, &directory, time, seen, &shutdown).await;
        end(&shutdown).await;
        drop(daemon);
        tally
    })
}

async fn end(shutdown: &Shutdown) {
    if !shutdown.stop(PATIENCE).await {
        tracing::warn!(patience = ?PATIENCE, "some parts did not end in time; the process ends without them");
    }
}

/// Runs on a small runtime: what mwid does is short, so four workers serve the largest machine; threads that wrote files go soon after.
fn on_runtime<T>(work: impl Future<Output = Result<T, AppError>>) -> Result<T, AppError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(4))
        .thread_name("mwid")
        .thread_keep_alive(Duration::from_secs(1))
        .enable_all()
        .build()
        .map_err(AppError::Runtime)?;
    let result = runtime.block_on(work);
    // Not by dropping it: that would wait for a thread whose disk does not answer.
    runtime.shutdown_background();
    result
}

fn start_logging(settings: LogSettings) -> Result<logging::Logging, AppError> {
    let format = match settings.format {
        LogFormat::Auto => logging::Format::Auto,
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
        LogFormat::Journald => logging::Format::Journald,
    };
    logging::start(logging::Options {
        level: level(settings.level),
        filter: std::env::var(logging::VARIABLE).ok(),
        format,
        now: logging::wall_clock(),
    })
    .map_err(AppError::Logging)
}

fn level(level: LogLevel) -> tracing::Level {
    match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    }
}

/// The clock of a real daemon.
fn system_clock() -> Clock {
    Arc::new(rustls::time_provider::DefaultTimeProvider)
}
