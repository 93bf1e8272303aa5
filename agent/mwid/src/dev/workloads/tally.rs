//! What the workloads counted. In: each request and exchange as it ends. Out: figures. Never judges them.

use std::collections::BTreeSet;
use std::time::Duration;

/// A certificate that was not seen before.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// How many certificates of the ledger there were, this one included.
    pub(crate) count: usize,
    pub(crate) serial: String,
    /// Since the workloads began.
    pub(crate) after: Duration,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) exchanges: u64,
}

/// The end of the demo in figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// How long the workloads ran: shorter than asked for when somebody ended them.
    pub(crate) ran: Duration,
    /// Requests, each over a new connection.
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Line exchanges over the one connection that is held from beginning to end.
    pub(crate) exchanges: u64,
    pub(crate) held_failed: u64,
    /// The first few failures in words.
    pub(crate) failures: Vec<String>,
    /// The ledger's certificates, by serial number.
    pub(crate) serials: BTreeSet<String>,
    /// TLS version and key exchange, as negotiated: one entry when it was always the same.
    pub(crate) protocols: BTreeSet<String>,
    /// Handshakes that were not full ones: promised to be none.
    pub(crate) resumed: u64,
    pub(crate) peer: Option<String>,
}

impl Tally {
    /// Rotations seen on the wire: each certificate after the first.
    pub(crate) fn rotations(&self) -> usize {
        self.serials.len().saturating_sub(1)
    }

    pub(super) fn note_failure(&mut self, text: String) {
        const SHOWN: usize = 5;
        if self.failures.len() < SHOWN {
            self.failures.push(text);
        }
    }
}
