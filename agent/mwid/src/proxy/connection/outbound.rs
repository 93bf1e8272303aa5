//! Makes the connection of an outbound route. In: a caller's stream, the targets. Out: both sides, ready to be copied, or a refusal. A target that fails leaves
//! the connection to the next one; nothing of what the caller sends is read before one was reached that may be there.
use super::super::handshake;
use super::super::link::Link;
use super::super::peers::Seat;
use super::super::places::Turn;
use super::super::record::Facts;
use super::super::refusal::Refusal;
use super::super::route::Route;
use super::super::splice::{Early, abort};
use super::super::target::{Attempts, Chosen};
use super::caller::Caller;
use super::establish::{Leave, Made, Refused, decide, dial, made, refused, shake, unless};
use crate::http::Stream;
use mtls_identity::peer::PeerRole;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

pub(super) async fn outbound(
    route: &Arc<Route>,
    stream: Stream,
    facts: &mut Facts<'_>,
) -> Result<Made, Box<Refused>> {
    let mut caller = match Caller::meet(route, &stream) {
        // Boxed, for its room: most routes are inbound.
        Ok(caller) => Box::new(caller),
        Err(refusal) => return Err(refused(refusal, None, Leave::Abort(stream))),
    };
    let mut attempts = route.targets.attempts(&route.settings.timeouts);
    // Nothing was read of what the caller sends, so that no byte of it is lost where one target fails and another takes its place.
    loop {
        let (link, seat, early, at) = match attempt(route, &mut caller, &mut attempts, facts).await {
            Ok(done) => done,
            Err(Missed::Over(refused)) => {
                // The caller need not wait until the peer has read its alert.
                abort(stream);
                return Err(refused);
            }
            Err(Missed::Target) => continue,
        };
        at.worked();
        return Ok(made(link, (stream, at), Vec::new(), early, seat, Some(caller)));
    }
}

/// A target that was not reached.
enum Missed {
    /// The next one is tried.
    Target,
    Over(Box<Refused>),
}

impl Missed {
    fn before_all(refusal: Refusal) -> Self {
        Self::Over(refused(refusal, None, Leave::Gone))
    }
}

type Reached = (Box<Link>, Seat, Early, Chosen);

/// Reaches the next target that answers, and who may be there.
async fn attempt(
    route: &Arc<Route>,
    caller: &mut Caller,
    attempts: &mut Attempts,
    facts: &Facts<'_>,
) -> Result<Reached, Missed> {
    let gone = async {
        tokio::select! {
            why = caller.lost(route) => Refusal::Caller(why),
            () = route.named.over.cancelled() => Refusal::Over,
        }
    };
    let dialled = unless(gone, async {
        let (wire, at) = dial(route, attempts).await?;
        Ok((wire, at, turn(route).await?))
    });
    let (wire, at, turn) = dialled.await.map_err(Missed::before_all)?;
    let begun = Instant::now();
    let met = meet(route, wire, (&at, attempts.handshake()), turn, facts).await;
    let met = met.and_then(|(link, seat, early)| match caller.decide(route) {
        Ok(()) => Ok((link, seat, early)),
        Err(why) => Err(refused(Refusal::Caller(why), Some(seat), Leave::Dismiss(link))),
    });
    let (link, seat, early) = match met {
        Ok(met) => met,
        Err(no) => return Err(missed(route, attempts, (at, begun), *no, facts)),
    };
    Ok((link, seat, early, at))
}

/// The handshake with a target, and the decision about it.
async fn meet(
    route: &Route,
    mut wire: Stream,
    (at, limit): (&Chosen, Duration),
    turn: Turn,
    facts: &Facts<'_>,
) -> Result<(Box<Link>, Seat, Early), Box<Refused>> {
    if handshake::speaks_first(&mut wire).await {
        return Err(refused(Refusal::SpokeFirst, None, Leave::Abort(wire)));
    }
    let generation = route.shared.reader.generation();
    let (link, early) = shake(route, wire, &turn, Some(at.target()), limit).await?;
    drop(turn);
    let (link, seat) = decide(route, link, PeerRole::Server, generation, facts)?;
    Ok((link, seat, early))
}

/// Sets a target aside that failed, and parts from it.
fn missed(
    route: &Arc<Route>,
    attempts: &mut Attempts,
    (at, begun): (Chosen, Instant),
    no: Refused,
    facts: &Facts<'_>,
) -> Missed {
    let Refused { refusal, seat, leave } = no;
    match attempts.failed(&at, refusal, begun) {
        Ok(refusal) => {
            let peer = seat.as_ref().map(Seat::peer);
            route.named.record.passed_over(facts, at.target(), peer, &refusal);
            let route = Arc::clone(route);
            // Nobody waits until it has read why.
            tokio::spawn(async move { leave.take(&route.partings).await });
            Missed::Target
        }
        Err(refusal) => Missed::Over(refused(refusal, seat, leave)),
    }
}

/// A place for the handshake with a target that answers. Whoever waits for one waits within the time of a handshake.
async fn turn(route: &Route) -> Result<Turn, Refusal> {
    let limit = route.settings.timeouts.handshake;
    match timeout(limit, route.place(Instant::now())).await {
        Ok(Ok(place)) => Ok(route.turns.begin(place)),
        // Places are never closed while their route is here.
        Ok(Err(_closed)) => Err(Refusal::Over),
        Err(_elapsed) => Err(Refusal::Timeout(limit)),
    }
}
