//! Connects to a route's target. In: where it is. Out: a stream, or why not. Looks names up anew each time, and tries all addresses.
use super::refusal::Refusal;
use crate::config::Target;
use crate::http::Stream;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

/// Connects within a time.
pub(super) async fn dial(target: &Target, within: Duration) -> Result<Stream, Refusal> {
    match timeout(within, connect(target)).await {
        Ok(done) => done,
        Err(_elapsed) => Err(Refusal::ConnectTimeout {
            target: target.to_string(),
            after: within,
        }),
    }
}

async fn connect(target: &Target) -> Result<Stream, Refusal> {
    let failed = |source| Refusal::Connect {
        target: target.to_string(),
        source,
    };
    match target {
        Target::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix).map_err(failed),
        Target::Tcp(address) => tcp(*address).await.map_err(failed),
        Target::Name { host, port } => {
            let found = lookup_host((host.as_str(), *port)).await;
            let found = found.map_err(|source| Refusal::LookUp {
                target: target.to_string(),
                source,
            })?;
            let mut last = Refusal::NoAddress {
                target: target.to_string(),
            };
            for address in found {
                match tcp(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(source) => last = failed(source),
                }
            }
            Err(last)
        }
    }
}

async fn tcp(address: SocketAddr) -> std::io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    // What is copied is whole as it comes; where this fails it is only later.
    stream.set_nodelay(true).ok();
    Ok(Stream::Tcp(stream))
}
