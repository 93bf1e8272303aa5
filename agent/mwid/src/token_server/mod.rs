//! The metadata-compatible API: what Google's client libraries ask a metadata server, answered for attested callers.
//!
//! In: requests on loopback TCP and a Unix socket. Out: tokens by grant, and the instance's own data, in the metadata server's words. Never answers
//! an unattested caller, never hands out a token that no rule grants, never passes on what a path tries to hide.
mod mirror;
mod words;

use crate::caller::Access;
use crate::http::{self, Listener};
use crate::metadata;
use crate::shutdown::Shutdown;
use crate::tokens::Tokens;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub(crate) tokens: Tokens,
    pub(crate) access: Access,
    /// The platform, if there is one: asked for everything that is not ours.
    pub(crate) platform: Option<metadata::Client>,
    pub(crate) metrics: Metrics,
}

/// What this room counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, _registry: &mut Registry) {
        todo!()
    }
}

/// What all listeners share: the answers, and what the platform said before.
pub(crate) struct Server {}

impl Server {
    pub(crate) fn new(_inputs: Inputs, _shutdown: &Shutdown) -> Arc<Self> {
        todo!()
    }

    /// Serves on these listeners until `shutdown`.
    pub(crate) fn start(
        self: &Arc<Self>,
        _listeners: Vec<Listener>,
        _http_metrics: &http::Metrics,
        _shutdown: &Shutdown,
    ) {
        todo!()
    }
}
