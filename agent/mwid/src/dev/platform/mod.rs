//! The embedded platform's metadata server: as strict as Compute Engine's, with tokens that a published JWKS verifies.
//!
//! In: nothing from outside this machine. Out: a server on a free port of 127.0.0.1. Never anything that a real platform would believe.
use crate::shutdown::Shutdown;
use mtls_identity::Clock;
use std::io;
use std::net::SocketAddr;

/// Starts it; it ends with `shutdown`.
pub(crate) async fn start(_clock: Clock, _shutdown: &Shutdown) -> io::Result<SocketAddr> {
    todo!()
}
