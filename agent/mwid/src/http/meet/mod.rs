//! How every server here meets its clients: the loop that accepts, and who may have a place.
//!
//! In: connections from a listener, and whose they are. Out: a task for each that has a place; a last word for those that have none. Never ends
//! because of a bad client or a full file table, never spins, never looks at a byte.
mod log;
mod places;

pub(crate) use log::{Log, Misuse};
pub(crate) use places::{Holder, Place};

use super::listener::Accept;
use super::metrics::Server;
use places::Places;
use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The first and the longest pause after a failed accept. A full file table is nobody's fault here and passes.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Connections that are being told that they have no place, and how long that may take. Others are closed without a word: a flood is to stay cheap.
const FAREWELLS: (usize, Duration) = (32, Duration::from_secs(1));

/// Of what such a client says, so much is read and thrown away.
const HEARD: u64 = 64 * 1024;

/// What a connection's task knows of its surroundings.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) place: Place,
    pub(crate) stop: CancellationToken,
    pub(crate) server: Server,
    pub(crate) log: Arc<Log>,
    pub(crate) holder: Option<Holder>,
    _slot: OwnedSemaphorePermit,
}

/// Meets clients until `stop`, then waits for all tasks. `connected` is called once for each connection, before a byte is read; `run` is
/// its task, which ends soon after `stop`. `farewell` says in the server's protocol that a connection has no place.
pub(crate) async fn meet<A, C, F>(
    mut listener: A,
    connections: usize,
    server: Server,
    stop: CancellationToken,
    farewell: &'static [u8],
    connected: impl Fn(&A::Stream) -> (C, Option<Holder>),
    run: impl Fn(A::Stream, C, About) -> F,
) where
    A: Accept,
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(connections));
    let places = Places::new(connections);
    let farewells = Arc::new(Semaphore::new(FAREWELLS.0));
    let log = Arc::new(Log::new(server.name()));
    let tasks = TaskTracker::new();
    let mut pause = PAUSE.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&mut listener, &slots, &places, &server) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                pause = PAUSE.0;
                let (connection, holder) = connected(&stream);
                let Some(place) = places.take(holder) else {
                    server.over_share();
                    log.misused(Misuse::OverShare, holder);
                    if let Ok(turn) = Arc::clone(&farewells).try_acquire_owned() {
                        tasks.spawn(say(farewell, stream, turn));
                    }
                    continue;
                };
                let about = About {
                    place,
                    // An own node in the tree of tokens: its lock is shared with no other connection.
                    stop: stop.child_token(),
                    server: server.clone(),
                    log: Arc::clone(&log),
                    holder,
                    _slot: slot,
                };
                tasks.spawn(run(stream, connection, about));
            }
            Err(e) if is_the_clients(&e) => {}
            Err(e) => {
                server.accept_failed();
                if pause == PAUSE.0 {
                    tracing::warn!(
                        listener = server.name(),
                        error = &e as &dyn Error,
                        "cannot accept connections, trying on"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Tells a client that it has no place, if it takes the few bytes at once. A client that still writes when the connection is closed would not read
/// them.
async fn say<T>(farewell: &[u8], mut stream: T, _turn: OwnedSemaphorePermit)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let said = async {
        stream.write_all(farewell).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(HEARD), &mut tokio::io::sink()).await
    };
    // Who does not take them is closed like one who does.
    drop(tokio::time::timeout(FAREWELLS.1, said).await);
}

/// Waits for a free slot before it accepts, so that who has to wait costs us nothing.
async fn accept<A: Accept>(
    listener: &mut A,
    slots: &Arc<Semaphore>,
    places: &Places,
    server: &Server,
) -> io::Result<(A::Stream, OwnedSemaphorePermit)> {
    let slot = match Arc::clone(slots).try_acquire_owned() {
        Ok(slot) => slot,
        Err(_) => {
            if server.filled_up() {
                tracing::warn!(
                    listener = server.name(),
                    "all connections are taken, new ones wait"
                );
            }
            loop {
                places.make_room();
                let free = Arc::clone(slots).acquire_owned();
                if let Ok(slot) = tokio::time::timeout(places::LOOK, free).await {
                    break slot.map_err(io::Error::other)?;
                }
            }
        }
    };
    Ok((listener.accept().await?, slot))
}

/// Errors of one connection that went away before we took it.
fn is_the_clients(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
