//! Makes a connection: handshake, decision, target; on outbound routes the caller and the target first. In: an accepted stream. Out: both sides, ready to
//! be copied, or a refusal and how to part. Each step has its limit. On outbound routes a target that fails leaves the connection to the next one.
use super::super::alive;
use super::super::handshake::{self, Failed, close_gently, dismiss, say_end};
use super::super::link::Link;
use super::super::peers::Seat;
use super::super::places::Turn;
use super::super::proxy_protocol;
use super::super::record::Facts;
use super::super::refusal::Refusal;
use super::super::route::{Config, Decision, Route, server_name};
use super::super::splice::{Early, Splice, abort};
use super::super::target::{Attempts, Chosen};
use super::super::tls::Tls;
use super::caller::Caller;
use super::outbound;
use crate::config::{SendProxy, Target};
use crate::http::Stream;
use mtls_identity::peer::PeerRole;
use mtls_identity::tls::IdentityUnusable;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A connection that was made.
pub(super) struct Made {
    pub(super) way: Way,
    pub(super) seat: Seat,
    /// Where it goes; none: each request chooses.
    pub(super) at: Option<Chosen>,
    /// On outbound routes.
    pub(super) caller: Option<Box<Caller>>,
}

/// How it goes on.
pub(super) enum Way {
    /// To a program whose connection was made too.
    Copy(Box<Splice>),
    /// The application is asked when there is a request.
    Http(Box<Link>, Early),
}

/// A connection that was not.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    /// Where the peer is known.
    pub(super) seat: Option<Seat>,
    pub(super) leave: Leave,
}

/// How to part from whoever connected.
pub(super) enum Leave {
    /// There is an alert to be read.
    Gently(Box<Link>),
    /// The handshake was done, so that the end is said in TLS.
    Dismiss(Box<Link>),
    /// With a reset: what it sent goes nowhere.
    Abort(Stream),
    /// It is closed already.
    Gone,
}

impl Leave {
    /// Parts; waits for the peer only where one of `places` is free.
    pub(super) async fn take(self, places: &Semaphore) {
        let place = places.try_acquire();
        match self {
            Self::Gently(link) if place.is_ok() => close_gently(link).await,
            Self::Dismiss(link) if place.is_ok() => dismiss(link).await,
            // Its alert is in the kernel's hands already; whether the peer gets to read it is not worth a place.
            Self::Gently(_) => {}
            Self::Dismiss(mut link) => say_end(&mut link).await,
            Self::Abort(stream) => abort(stream),
            Self::Gone => {}
        }
    }
}

pub(super) fn refused(refusal: Refusal, seat: Option<Seat>, leave: Leave) -> Box<Refused> {
    Box::new(Refused { refusal, seat, leave })
}

pub(super) async fn establish(
    route: &Arc<Route>,
    stream: Stream,
    turn: Option<Turn>,
    facts: &mut Facts<'_>,
) -> Result<Made, Box<Refused>> {
    match turn {
        Some(turn) => inbound(route, stream, turn, facts).await,
        // It dials first.
        None => outbound::outbound(route, stream, facts).await,
    }
}

async fn inbound(
    route: &Arc<Route>,
    stream: Stream,
    turn: Turn,
    facts: &mut Facts<'_>,
) -> Result<Made, Box<Refused>> {
    let to = match &stream {
        _ if facts.to.is_some() => facts.to,
        Stream::Tcp(tcp) if route.settings.send_proxy != SendProxy::None => tcp.local_addr().ok(),
        Stream::Tcp(_) | Stream::Unix(_) => None,
    };
    let generation = route.shared.reader.generation();
    // Of all of it, the wait for the first byte and for a place with it.
    let limit = route
        .settings
        .timeouts
        .handshake
        .saturating_sub(facts.since.elapsed());
    let shaken = shake(route, stream, &turn, None, limit).await;
    let link = match &shaken {
        Ok((link, _)) => Some(link),
        Err(refused) => match &refused.leave {
            Leave::Gently(link) => Some(link),
            _ => None,
        },
    };
    if link.is_some_and(|link| link.asked_to_resume) {
        route.named.record.not_resumed(facts);
    }
    let (link, early) = shaken?;
    // Whoever has shown who he is, holds no place of those who have not.
    drop(turn);
    let (link, seat) = decide(route, link, PeerRole::Client, generation, facts)?;
    if route.settings.http.is_some() {
        return Ok(Made {
            way: Way::Http(link, early),
            seat,
            at: None,
            caller: None,
        });
    }
    let how = route.settings.send_proxy;
    let Some(header) = proxy_protocol::header(how, facts.from, to, seat.peer(), link.tls.state()) else {
        return Err(refused(
            Refusal::LongHeader,
            Some(seat),
            Leave::Abort(link.stream),
        ));
    };
    let gone = async {
        seat.gone().await;
        seat.why().map_or(Refusal::Over, Refusal::NoLonger)
    };
    let mut attempts = route.targets.attempts(&route.settings.timeouts);
    let (plain, at) = match unless(gone, dial(route, &mut attempts)).await {
        Ok(dialled) => dialled,
        Err(refusal) => return Err(refused(refusal, Some(seat), Leave::Abort(link.stream))),
    };
    // The dial may have taken long: nothing is passed on for a peer whom changes of that time do not let in.
    if let Err(refusal) = still(route, &seat, generation) {
        abort(plain);
        return Err(refused(refusal, Some(seat), Leave::Abort(link.stream)));
    }
    Ok(made(link, (plain, at), header, early, seat, None))
}

