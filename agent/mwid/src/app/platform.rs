//! Where the platform's metadata server is. In: the environment that Google's clients look at. Out: an address; what of the
//! environment is not followed is said once, in the log. Never ourselves.
use crate::metadata::{Environment, Server};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the metadata-compatible API is for local programs, whose environment this process may have been given.
const OURS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8174),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 8174),
];

pub(crate) fn server() -> Server {
    let environment = Environment {
        host: std::env::var("GCE_METADATA_HOST").ok(),
        ip: std::env::var("GCE_METADATA_IP").ok(),
    };
    let (server, error) = Server::of(&environment, &OURS);
    if let Some(error) = error {
        tracing::warn!("{error}");
    }
    server
}
