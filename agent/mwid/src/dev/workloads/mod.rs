//! Two workloads that talk mTLS while their certificates rotate: `orders` asks, `ledger` answers.
//!
//! In: a published directory, as any other program sees it. Out: what happened, as it happens, and a tally. Never touches mwid's store: what
//! is shown holds for programs outside of mwid.

mod ledger;
mod orders;
mod tally;

pub(crate) use tally::{Seen, Tally};

use crate::shutdown::Shutdown;
use mtls_identity::dir::{FollowError, FollowOptions, Follower, follow};
use mtls_identity::tls::{TlsConfigError, TlsOptions};
use mtls_identity::{Clock, PeerPolicy, Prover, Reader, SpiffeId};
use rustls::crypto::CryptoProvider;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the server's connections may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the workloads cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkloadError {
    #[error("a workload cannot follow the published directory")]
    Follow(#[source] FollowError),
    #[error("a workload cannot set up TLS")]
    Tls(#[source] TlsConfigError),
    #[error("the ledger workload cannot listen on 127.0.0.1")]
    Listen(#[source] io::Error),
    #[error("the published directory holds no identity")]
    NoIdentity,
}

/// What one workload stands on: its own view of the published directory.
struct Workload {
    reader: Reader,
    _follower: Follower,
    options: TlsOptions,
    policy: PeerPolicy,
}

impl Workload {
    fn new(directory: &Path, provider: &Arc<CryptoProvider>, clock: &Clock) -> Result<Self, WorkloadError> {
        let prover = Prover::new(Arc::clone(provider));
        let (reader, follower) = follow(directory, FollowOptions::new(prover, Arc::clone(clock)))
            .map_err(WorkloadError::Follow)?;
        // One VM, one identity: each workload expects exactly the identity that it has itself.
        let own: SpiffeId = reader.current().ok_or(WorkloadError::NoIdentity)?.id().clone();
        Ok(Self {
            reader,
            _follower: follower,
            options: TlsOptions::new(Arc::clone(provider), Arc::clone(clock)),
            policy: PeerPolicy::nobody().allow(own),
        })
    }
}

/// Runs both workloads on the identity published in `directory` until `shutdown`; each new certificate is told on `seen`.
pub(crate) async fn run(
    directory: &Path,
    provider: Arc<CryptoProvider>,
    clock: Clock,
    seen: mpsc::UnboundedSender<Seen>,
    shutdown: Shutdown,
) -> Result<Tally, WorkloadError> {
    let ledger = Workload::new(directory, &provider, &clock)?;
    let orders = Workload::new(directory, &provider, &clock)?;
    // The server outlives the client, so that the end of the demo is no failure of a request.
    let serving = Shutdown::default();
    let address = ledger::start(ledger, &serving).await?;
    let tally = orders::run(orders, address, seen, shutdown).await;
    if !serving.stop(PATIENCE).await {
        tracing::warn!("the ledger workload did not end in time");
    }
    tally
}