pub(super) async fn dial(route: &Route, attempts: &mut Attempts) -> Result<(Stream, Chosen), Refusal> {
    let (stream, at) = attempts.connect().await?;
    alive::limit(&stream, route.settings.timeouts.unacknowledged);
    if route.is_inbound() {
        at.worked();
    }
    Ok((stream, at))
}

/// What is done, unless whoever it is for has to go first.
pub(super) async fn unless<T>(
    gone: impl Future<Output = Refusal>,
    done: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::select! {
        biased;
        refusal = gone => Err(refusal),
        done = done => done,
    }
}

/// Whether the peer would be let in now. Those who are here are decided again one after another, and this one's turn may not have come.
fn still(route: &Route, seat: &Seat, generation: u64) -> Result<(), Refusal> {
    if route.shared.reader.generation() != generation {
        route.named.decide_again(seat.known(), &route.shared);
    }
    if let Some(why) = seat.why() {
        return Err(Refusal::NoLonger(why));
    }
    let decided = route.decide(seat.peer());
    decided.map(drop).map_err(Refusal::NotAllowed)
}

pub(super) fn made(
    link: Box<Link>,
    (plain, at): (Stream, Chosen),
    header: Vec<u8>,
    early: Early,
    seat: Seat,
    caller: Option<Box<Caller>>,
) -> Made {
    Made {
        way: Way::Copy(Box::new(Splice::new(*link, plain, header, early))),
        seat,
        at: Some(at),
        caller,
    }
}

/// The handshake within its time; `target` is the other side's, on outbound routes.
pub(super) async fn shake(
    route: &Route,
    stream: Stream,
    turn: &Turn,
    target: Option<&Target>,
    limit: Duration,
) -> Result<(Box<Link>, Early), Box<Refused>> {
    let tls = match tls(route, target) {
        Ok(tls) => tls,
        Err(error) => return Err(refused(Refusal::Tls(error), None, Leave::Abort(stream))),
    };
    let shaken = tokio::select! {
        biased;
        shaken = timeout(limit, handshake::shake(stream, tls)) => shaken,
        () = turn.stay.displaced.cancelled() => return Err(refused(Refusal::Displaced, None, Leave::Gone)),
        () = route.named.over.cancelled() => return Err(refused(Refusal::Over, None, Leave::Gone)),
    };
    match shaken {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(failed)) => {
            let Failed { refusal, link } = *failed;
            Err(refused(
                own_fault(route).unwrap_or(refusal),
                None,
                Leave::Gently(link),
            ))
        }
        Err(_elapsed) => {
            let whole = route.settings.timeouts.handshake;
            let limit = if route.is_inbound() { whole } else { limit };
            Err(refused(Refusal::Timeout(limit), None, Leave::Gone))
        }
    }
}

/// Without an identity every handshake fails, whatever rustls says of it.
fn own_fault(route: &Route) -> Option<Refusal> {
    let Some(identity) = route.shared.reader.current() else {
        return Some(Refusal::OurIdentity(IdentityUnusable::Missing));
    };
    let now = route.shared.clock.current_time()?;
    (now > identity.not_after()).then(|| {
        Refusal::OurIdentity(IdentityUnusable::Expired {
            id: identity.id().clone(),
            not_after: identity.not_after(),
        })
    })
}

fn tls(route: &Route, target: Option<&Target>) -> Result<Tls, rustls::Error> {
    Ok(match (&route.tls, target) {
        (Config::Server(config), _) => Tls::Server(UnbufferedServerConnection::new(Arc::clone(config))?),
        (Config::Client(config), Some(target)) => {
            let name = server_name(&route.settings, target);
            Tls::Client(UnbufferedClientConnection::new(Arc::clone(config), name)?)
        }
        // Outbound routes dial before they get here.
        (Config::Client(_), None) => return Err(rustls::Error::HandshakeNotComplete),
    })
}

/// Gives the peer its seat and decides about it, in this order: so no change falls between the two. `generation` is that of before the
/// handshake.
pub(super) fn decide(
    route: &Route,
    link: Box<Link>,
    role: PeerRole,
    generation: u64,
    facts: &Facts<'_>,
) -> Result<(Box<Link>, Seat), Box<Refused>> {
    let named = &route.named;
    let now = route.shared.reader.generation();
    let vouched_by = (now == generation).then_some(generation);
    let seat = match named.peers.meet(link.tls.state(), role, vouched_by) {
        Ok(seat) => seat,
        Err(error) => return Err(refused(Refusal::NoPeer(error), None, Leave::Dismiss(link))),
    };
    if route.shared.reader.generation() != generation {
        // The roots that the handshake went by may be gone, and those who were here were decided again without this one.
        named.decide_again(seat.known(), &route.shared);
        if let Some(why) = seat.why() {
            return Err(refused(Refusal::NoLonger(why), Some(seat), Leave::Dismiss(link)));
        }
    }
    match route.decide(seat.peer()) {
        Ok(Decision::Allowed) => Ok((link, seat)),
        Ok(Decision::Tolerated(why)) => {
            named.record.would_refuse(facts, seat.peer(), &why);
            // So that the next change does not tell it again.
            seat.known().is_news(Some(&why));
            Ok((link, seat))
        }
        Err(why) => Err(refused(
            Refusal::NotAllowed(why),
            Some(seat),
            Leave::Dismiss(link),
        )),
    }
}
