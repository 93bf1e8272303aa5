//! Sources of identity, and the intake that proves what they deliver.
//!
//! In: the section `identity` of the settings. Out: a reader of the store, what mints JWT-SVIDs, the source's status, its
//! part of the health board.
//! Never hands on a candidate: what leaves this room is proven. One file a source; each knows nothing but where to look and how
//! to report, so a new source is one more file and one more line in [`Origin::start`].

mod auto;
mod dev_ca;
mod error;
mod guest_agent;
mod intake;
mod metadata;
mod metadata_grpc;
mod metrics;
mod minter;
mod poll;
mod workload_api;

pub(crate) use error::SourceError;
pub(crate) use metrics::Metrics;
pub(crate) use minter::{JwtSvids, Minter};

use crate::config::{IdentitySettings, SourceSettings};
use crate::health::Board;
use crate::health::status::SourceStatus;
use crate::metadata::Server;
use crate::shutdown::Shutdown;
use mtls_identity::{Candidate, Clock, Reader, UnixTime};
use rustls::crypto::CryptoProvider;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// What the room needs from the wiring.
pub(crate) struct Context<'a> {
    pub(crate) clock: Clock,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) board: &'a Board,
    pub(crate) metrics: Metrics,
    /// The platform's metadata server, for sources whose settings do not name another.
    pub(crate) server: Server,
    /// Directories that hold what was last published, the best first.
    pub(crate) restore_from: Vec<PathBuf>,
    /// The generation that the process before this one reached, 0 if unknown: generations only grow.
    pub(crate) starting_after: u64,
    pub(crate) shutdown: Shutdown,
}

/// The identity as the rest of the daemon sees it.
#[derive(Debug)]
pub(crate) struct Inlet {
    pub(crate) reader: Reader,
    pub(crate) status: watch::Receiver<SourceStatus>,
    /// Of the identity in force.
    pub(crate) jwt_svids: watch::Receiver<JwtSvids>,
    commands: mpsc::Sender<Command>,
}

impl Inlet {
    /// Takes other settings into force, and returns when that is done. The identity goes on being served until the new source
    /// delivers, unless the new settings forbid it: another `expect`, no source at all, or a development identity that is
    /// to be no more.
    pub(crate) async fn replace(&self, settings: IdentitySettings) {
        let (done, taken) = oneshot::channel();
        // Only a stopping daemon has no intake any more; then there is nothing to replace.
        if self.commands.send(Command { settings, done }).await.is_ok() {
            let _stopped = taken.await;
        }
    }
}

/// New settings for the intake.
struct Command {
    settings: IdentitySettings,
    done: oneshot::Sender<()>,
}

/// Starts the source and the intake. Must be called within the runtime.
pub(crate) fn start(settings: &IdentitySettings, context: Context<'_>) -> Inlet {
    intake::start(settings, context)
}

/// Reports that wait for the intake. A source that is faster than the intake waits.
const MOST_REPORTS: usize = 4;

/// What a source says.
enum Report {
    /// Something readable.
    Delivery(Delivery),
    /// Nothing readable.
    Trouble(SourceError),
    /// What `auto` tried, in words.
    Tried(Vec<String>),
}

/// A candidate, and where it was found.
struct Delivery {
    candidate: Candidate,
    /// `guest_agent`, `metadata`, `metadata_grpc`, `workload_api`, `dev_ca`.
    kind: &'static str,
    /// A directory, an address.
    from: String,
    /// What the source reports beside a readable candidate.
    warning: Option<SourceError>,
    seen_at: UnixTime,
    /// Where the intake says whether the candidate was proven, for a source that has others to turn to.
    verdict: Option<oneshot::Sender<bool>>,
    /// What makes JWT-SVIDs that the candidate's bundles verify, for a source that has it.
    minter: Option<Arc<Minter>>,
}

/// A running source.
struct Running {
    reports: mpsc::Receiver<Report>,
    stop: Shutdown,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

/// What every source is given.
#[derive(Clone)]
struct Origin {
    out: mpsc::Sender<Report>,
    clock: Clock,
    server: Server,
    /// Stops with this source.
    stop: Shutdown,
    /// Waits for this source's tasks.
    tasks: Shutdown,
}

impl Origin {
    /// Starts the source of the settings; `none` has none.
    fn start(
        settings: &SourceSettings,
        clock: &Clock,
        server: Server,
        shutdown: &Shutdown,
    ) -> Option<Running> {
        let (out, reports) = mpsc::channel(MOST_REPORTS);
        let stop = shutdown.child();
        let origin = Self {
            out,
            clock: clock.clone(),
            server,
            stop: stop.clone(),
            tasks: shutdown.clone(),
        };
        match settings {
            SourceSettings::None => return None,
            SourceSettings::Auto => auto::start(auto::directories(), &origin),
            SourceSettings::GuestAgent { directory, poll } => guest_agent::start(directory, *poll, &origin),
            SourceSettings::Metadata { address, poll } => {
                metadata::start(address.unwrap_or(server.http), poll::Pace::every(*poll), &origin);
            }
            SourceSettings::MetadataGrpc { address, poll } => {
                metadata_grpc::start(address.unwrap_or(server.grpc), poll::Pace::every(*poll), &origin);
            }
            SourceSettings::WorkloadApi { socket, hint } => {
                workload_api::start(socket, hint.as_deref(), &origin);
            }
            SourceSettings::DevCa {
                trust_domain,
                path,
                lifetime,
            } => dev_ca::start(trust_domain, path, *lifetime, &origin),
        }
        Some(Running { reports, stop })
    }

    fn now(&self) -> UnixTime {
        now(&self.clock)
    }
}

/// The name of a source in status and logs.
fn kind(settings: &SourceSettings) -> &'static str {
    match settings {
        SourceSettings::None => "none",
        SourceSettings::Auto => auto::KIND,
        SourceSettings::GuestAgent { .. } => guest_agent::KIND,
        SourceSettings::Metadata { .. } => metadata::KIND,
        SourceSettings::MetadataGrpc { .. } => metadata_grpc::KIND,
        SourceSettings::WorkloadApi { .. } => workload_api::KIND,
        SourceSettings::DevCa { .. } => dev_ca::KIND,
    }
}

/// A clock that cannot say the time proves nothing: at the epoch no certificate is valid yet.
fn now(clock: &Clock) -> UnixTime {
    clock
        .current_time()
        .unwrap_or_else(|| UnixTime::since_unix_epoch(Duration::ZERO))
}
