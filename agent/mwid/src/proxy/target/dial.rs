//! Connects to one target. In: where it is. Out: a stream, or why not.
use super::super::alive;
use super::super::refusal::{Refusal, Tried};
use super::eyeballs::{interleaved, race};
use super::names::Name;
use crate::config::Target;
use crate::http::Stream;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpStream, UnixStream};

/// `name` is that of a target that is one. True where the addresses of an earlier look-up had to do.
pub(super) async fn connect(target: &Target, name: Option<&Arc<Name>>) -> (Result<Stream, Refusal>, bool) {
    let failed = |source| Refusal::Connect {
        target: target.to_string(),
        source,
    };
    let stream = match (target, name) {
        (Target::Unix(path), _) => UnixStream::connect(path).await.map(Stream::Unix),
        (Target::Tcp(address), _) => tcp(*address).await,
        (Target::Name { port, .. }, Some(name)) => return named(target, *port, name).await,
        // Every such target is made with its name.
        (Target::Name { .. }, None) => Err(io::ErrorKind::AddrNotAvailable.into()),
    };
    (stream.map_err(failed), false)
}

async fn named(target: &Target, port: u16, name: &Arc<Name>) -> (Result<Stream, Refusal>, bool) {
    let found = match name.addresses().await {
        Ok(found) => found,
        Err(source) => {
            let refusal = Refusal::LookUp {
                target: target.to_string(),
                source,
            };
            return (Err(refusal), false);
        }
    };
    let addresses = name.best_first(interleaved(&found.addresses));
    let addresses = addresses
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect();
    let connected = race(addresses, tcp).await.map(|(stream, losers)| {
        name.lost(losers.iter().map(SocketAddr::ip));
        stream
    });
    let connected = connected.map_err(|failed| {
        let mut tried = Tried::default();
        for (address, error) in failed {
            tried.add_error(&address.to_string(), &error);
        }
        Refusal::NoneAnswers {
            target: target.to_string(),
            tried,
        }
    });
    (connected, found.stale)
}

async fn tcp(address: SocketAddr) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    // What is copied is whole as it comes; where this fails it is only later.
    stream.set_nodelay(true).ok();
    alive::watch_dialled(&stream, address);
    Ok(Stream::Tcp(stream))
}
