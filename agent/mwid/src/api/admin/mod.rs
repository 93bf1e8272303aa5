//! The admin API.
//!
//! In: requests on the admin socket, or on TCP for probes and scrapes. Out: health, status, metrics, the identity in words. Changes
//! nothing itself: a reload is asked of the wiring through a channel. Never sees a private key. Who may use the socket, its mode
//! says; who did, the log.
mod answers;
mod door;
pub(crate) mod identity;
mod ready;
mod reload;
#[cfg(test)]
mod tests;

pub(crate) use reload::{ReloadAnswer, ReloadRefusal, ReloadRequest};

use super::workload;
use crate::caller::{Access, Attestor};
use crate::health::Board;
use crate::health::status::{AskRoutes, PublishStatus, SourceStatus};
use crate::http::{self, Limits, Listener};
use crate::shutdown::Shutdown;
use crate::telemetry::logging::Recent;
use crate::tokens::Tokens;
use jiff::Timestamp;
use mtls_identity::{Clock, Reader};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What the answers are made of.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) board: Board,
    pub(crate) started_at: Timestamp,
    pub(crate) clock: Clock,
    pub(crate) identity: Reader,
    pub(crate) source: watch::Receiver<SourceStatus>,
    pub(crate) publish: watch::Receiver<Vec<PublishStatus>>,
    pub(crate) tokens: Tokens,
    pub(crate) access: Access,
    pub(crate) routes: AskRoutes,
    pub(crate) workload: Arc<workload::Server>,
    pub(crate) errors: Recent,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    /// A queue of one is enough: while a reload runs, another is refused.
    pub(crate) reload: mpsc::Sender<ReloadRequest>,
}

/// What this room measures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    ready: Gauge,
    denials: Counter,
}

impl Metrics {
    /// Registers everything that this room measures.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("ready", "1 when /readyz says ready, else 0", self.ready.clone());
        let admin = registry.sub_registry_with_prefix("admin");
        admin.register(
            "denials",
            "Connections of callers who could not be attested",
            self.denials.clone(),
        );
    }
}

/// Serves the admin API on these listeners until `shutdown`.
pub(crate) fn start(
    listeners: Vec<Listener>,
    inputs: &Arc<Inputs>,
    http_metrics: &http::Metrics,
    shutdown: &Shutdown,
) {
    let limits = Limits {
        connections: 64,
        ..Limits::default()
    };
    let service = Arc::new(door::Door::new(Arc::clone(inputs), Attestor::new()));
    for listener in listeners {
        let name = if listener.is_unix() { "admin" } else { "admin_tcp" };
        shutdown.spawn(http::serve(
            listener,
            Arc::clone(&service),
            limits.clone(),
            http_metrics.server(name),
            shutdown.token(),
        ));
    }
}
