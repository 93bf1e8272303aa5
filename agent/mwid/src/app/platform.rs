//! Where the platform's metadata server is. In: the environment and the firmware's name of the machine, as Google's clients look at them. Out: an address; what of the
//! environment is not followed is said once, in the log. Never ourselves.
use crate::config::{Address, DoorSettings};
use crate::metadata::{Environment, Server};
use std::net::SocketAddr;

/// As the settings of the metadata-compatible API have it; for who does not listen there himself.
pub(crate) fn metadata_server(ours: &DoorSettings) -> Server {
    let listen = ours.listen.iter().filter_map(|address| match address {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) | Address::Systemd(_) => None,
    });
    server(&listen.collect::<Vec<_>>())
}

/// `ours` is where the metadata-compatible API is for local programs, whose environment this process may have been given.
pub(super) fn server(ours: &[SocketAddr]) -> Server {
    let environment = Environment {
        host: std::env::var("GCE_METADATA_HOST").ok(),
        root: std::env::var("GCE_METADATA_ROOT").ok(),
        ip: std::env::var("GCE_METADATA_IP").ok(),
        product: std::fs::read_to_string("/sys/class/dmi/id/product_name").ok(),
    };
    let (server, error) = Server::of(&environment, ours);
    if let Some(error) = error {
        tracing::warn!("{error}");
    }
    server
}

/// The embedded platform in the place of Compute Engine's. It has no gRPC door.
pub(super) fn embedded(http: SocketAddr) -> Server {
    Server {
        http,
        grpc: http,
        expected: true,
    }
}
