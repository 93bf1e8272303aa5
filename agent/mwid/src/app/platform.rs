//! Where the platform's metadata server is. In: the environment and the firmware's name of the machine, as Google's clients look at them. Out: an address; what of the
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
        product: std::fs::read_to_string("/sys/class/dmi/id/product_name").ok(),
    };
    let (server, error) = Server::of(&environment, &OURS);
    if let Some(error) = error {
        tracing::warn!("{error}");
    }
    server
}
