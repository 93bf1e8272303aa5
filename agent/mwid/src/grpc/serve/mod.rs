//! The server: its connections, and the calls of each.
//!
//! In: connections from a listener. Out: answers of the service. A connection and all its calls are one task, so that what is sent to many
//! streams of one client goes out together. Never lets a client that is slow, silent or hostile delay another connection.
mod answer;
mod authority;
mod call;
mod connection;
mod head;
mod limits;
mod preface;
mod sending;
mod shares;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Answer, Dated, Revoked};
pub(crate) use call::Call;
pub(crate) use limits::Limits;
pub(super) use shares::{Purse, Shares};

use super::metrics::Server;
use crate::http::Holder;
use crate::http::listener::Accept;
use crate::http::meet::meet;
use connection::Connection;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Meets connections.
pub(crate) trait Service<S>: Send + Sync + 'static {
    /// What answers the calls of one connection.
    type Connection: Calls;

    /// Called once for each connection, before a byte is read: the place to attest the other side, which is not done twice. One that is
    /// not wanted gets a connection that says so to every call. Also tells whose share of the places and the streams the connection
    /// takes; none where nobody can tell one client from another.
    fn connected(&self, stream: &S) -> (Self::Connection, Option<Holder>);
}

/// Answers the calls of one connection, many at a time.
pub(crate) trait Calls: Send + Sync + 'static {
    /// Whether there is something at this path: who speaks no gRPC is told so if there is, and else that there is nothing.
    fn knows(&self, path: &str) -> bool;

    /// Whether this connection is of no more use to its client, and another one may be: looked at after each call, it closes then, so that the
    /// client, whose library keeps what it has, comes anew.
    fn is_spent(&self) -> bool {
        false
    }

    /// Runs in the connection's own task: what takes long must wait, not work. Dropped before it ends when the client goes away or does
    /// not wait any longer; so is the stream of an answer.
    fn call(self: Arc<Self>, call: Call) -> impl Future<Output = Answer> + Send;
}

/// Streams that a client broke off and that we still have to look at; and those that we break off because of its mistakes. Who has more
/// loses its connection (CVE-2023-44487, "rapid reset").
const BROKEN_OFF: (usize, usize) = (20, 64);
/// What a client may send before we read it: of one stream, and of all of its connection. A message is small.
const WINDOWS: (u32, u32) = (64 * 1024 - 1, 64 * 1024 - 1);

/// Serves until `stop`; then takes no new connection, ends all streams so that their clients connect anew, finishes what is worked on within
/// [`Limits::drain`] and returns.
pub(crate) async fn serve<A, S>(
    listener: A,
    service: Arc<S>,
    limits: Limits,
    server: Server,
    stop: CancellationToken,
) where
    A: Accept,
    S: Service<A::Stream>,
{
    let connections = limits.connections;
    let http = server.http.clone();
    let shares = Shares::new(limits.streams, limits.half_messages);
    let protocol = protocol(&limits);
    let limits = Arc::new(limits);
    let connected = |stream: &A::Stream| service.connected(stream);
    let run = |stream, calls, about| {
        let connection = Connection {
            protocol: protocol.clone(),
            limits: Arc::clone(&limits),
            shares: Arc::clone(&shares),
            server: server.clone(),
            calls: Arc::new(calls),
            about,
        };
        connection.run(stream)
    };
    meet(listener, connections, http, stop, NO_PLACE, connected, run).await;
}

/// To a user who has his share of the connections, whatever he says: SETTINGS, then GOAWAY before the first stream with ENHANCE_YOUR_CALM, which
/// clients of gRPC take for UNAVAILABLE and come again later.
const NO_PLACE: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x4f\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b\
    this user has as many connections open as one user may have: close some";

fn protocol(limits: &Limits) -> h2::server::Builder {
    let mut protocol = h2::server::Builder::new();
    protocol
        .initial_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_concurrent_streams(limits.streams_of_connection)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(BROKEN_OFF.0)
        .max_local_error_reset_streams(Some(BROKEN_OFF.1))
        .max_concurrent_reset_streams(BROKEN_OFF.0)
        .reset_stream_duration(Duration::from_secs(1))
        // A stream has room for the next message when it has next to nothing left: what a slow client did not take is never more than one and a
        // short one. Whether there is room for so much can be asked for.
        .max_send_buffer_size(sending::SHORT);
    protocol
}
