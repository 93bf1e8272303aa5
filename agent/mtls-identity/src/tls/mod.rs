//! rustls configs that follow the store. In: the store's [`Reader`](crate::Reader), a crypto provider and a clock. Out: one server and one
//! client config for mutual TLS, and the peer behind a connection. Never installs a provider for the process, never writes to the store.
//!
//! # What every handshake does
//!
//! 1. It shows the newest identity in the store. Without one, or past its `not_after`, it fails on both sides.
//! 2. It reads the peer's SPIFFE ID from the leaf (exactly one URI SAN, no CA, ...), takes the trust bundle of *that* trust domain and
//!    verifies the chain against it, once. The roots of two trust domains are never put together, so that no domain's CA can vouch for
//!    another domain's names (SPIFFE Trust Domain and Bundle, section 5).
//!    A chain that these bundles have vouched for is remembered, a few hundred of them, until the identity or a bundle changes: a peer that
//!    connects again within the time of its certificates proves that it has the key, and the signatures above it are not computed again.
//! 3. When it is done, whether the peer may is decided from that ID by a [`PeerPolicy`](crate::PeerPolicy).
//!
//! A rotation touches no open connection, and the next handshake uses the new identity. A connection that lives through a change of trust
//! bundles or policy is decided again by [`Redecide`].
//!
//! # No resumption
//!
//! A resumed session skips the certificates of both sides. With rustls's defaults a peer would come back in after its certificate expired,
//! after its trust domain was removed, and would go on to see our old certificate after a rotation: the verifier is not even called. So
//! both configs have resumption off in TLS 1.3 and 1.2: a client that asks for it gets a full handshake, and
//! [`TlsOptions::on_asked_to_resume`] tells that it asked. A full handshake costs well under a millisecond more.
//!
//! # Not done
//!
//! Certificate revocation lists: no source delivers one today. Short-lived certificates, and taking a root out of the bundle, are the
//! means to revoke.
//!
//! # A server
//!
//! ```no_run
//! use mtls_identity::tls::{Acceptor, TlsOptions};
//! use mtls_identity::{IdPattern, PeerPolicy, Reader};
//! use rustls::{crypto::aws_lc_rs, time_provider::DefaultTimeProvider};
//! use std::sync::Arc;
//! use tokio::io::AsyncWriteExt;
//!
//! # async fn serve(reader: Reader) -> Result<(), Box<dyn std::error::Error>> {
//! let options = TlsOptions::new(Arc::new(aws_lc_rs::default_provider()), Arc::new(DefaultTimeProvider));
//! let policy = PeerPolicy::nobody().allow(IdPattern::parse("spiffe://shop.example/ns/web/sa/*")?);
//! let acceptor = Acceptor::new(reader, &options, policy)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8443").await?;
//! loop {
//!     let (tcp, _) = listener.accept().await?;
//!     let acceptor = acceptor.clone();
//!     tokio::spawn(async move {
//!         match acceptor.accept(tcp).await {
//!             Ok((mut stream, peer)) => drop(stream.write_all(format!("hello {}\n", peer.id()).as_bytes()).await),
//!             Err(error) => eprintln!("{}: {error}", error.reason()),
//!         }
//!     });
//! }
//! # }
//! ```
//!
//! # A client
//!
//! ```no_run
//! # use mtls_identity::tls::{Connector, TlsOptions};
//! # use mtls_identity::{PeerPolicy, Reader, SpiffeId};
//! # use tokio::io::AsyncReadExt;
//! # async fn call(reader: Reader, options: TlsOptions) -> Result<(), Box<dyn std::error::Error>> {
//! let policy = PeerPolicy::nobody().allow(SpiffeId::parse("spiffe://shop.example/ns/web/sa/cart")?);
//! let connector = Connector::new(reader, &options, policy)?;
//! let tcp = tokio::net::TcpStream::connect("127.0.0.1:8443").await?;
//! let (mut stream, peer) = connector.connect(tcp).await?;
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer).await?;
//! println!("{} says {answer}", peer.id());
//! # Ok(())
//! # }
//! ```

mod client;
mod handshake;
mod options;
mod redecide;
mod refusal;
mod resolver;
mod resumption;
mod server;
#[cfg(feature = "tokio")]
mod stream;
mod taken;
mod usable;
mod verifier;

#[cfg(test)]
mod tests;

pub use client::client_config;
pub use handshake::PeerError;
pub use options::{TlsConfigError, TlsOptions};
pub use redecide::{NoLonger, Redecide};
pub use refusal::PeerRefusal;
pub use server::server_config;
#[cfg(feature = "tokio")]
pub use stream::{Acceptor, ConnectionError, Connector};
pub use taken::RootsTaken;
pub use usable::IdentityUnusable;
