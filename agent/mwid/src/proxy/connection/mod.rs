//! One connection, from its first byte to its last. In: an accepted stream and its route. Out: bytes, copied both ways, and a line in the record. Never
//! a plain byte in either direction before the peer at the other end of the TLS was verified and decided.
mod arrive;
mod caller;
mod establish;
mod outbound;
pub(super) mod run;

use super::alive;
use super::copiers::Socket;
use super::http::{self, Served};
use super::metrics::Open;
use super::peers::Seat;
use super::record::{Facts, Moved, Record};
use super::refusal::End;
use super::route::Route;
use super::splice::Splice;
use crate::http::Stream;
use establish::{Leave, Made, Refused, Way};
use run::Over;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Serves one connection to its end. `slot` is its place among the route's connections.
pub(super) fn serve(
    route: Arc<Route>,
    stream: Stream,
    slot: OwnedSemaphorePermit,
) -> impl Future<Output = ()> {
    // It came now, whenever its task has its first turn: of two who wait for a handshake's place, that says who came last.
    serve_since(Instant::now(), route, stream, slot)
}

async fn serve_since(since: Instant, route: Arc<Route>, stream: Stream, slot: OwnedSemaphorePermit) {
    let from = match &stream {
        Stream::Tcp(tcp) => tcp.peer_addr().ok(),
        Stream::Unix(_) => None,
    };
    alive::limit(&stream, route.settings.timeouts.unacknowledged);
    let record = &route.named.record;
    // Before all else, so that it goes last.
    let _memory = route.shared.memory.connection();
    let _open = Open::new(&record.counters);
    let mut facts = Facts {
        route: route.name(),
        from,
        to: None,
        since,
    };
    let made = match Box::pin(arrive::arrive(&route, stream, &mut facts)).await {
        // Both boxed: what a handshake needs is much, and is given back when it is done.
        Ok((stream, turn)) => Box::pin(establish::establish(&route, stream, turn, &mut facts)).await,
        Err(refused) => Err(refused),
    };
    let Made {
        way,
        seat,
        at: _counted,
        caller,
    } = match made {
        Ok(made) => made,
        Err(refused) => {
            let leave = tell(record, &facts, *refused);
            drop(slot);
            // Boxed, for its room: whoever was let in needs none of it.
            Box::pin(leave.take(&route.partings)).await;
            return;
        }
    };
    record.counters.made.inc();
    let (moved, end) = match way {
        Way::Copy(splice) => {
            let Over { splice, end } = run::run(&route, splice, &seat, caller, since).await;
            let moved = Moved {
                received: splice.as_ref().map_or(0, |splice| splice.received()),
                sent: splice.as_ref().map_or(0, |splice| splice.sent()),
                requests: None,
            };
            if let Some(splice) = splice {
                part(*splice, &end);
            }
            (moved, end)
        }
        // Boxed: the other way needs less.
        Way::Http(link, early) => {
            let served = Box::pin(http::serve(&route, link, early, &seat, since)).await;
            let Served { end, moved } = served;
            (moved, end)
        }
    };
    record.ended(&facts, seat.peer(), moved, &end);
    drop(slot);
}

/// Puts a refusal on record.
fn tell(record: &Record, facts: &Facts<'_>, refused: Refused) -> Leave {
    let Refused { refusal, seat, leave } = refused;
    record.refused(facts, seat.as_ref().map(Seat::peer), &refusal);
    leave
}

/// Lets go of both streams, so that nobody takes a cut for an end.
fn part(splice: Splice<Socket>, end: &End) {
    let Splice { link, plain, .. } = splice;
    match end {
        End::Closed => {}
        // The alert is on its way, and would be lost.
        End::Tls(_) => plain.abort(),
        _ => {
            plain.abort();
            link.stream.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what a function with three arguments waits with.
    fn room<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// What most connections do not need is boxed: a caller, a parting, HTTP.
    #[test]
    fn a_connection_waits_in_little_room() {
        let room = room(serve);
        assert!(room <= 1100, "{room} bytes");
    }
}
