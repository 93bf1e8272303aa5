//! gRPC by hand: calls over one HTTP/2 connection, with any header and any byte. In: an endpoint and an [`Ask`]. Out: the messages as they
//! came, and how the call ended. Never retries, never adds a header that the ask does not name, never believes a length.
mod ask;
mod call;
mod end;
pub mod frame;

pub use ask::{Ask, SECURITY_HEADER};
pub use call::{Call, Event};
pub use end::{Code, End};

use crate::endpoint::Endpoint;
use bytes::Bytes;
use h2::client::SendRequest;
use std::time::Duration;

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The socket.
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    /// HTTP/2.
    #[error("no HTTP/2 over the plain connection: {0}")]
    Http2(h2::Error),
    /// Too slow.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// Not a message of this type.
    #[error("a message that cannot be decoded: {0}")]
    Message(prost::DecodeError),
}

/// One HTTP/2 connection. Clones share it.
#[derive(Clone)]
pub struct Channel {
    send: SendRequest<Bytes>,
    // The connection is driven for as long as somebody can use it.
    _driver: std::sync::Arc<Driver>,
}

struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

impl Channel {
    /// Connects and speaks HTTP/2 with prior knowledge.
    pub async fn open(endpoint: &Endpoint, patience: Duration) -> Result<Self, Trouble> {
        let stream = within(patience, endpoint.connect())
            .await?
            .map_err(Trouble::Connect)?;
        let (mut send, mut connection) = within(patience, h2::client::handshake(stream))
            .await?
            .map_err(Trouble::Http2)?;
        let mut pings = connection.ping_pong();
        let driver = tokio::spawn(async move {
            // How a connection ends shows in its calls.
            drop(connection.await);
        });
        send = within(patience, send.ready()).await?.map_err(Trouble::Http2)?;
        // Writing always works: only an answer tells that the other side speaks HTTP/2.
        if let Some(pings) = &mut pings {
            within(patience, pings.ping(h2::Ping::opaque()))
                .await?
                .map_err(Trouble::Http2)?;
        }
        Ok(Self {
            send,
            _driver: std::sync::Arc::new(Driver(driver)),
        })
    }

    /// Begins a call: sends its headers and what the ask has of a body.
    pub async fn call(&self, ask: Ask, patience: Duration) -> Result<Call, Trouble> {
        let mut send = within(patience, self.send.clone().ready())
            .await?
            .map_err(Trouble::Http2)?;
        let (head, body, ends) = ask.into_parts();
        let only_headers = ends && body.is_empty();
        let (response, mut body_sender) = send.send_request(head, only_headers).map_err(Trouble::Http2)?;
        if !only_headers && !body.is_empty() {
            // A server that answers before the body has come closes the stream: its answer is what counts.
            drop(body_sender.send_data(body, ends));
        }
        Ok(Call::new(response, body_sender, patience))
    }
}

/// With an end to the waiting.
pub async fn within<T>(time: Duration, what: impl Future<Output = T>) -> Result<T, Trouble> {
    tokio::time::timeout(time, what)
        .await
        .map_err(|_| Trouble::Slow(time))
}
