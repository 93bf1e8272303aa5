//! Connecting to a Workload API. In: where it is. Out: an open connection. Never over a name: only addresses and paths are taken.
use super::error::ClientError;
use crate::config::Endpoint;
use crate::grpc::client::Connection;
use tokio::net::{TcpStream, UnixStream};

impl Endpoint {
    pub(super) async fn connect(&self, largest: usize) -> Result<Connection, ClientError> {
        let endpoint = || self.clone();
        let cannot = |source| ClientError::Connect {
            endpoint: endpoint(),
            source,
        };
        let opened = match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(cannot)?;
                // What gRPC's own clients say on a Unix socket.
                Connection::open(stream, "localhost", largest).await
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(cannot)?;
                Connection::open(stream, &address.to_string(), largest).await
            }
        };
        opened.map_err(|source| ClientError::Call {
            endpoint: endpoint(),
            source,
        })
    }
}
