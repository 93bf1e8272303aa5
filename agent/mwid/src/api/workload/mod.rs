//! The SPIFFE Workload API: what SPIFFE programs and their libraries ask for their identity, answered for attested callers.
//!
//! In: calls at a local socket; the identity in force; the access rules. Out: the identity and each rotation of it to whom the rules grant it, and to
//! everybody else a status that his library understands. Follows SPIFFE Workload API and SPIFFE Workload Endpoint. Never answers an unattested caller
//! with more than why, never encodes a message twice, never lets a slow subscriber delay another.
mod connection;
mod door;
mod edition;
mod feed;
mod guest;
mod hub;
mod jwt;
mod method;
mod metrics;
mod refusal;
mod revoked;
mod sds;
#[cfg(test)]
mod tests;

pub(crate) use metrics::Metrics;
pub(crate) use sds::Metrics as SdsMetrics;

use super::common::Common;
use super::health::Health;
use crate::caller::Access;
use crate::config::SdsSettings;
use crate::grpc::{self, Limits};
use crate::health::Board;
use crate::health::status::{RotationStatus, WorkloadStatus};
use crate::http::{self, Listener};
use crate::shutdown::Shutdown;
use crate::source::JwtSvids;
use door::Door;
use hub::{Hub, Now};
use mtls_identity::{Clock, Reader};
use sds::Sds;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// What the answers are made of.
pub(crate) struct Inputs {
    pub(crate) identity: Reader,
    pub(crate) jwt_svids: watch::Receiver<JwtSvids>,
    pub(crate) clock: Clock,
    pub(crate) access: Access,
    pub(crate) board: Board,
    pub(crate) metrics: Metrics,
    pub(crate) sds: SdsSettings,
    pub(crate) sds_metrics: SdsMetrics,
    /// Whether there is a source of identities.
    pub(crate) expects_identity: bool,
}

/// What all listeners share.
pub(crate) struct Server {
    site: Arc<Site>,
    health: Arc<Health>,
    access: Access,
    wanted: watch::Sender<bool>,
    /// How many listeners there are.
    listeners: watch::Sender<usize>,
}

/// What the calls are answered from.
struct Site {
    hub: Hub,
    sds: Sds,
    jwt_svids: watch::Receiver<JwtSvids>,
    clock: Clock,
    metrics: Metrics,
}

/// What is served here, by full name.
const SERVICES: &[&str] = &[
    "SpiffeWorkloadAPI",
    "envoy.service.secret.v3.SecretDiscoveryService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];
/// Of one listener. A quarter of them is one user's.
const CONNECTIONS: usize = 8192;
/// The same of streams, which weigh some kilobytes each.
const STREAMS: usize = 40_000;
const STREAMS_OF_CONNECTION: u32 = 1000;

impl Server {
    /// Starts the hub. Raises the number of files that this process may have open, as far as it may: each caller takes two.
    pub(crate) fn new(inputs: Inputs, shutdown: &Shutdown) -> Arc<Self> {
        http::files::raise();
        let (wanted, is_wanted) = watch::channel(inputs.expects_identity);
        let (listeners, open) = watch::channel(0);
        let health = Health::new(
            inputs.board.clone(),
            inputs.identity.clone(),
            Arc::clone(&inputs.clock),
            SERVICES,
        );
        let surroundings = hub::Surroundings {
            reader: inputs.identity,
            clock: Clock::clone(&inputs.clock),
            wanted: is_wanted,
            listeners: open,
            board: inputs.board,
        };
        let site = Site {
            hub: Hub::start(surroundings, shutdown),
            sds: Sds::new(inputs.sds, inputs.sds_metrics),
            jwt_svids: inputs.jwt_svids,
            clock: inputs.clock,
            metrics: inputs.metrics,
        };
        Arc::new(Self {
            site: Arc::new(site),
            health,
            access: inputs.access,
            wanted,
            listeners,
        })
    }

    /// Whether an identity is wanted from now on (reload).
    pub(crate) fn expect_identity(&self, wanted: bool) {
        self.wanted.send_replace(wanted);
    }

    /// Other names of Envoy's secrets from now on (reload).
    pub(crate) fn rename_secrets(&self, names: SdsSettings) {
        self.site.sds.rename(names);
    }

    /// Serves on these listeners until `shutdown`.
    pub(crate) fn start(
        self: &Arc<Self>,
        listeners: Vec<Listener>,
        (grpc_metrics, http_metrics): (&grpc::Metrics, &http::Metrics),
        shutdown: &Shutdown,
    ) {
        for listener in listeners {
            let name = if listener.is_unix() {
                "workload"
            } else {
                "workload_tcp"
            };
            let door = Door::new(Arc::clone(&self.site), self.access.clone(), name);
            let serve = grpc::serve(
                listener,
                Arc::new(Common::beside(door, Arc::clone(&self.health), SERVICES)),
                limits(http::files::allowed()),
                grpc_metrics.server(name, http_metrics),
                shutdown.token(),
            );
            self.listeners.send_modify(|open| *open += 1);
            let server = Arc::clone(self);
            shutdown.spawn(async move {
                serve.await;
                server.listeners.send_modify(|open| *open -= 1);
            });
        }
    }

    pub(crate) fn status(&self) -> WorkloadStatus {
        let Site {
            hub,
            sds,
            jwt_svids,
            metrics,
            ..
        } = &*self.site;
        let rotation = match hub.now() {
            Now::Alive(edition) => Some(RotationStatus {
                generation: edition.identity.generation(),
                subscribers: edition.subscribers(),
                slowest_seconds: edition.slowest().as_secs_f64(),
            }),
            Now::Unwanted | Now::Waiting | Now::Expired(_) => None,
        };
        let recent = self.access.status().recent;
        let denials = recent.into_iter().rev().filter(|line| !line.granted);
        WorkloadStatus {
            listening: *self.listeners.borrow() > 0,
            streams: metrics.streams(),
            callers: metrics.callers(),
            sds: sds.status(),
            rotation: rotation.filter(|rotation| rotation.subscribers > 0),
            jwt_svids: match &*jwt_svids.borrow() {
                JwtSvids::Minter(_) => "minted",
                JwtSvids::NotYet => "not yet",
                JwtSvids::None(_) => "validated only",
            }
            .to_owned(),
            last_denial: denials
                .into_iter()
                .find(|line| line.listener.starts_with("workload")),
        }
    }
}

/// With so many open files allowed: half of them are left to others when all connections are taken.
fn limits(files: usize) -> Limits {
    Limits {
        connections: CONNECTIONS.min(files.saturating_sub(256) / 4).max(64),
        streams: STREAMS,
        streams_of_connection: STREAMS_OF_CONNECTION,
        ..Limits::default()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}
