//! An identity read from a directory, and followed through replacements.
//!
//! In: the path of a directory, or of a link to one, that a platform's agent or mwid itself fills and replaces.
//! Out: candidates ([`read`]), hints that something may have changed ([`Watch`]), or a store that follows the directory
//! ([`follow`]). Never writes, and never believes a notification: what counts is what a read finds.
//!
//! Two file sets are understood:
//!
//! | set | files |
//! |---|---|
//! | Google's guest agents | `certificates.pem`, `private_key.pem`, and `trust_bundles.json` (preferred) or `ca_certificates.pem`; `config_status` if it is there |
//! | SPIFFE credential bundle | `credential-bundle.private-key.x509.pem` and one `TRUST_DOMAIN.spiffe-trust-bundle.x509.pem` a trust domain |
//!
//! The first is described in Google's page "Authenticate workloads to other workloads over mTLS" (managed workload
//! identities for Compute Engine), the second in the draft of SPIFFE Filesystem Delivery.
//! A directory in the way of Kubernetes, where a link `..data` is switched, is understood too.

mod follow;
mod read;
mod watch;

pub use follow::{FollowError, FollowOptions, FollowStatus, FollowTrouble, Follower, follow};
pub use read::{ConfigStatus, Form, ReadError, Reading, read, read_set};
pub use watch::{Hint, Watch, WatchError, WatchStopper};

use std::time::Duration;

/// How long to wait before reading again, besides hints, after a read that did not hold together; then the poll takes over.
pub const RETRY_AFTER: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];
