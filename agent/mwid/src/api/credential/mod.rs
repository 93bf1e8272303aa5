//! The socket for systemd's `LoadCredential=`: a unit's key, chain and bundles, without a directory that others share.
//!
//! In: connections of the service manager; the identity, the access rules. Out: one file for one connection, by its published name, for the unit that
//! is about to start. Never believes anybody but root in that unit's control group, never decides by what root may have, and never starts a unit with
//! nothing: systemd takes an empty answer for an empty credential, so that who is refused gets more than it takes, which fails the unit's start.
//!
//! systemd connects once for each credential of each process that it starts for a unit. All that one process of it fetches is of one generation, so
//! that a key and its chain belong together also over a rotation. Before the first identity is there, it waits for half a minute.
mod address;
mod door;
mod metrics;
mod refusal;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use metrics::Metrics;

use crate::caller::Access;
use crate::http::Listener;
use crate::shutdown::Shutdown;
use door::Door;
use mtls_identity::{Clock, Reader};
use std::sync::Arc;

/// What the answers are made of.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) access: Access,
    pub(crate) identity: Reader,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

/// Serves credentials.
#[derive(Debug)]
pub(crate) struct Server(Arc<Door>);

impl Server {
    pub(crate) fn new(inputs: Inputs) -> Self {
        Self(Arc::new(Door::new(inputs)))
    }

    /// Serves on this listener until `shutdown`.
    pub(crate) fn start(&self, listener: Listener, shutdown: &Shutdown) {
        let (door, stop) = (Arc::clone(&self.0), shutdown.token());
        shutdown.spawn(door::serve(door, listener, stop));
    }
}
