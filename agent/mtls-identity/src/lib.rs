#![allow(missing_docs)]
//! An X.509 workload identity that you can trust, and rustls configs that follow it.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod candidate;
mod certificate;
pub mod check;
mod der;
#[cfg(feature = "dir")]
pub mod dir;
pub mod peer;
mod pem;
pub mod snapshot;
pub mod spiffe_id;
mod spki;
pub mod store;
mod time;
pub mod tls;

pub use bundle::{TrustBundle, TrustBundles};
pub use candidate::Candidate;
pub use check::{Prover, Refusal};
pub use peer::{IdPattern, Peer, PeerPolicy};
pub use pki_types::UnixTime;

/// A clock: the time is an input, so that tests can choose it.
pub type Clock = std::sync::Arc<dyn rustls::time_provider::TimeProvider>;

pub use snapshot::IdentitySnapshot;
pub use spiffe_id::{SpiffeId, TrustDomain};
pub use store::{Reader, Writer, store};
