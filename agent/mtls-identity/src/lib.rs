//! An X.509 workload identity that you can trust, and rustls configs that follow it.
//!
//! A platform gives a program a private key, a certificate chain and trust bundles, and replaces them while it runs. This
//! crate takes such bytes ([`Candidate`]), proves that they belong together ([`Prover`]), keeps the newest proven identity
//! where many readers see it ([`store()`]), and gives rustls configs that use it from the next handshake on ([`tls`]):
//!
//! ```text
//! Candidate -> Prover -> IdentitySnapshot -> store (one Writer, many Readers) -> rustls configs
//! ```
//!
//! ```
//! # let world = testkit::pki::World::new("example.org");
//! # let delivered = world.leaf("/ns/shop/sa/payments");
//! # let chain_pem = delivered.chain_pem.into_bytes();
//! # let key_pem = delivered.key_pem.into_bytes();
//! # let roots_pem = world.root.cert_pem.into_bytes();
//! use mtls_identity::candidate::CandidateBundles;
//! use mtls_identity::tls::{TlsOptions, server_config};
//! use mtls_identity::{Candidate, Clock, Prover};
//! use rustls::time_provider::DefaultTimeProvider;
//! use std::sync::Arc;
//!
//! let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
//! let clock: Clock = Arc::new(DefaultTimeProvider);
//! let (mut writer, reader) = mtls_identity::store();
//! let config = server_config(reader.clone(), &TlsOptions::new(provider.clone(), clock.clone()))?;
//!
//! // Now, and again whenever the platform delivers:
//! let bundles = CandidateBundles::OwnPem(roots_pem);
//! let candidate = Candidate { certificates_pem: chain_pem.into(), private_key_pem: key_pem.into(), bundles };
//! match Prover::new(provider).prove(&candidate, clock.current_time().ok_or("no clock")?) {
//!     Ok(identity) => drop(writer.publish(identity)),
//!     Err(refusal) => eprintln!("{}: {refusal}; the last identity goes on", refusal.reason()),
//! }
//! assert_eq!(reader.generation(), 1);
//! # drop(config);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it keeps to
//!
//! The crypto provider and the clock are arguments; nothing is installed for the process. There is no unsafe code here.
//! Keys are wiped on drop and shown by no `Debug` and no error. Everything that is read is bounded in size.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `tokio` | yes | `tls::Acceptor` and `tls::Connector`: handshake and authorisation of the peer in one step on tokio streams |
//! | `dir` | no | `dir`: an identity read from a directory, followed through replacements |
//!
//! Features only add. Without any the crate does no I/O at all.
//!
//! # What it does not do
//!
//! - **Revocation**: neither CRLs nor OCSP are read. Certificates that live for hours, and roots that are taken out of their
//!   bundle, are how trust ends here.
//! - **Name constraints on URIs**: webpki does not support them, and refuses a chain that has one, ours and a peer's.
//! - **DNS names**: a peer is known by its SPIFFE ID alone; DNS names in a certificate are allowed and never looked at.
//! - **JWT-SVIDs**: the JWT keys of a trust bundle are kept and handed on, also as a JWK set, not used.
//!
//! # What stays the same from release to release
//!
//! The public API is every item that this documentation shows, and it follows semantic versioning as cargo reads it: while
//! the version is 0.x, a change that can break a program raises x, and every other release only adds or mends. Part of the
//! API are the names that the `reason()` methods return and which candidates and peers are refused: to accept what was
//! refused, or the other way round, is a breaking change unless a security fix demands it. No part of it are the texts of
//! errors, `Debug` output, and the order in which several faults of one candidate are found. Public enums are
//! `#[non_exhaustive]` where a variant may be added; `Candidate` is made by its fields, so a new field raises x.
//!
//! Types of `rustls` 0.23, `rustls-pki-types` 1, `serde_json` 1 and `zeroize` 1 appear in the API; another major version of
//! one of them raises x. The oldest Rust that builds it is 1.91; a newer one is asked for only when x is raised.
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
pub mod strict_json;
mod time;
pub mod tls;
mod vouched;

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
