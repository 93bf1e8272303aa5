//! Waits until a connection has said hello. In: an accepted stream. Out: it, with a place among the handshakes, and the ends that a load balancer says it has.
//! A silent one, or one that says it byte by byte, holds no such place and nothing of TLS: however many there are, who says hello at once is served at once.
use super::super::hello;
use super::super::places::Turn;
use super::super::proxy_protocol::{self, Ends};
use super::super::record::Facts;
use super::super::refusal::Refusal;
use super::super::route::Route;
use super::super::scratch;
use super::establish::{Leave, Refused, refused};
use crate::config::AcceptProxy;
use crate::http::Stream;
use nix::sys::socket::{MsgFlags, recv};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, RawFd};
use tokio::io::Interest;
use tokio::time::{Instant, timeout_at};

/// Waits for its hello, and then for its turn; all that within the time of a handshake. On outbound routes it is the target that is waited for, later.
pub(super) async fn arrive(
    route: &Route,
    mut stream: Stream,
    facts: &mut Facts<'_>,
) -> Result<(Stream, Option<Turn>), Box<Refused>> {
    if !route.is_inbound() {
        return Ok((stream, None));
    }
    if !is_believed(&route.settings.accept_proxy, facts.from) {
        return Err(refused(Refusal::NotABalancer, None, Leave::Abort(stream)));
    }
    let stay = route.slots.stay();
    let limit = route.settings.timeouts.handshake;
    let said = tokio::select! {
        biased;
        said = timeout_at(facts.since + limit, whole_hello(route, &mut stream)) => {
            said.unwrap_or(Err(Refusal::Timeout(limit)))
        }
        () = stay.displaced.cancelled() => Err(Refusal::Displaced),
        () = route.named.over.cancelled() => Err(Refusal::Over),
    };
    drop(stay);
    let turn = match said {
        Ok(ends) => {
            if let Some(Ends { from, to }) = ends {
                (facts.from, facts.to) = (Some(from), Some(to));
            }
            // Behind a load balancer its client comes when it speaks.
            let came = match route.settings.accept_proxy {
                AcceptProxy::No => facts.since,
                AcceptProxy::FromAnybody | AcceptProxy::From(_) => Instant::now(),
            };
            turn(route, facts.since, came).await
        }
        Err(refusal) => Err(refusal),
    };
    match turn {
        Ok(turn) => Ok((stream, Some(turn))),
        Err(refusal) => {
            // A load balancer's header, and nothing else, may have been read.
            let leave = match refusal {
                Refusal::Header(_) => Leave::Abort(stream),
                _ => Leave::Gone,
            };
            Err(refused(refusal, None, leave))
        }
    }
}

/// What a load balancer says of it comes first, where one does; it may say so long before its client speaks.
async fn whole_hello(route: &Route, stream: &mut Stream) -> Result<Option<Ends>, Refusal> {
    let ends = match route.settings.accept_proxy {
        AcceptProxy::No => None,
        AcceptProxy::FromAnybody | AcceptProxy::From(_) => {
            proxy_protocol::read(stream).await.map_err(Refusal::Header)?
        }
    };
    wait_for_hello(stream).await.map_err(Refusal::Io)?;
    Ok(ends)
}

/// Waits until the hello is there, or something else than a hello, or the end. Nothing of it is taken: a look costs less than TLS with a piece of a hello.
async fn wait_for_hello(stream: &Stream) -> io::Result<()> {
    loop {
        let ready = match stream {
            Stream::Tcp(tcp) => tcp.ready(Interest::READABLE).await?,
            Stream::Unix(unix) => unix.ready(Interest::READABLE).await?,
        };
        // There will be no more of it.
        if ready.is_read_closed() {
            return Ok(());
        }
        let looked = match stream {
            Stream::Tcp(tcp) => tcp.try_io(Interest::READABLE, || look(tcp.as_raw_fd(), hello::is_whole)),
            // It keeps each small piece for itself, and takes no more when there are a few hundred: those of a hello are to be read as they come.
            Stream::Unix(unix) => unix.try_io(Interest::READABLE, || look(unix.as_raw_fd(), |_| true)),
        };
        match looked {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

/// Blocks, so to speak, until it is worth a handshake's while.
fn look(fd: RawFd, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    scratch::with(|scratch| {
        let room = &mut scratch.read[..hello::MOST];
        let there = recv(fd, room, MsgFlags::MSG_PEEK)?;
        if there == 0 || is_enough(&room[..there]) {
            Ok(())
        } else {
            Err(ErrorKind::WouldBlock.into())
        }
    })
}

/// A place among the handshakes, for one that `came` then, within the time that runs `since`.
async fn turn(route: &Route, since: Instant, came: Instant) -> Result<Turn, Refusal> {
    let limit = route.settings.timeouts.handshake;
    tokio::select! {
        biased;
        place = timeout_at(since + limit, route.place(came)) => match place {
            Ok(Ok(place)) => Ok(route.turns.begin(place)),
            // Places are never closed while their route is here.
            Ok(Err(_closed)) => Err(Refusal::Over),
            Err(_elapsed) => Err(Refusal::Timeout(limit)),
        },
        () = route.named.over.cancelled() => Err(Refusal::Over),
    }
}

/// Whether one from this address may say whom the connection is of, where that is said at all.
fn is_believed(accept: &AcceptProxy, from: Option<SocketAddr>) -> bool {
    match (accept, from) {
        (AcceptProxy::No | AcceptProxy::FromAnybody, _) => true,
        (AcceptProxy::From(networks), Some(from)) => {
            let from = from.ip().to_canonical();
            networks.iter().any(|network| network.contains(&from))
        }
        // At a Unix socket of systemd's there are no addresses.
        (AcceptProxy::From(_), None) => false,
    }
}
