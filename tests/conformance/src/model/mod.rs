//! A server to try the suite on: it conforms, or breaks exactly one sentence. In: an endpoint and a [`Flaw`]. Out: a Workload API and SDS with two
//! identities of one trust domain, a federated one, JWTs and WITs. It attests nobody and its keys are worth nothing: never a server for workloads.
mod connection;
mod delta;
mod flaw;
mod inbound;
mod jwt;
mod pki;
mod reflect;
mod reply;
mod sds;
mod tokens;
mod validator;
mod wit;
mod workload;
mod world;

pub use flaw::Flaw;

use crate::endpoint::{Endpoint, Stream};
use connection::Shared;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use world::World;

/// A running model; stops when dropped.
#[derive(Debug)]
pub struct Model {
    /// Where it serves.
    pub endpoint: Endpoint,
    /// Where it serves too, and nobody has an identity.
    pub denied: Endpoint,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Model {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Model {
    /// Serves at an endpoint, and at the same with `.denied` (for TCP: a free port). `slow` is how long a flaw lets wait; `now` is since the epoch.
    pub async fn start(endpoint: &Endpoint, flaw: Flaw, slow: Duration, now: Duration) -> io::Result<Self> {
        let world = World::new(flaw, now).map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            flaw,
            slow,
            world: watch::Sender::new(Arc::new(world)),
        });
        let beside = match endpoint {
            Endpoint::Unix(path) => {
                let mut path = path.clone().into_os_string();
                path.push(".denied");
                Endpoint::Unix(PathBuf::from(path))
            }
            Endpoint::Tcp(address) => Endpoint::Tcp((address.ip(), 0).into()),
        };
        let (endpoint, main) = listen(endpoint, shared.clone(), false).await?;
        let (denied, other) = listen(&beside, shared.clone(), true).await?;
        Ok(Self {
            endpoint,
            denied,
            shared,
            tasks: vec![main, other],
        })
    }

    /// New keys and certificates for everybody.
    pub fn rotate(&self) {
        let next = self.shared.world.borrow().next();
        if let Ok(next) = next {
            self.shared.world.send_replace(Arc::new(next));
        }
    }

    /// What makes it rotate, for [`crate::options::Rotation::Call`].
    pub fn rotation(&self) -> Arc<dyn Fn() + Send + Sync> {
        let shared = self.shared.clone();
        Arc::new(move || {
            let next = shared.world.borrow().next();
            if let Ok(next) = next {
                shared.world.send_replace(Arc::new(next));
            }
        })
    }

    /// A token of the first identity that has expired.
    pub fn expired_jwt(&self, audience: &str) -> String {
        self.shared.world.borrow().expired(audience)
    }
}

async fn listen(at: &Endpoint, shared: Arc<Shared>, denied: bool) -> io::Result<(Endpoint, JoinHandle<()>)> {
    Ok(match at {
        Endpoint::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            let accept = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    spawn(stream, &shared, denied);
                }
            };
            (at.clone(), tokio::spawn(accept))
        }
        Endpoint::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let bound = Endpoint::Tcp(listener.local_addr()?);
            let accept = async move {
                while let Ok((stream, _)) = listener.accept().await {
                    spawn(stream, &shared, denied);
                }
            };
            (bound, tokio::spawn(accept))
        }
    })
}

fn spawn(stream: impl Stream + 'static, shared: &Arc<Shared>, denied: bool) {
    tokio::spawn(connection::serve(stream, shared.clone(), denied));
}
