//! The listeners of routes. In: where to listen, the route in force there. Out: a task for each connection. Never closes a listener before its successor
//! is open, nor one that only moves before those who came to it are served; never spins on a full file table, and accepts nothing that it has no place for.
use super::ProxyError;
use super::alive;
use super::connection;
use super::route::Route;
use crate::config::{Address, ListenSettings};
use crate::http::listener::ListenError;
use crate::http::listener::unix::{self, FileId, Placed, Prepared, Wanted};
use crate::http::{Listener, Stream};
use crate::shutdown::Shutdown;
use crate::units::listen::Passed;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// The first and the longest pause after a failed accept. A full file table is nobody's fault here and passes.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A listener that moved closes when nobody came to it for so long: whoever had begun to connect before has most likely done so.
const LATE: Duration = Duration::from_millis(250);

/// A route's listener that is open but not in place.
pub(super) enum Opened {
    /// Several: systemd passed so many of one name.
    InPlace(Vec<Listener>),
    /// At a port where one of ours goes.
    Beside(Placed),
    Hidden(Prepared),
}

/// A listener that serves.
pub(super) struct Door {
    pub(super) settings: ListenSettings,
    /// Of a Unix socket that we made: its successor may replace it.
    pub(super) file: Option<FileId>,
    pub(super) route: watch::Sender<Arc<Route>>,
    stop: CancellationToken,
    moves: CancellationToken,
    /// Theirs is who accepts at them.
    listeners: Vec<Weak<Listener>>,
}

/// Opens a listener, out of sight. `ours` is the socket that we have at its path already, if we have; `leaving` are the doors that a change does without;
/// `passed` is what systemd has for us.
pub(super) fn open(
    route: &str,
    settings: &ListenSettings,
    ours: Option<FileId>,
    leaving: &[&Door],
    passed: &Passed,
) -> Result<Opened, ProxyError> {
    let failed = |source: ListenError| ProxyError::Listen {
        route: route.to_owned(),
        source,
    };
    match &settings.address {
        Address::Tcp(address) => open_tcp(*address, leaving).map_err(failed),
        Address::Unix(path) => {
            let wanted = Wanted {
                path,
                mode: settings.mode,
                owner: settings.owner.as_deref(),
                group: settings.group.as_deref(),
            };
            unix::prepare(wanted, ours).map(Opened::Hidden).map_err(failed)
        }
        Address::Systemd(name) => open_passed(route, name, settings.unsafe_listen, passed),
    }
}

/// At an address where one of ours listens that goes, 0.0.0.0 for one, both listen for a moment.
fn open_tcp(address: SocketAddr, leaving: &[&Door]) -> Result<Opened, ListenError> {
    let taken = match Listener::tcp(address) {
        Ok(listener) => return Ok(Opened::InPlace(vec![listener])),
        Err(error) if error.is_in_use() => error,
        Err(error) => return Err(error),
    };
    let same_port =
        |door: &&&Door| matches!(door.settings.address, Address::Tcp(old) if old.port() == address.port());
    let old = leaving.iter().filter(same_port);
    let old: Vec<Arc<Listener>> = old
        .flat_map(|door| door.listeners.iter().filter_map(Weak::upgrade))
        .collect();
    if old.is_empty() {
        return Err(taken);
    }
    let old: Vec<&Listener> = old.iter().map(|listener| &**listener).collect();
    Listener::tcp_beside(address, &old).map(Opened::Beside)
}

/// What systemd passed: what each socket is, only its descriptor tells.
fn open_passed(route: &str, name: &str, unsafe_listen: bool, passed: &Passed) -> Result<Opened, ProxyError> {
    let failed = |source: io::Error| ProxyError::Passed {
        route: route.to_owned(),
        name: name.to_owned(),
        source,
    };
    let sockets = passed.by_name(name).map_err(failed)?;
    if sockets.is_empty() {
        return Err(ProxyError::NotPassed {
            route: route.to_owned(),
            name: name.to_owned(),
        });
    }
    let listeners = sockets.into_iter().map(Listener::passed);
    let listeners = listeners.collect::<io::Result<Vec<_>>>().map_err(failed)?;
    let far = listeners.iter().find_map(|listener| match listener {
        Listener::Unix(..) => None,
        // Of which no address is known, is not known to be near.
        Listener::Tcp(tcp) => match tcp.local_addr() {
            Ok(address) if address.ip().to_canonical().is_loopback() => None,
            address => Some(address),
        },
    });
    match far {
        Some(address) if !unsafe_listen => Err(ProxyError::PassedFar {
            route: route.to_owned(),
            name: name.to_owned(),
            address: address.map_err(failed)?,
        }),
        _ => Ok(Opened::InPlace(listeners)),
    }
}

impl Opened {
    pub(super) fn put_in_place(self, route: &str) -> Result<Vec<Placed>, ProxyError> {
        match self {
            Self::InPlace(listeners) => Ok(listeners.into_iter().map(Placed::from).collect()),
            Self::Beside(placed) => Ok(vec![placed]),
            Self::Hidden(prepared) => match prepared.put_in_place() {
                Ok(placed) => Ok(vec![placed]),
                Err(source) => Err(ProxyError::Listen {
                    route: route.to_owned(),
                    source,
                }),
            },
        }
    }
}

impl Door {
    /// Serves a route at its listeners until it is stopped.
    pub(super) fn serve(
        settings: ListenSettings,
        listeners: Vec<Placed>,
        route: Arc<Route>,
        shutdown: &Shutdown,
    ) -> Self {
        let listeners = listeners.into_iter().map(|placed| Arc::new(placed.keep()));
        let listeners: Vec<Arc<Listener>> = listeners.collect();
        let (sender, route) = watch::channel(route);
        let door = Self {
            settings,
            file: listeners.iter().find_map(|listener| listener.place()),
            route: sender,
            stop: shutdown.token().child_token(),
            moves: CancellationToken::new(),
            listeners: listeners.iter().map(Arc::downgrade).collect(),
        };
        for listener in listeners {
            alive::watch_accepted(&listener);
            let entrance = Entrance {
                listener,
                stop: door.stop.clone(),
                moves: door.moves.clone(),
                tasks: shutdown.clone(),
            };
            shutdown.spawn(entrance.accept_all(route.clone()));
        }
        door
    }

    /// Whether it is what is wanted: of a TCP address, nothing else counts.
    pub(super) fn is(&self, wanted: &ListenSettings) -> bool {
        match (&self.settings.address, &wanted.address) {
            (Address::Tcp(here), Address::Tcp(there)) => here == there,
            _ => self.settings == *wanted,
        }
    }

    /// Closes it. Where its route listens elsewhere from now on, those are served first who came before.
    pub(super) fn close(self, routes: &[Arc<Route>]) {
        let here = Arc::clone(&self.route.borrow());
        let moved = routes.iter().find(|new| here.goes_on_as(&new.settings));
        match (moved, &self.settings.address) {
            // What waits at systemd's stays there.
            (_, Address::Systemd(_)) | (None, _) => self.stop.cancel(),
            (Some(route), _) => {
                self.route.send_replace(Arc::clone(route));
                self.moves.cancel();
            }
        }
    }

    /// False when somebody removed or replaced the socket's file: nobody can come in there any more.
    pub(super) fn can_be_reached(&self) -> bool {
        match (self.file, &self.settings.address) {
            (Some(file), Address::Unix(path)) => file.is_at(path),
            _ => true,
        }
    }
}

/// Where connections come in at one listener of a door.
struct Entrance {
    listener: Arc<Listener>,
    stop: CancellationToken,
    moves: CancellationToken,
    tasks: Shutdown,
}

impl Entrance {
    /// Who is accepted waits for a free place before anything else is done for him, and all others wait in the kernel's queue, so that they cost us nothing. A
    /// place for its handshake a connection takes when it has said hello, on outbound routes when its target answers.
    async fn accept_all(self, mut route: watch::Receiver<Arc<Route>>) {
        let mut pause = PAUSE.0;
        let mut guest: Option<Stream> = None;
        loop {
            let current = Arc::clone(&route.borrow_and_update());
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                // By the route that is in force elsewhere by now.
                () = self.moves.cancelled() => {
                    let current = Arc::clone(&route.borrow());
                    return self.see_in(current, guest).await;
                }
                // Other settings, other places to wait for. The sender goes when the listener is stopped.
                changed = route.changed() => if changed.is_err() { return },
                slot = current.slot(), if guest.is_some() => {
                    // Places are never closed while their route is here.
                    if let (Ok(slot), Some(stream)) = (slot, guest.take()) {
                        self.tasks.spawn(connection::serve(current, stream, slot));
                    }
                }
                accepted = self.listener.next(), if guest.is_none() => match accepted {
                    Ok(stream) => {
                        pause = PAUSE.0;
                        guest = Some(stream);
                    }
                    Err(e) if is_the_clients(&e) => {}
                    Err(e) => self.rest(&current, &e, &mut pause).await,
                },
            }
        }
    }

    /// After a failed accept: a full file table lasts for a while.
    async fn rest(&self, route: &Route, error: &io::Error, pause: &mut Duration) {
        route.named.record.counters.accept_failed();
        // Where descriptors ran out, somebody who says nothing may have one.
        route.slots.displace_oldest();
        if *pause == PAUSE.0 {
            tracing::warn!(
                route = route.name(),
                error = error as &dyn Error,
                "cannot accept connections, trying on"
            );
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(*pause) => *pause = (*pause * 2).min(PAUSE.1),
        }
    }

    /// The listener goes, and its route goes on elsewhere: lets nobody new in, and serves who was in the kernel's queue, or on the way there.
    async fn see_in(self, route: Arc<Route>, mut guest: Option<Stream>) {
        self.listener.hush();
        let until = Instant::now() + super::DRAIN;
        let all = async {
            loop {
                let stream = match guest.take() {
                    Some(stream) => stream,
                    None => match timeout(LATE, self.listener.next()).await {
                        Ok(Ok(stream)) => stream,
                        Ok(Err(e)) if is_the_clients(&e) => continue,
                        Ok(Err(_)) => {
                            sleep(PAUSE.0).await;
                            continue;
                        }
                        Err(_elapsed) => return,
                    },
                };
                let Ok(slot) = route.slot().await else { return };
                self.tasks
                    .spawn(connection::serve(Arc::clone(&route), stream, slot));
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            seen = timeout_at(until, all) => if seen.is_err() {
                tracing::warn!(
                    route = route.name(),
                    "a listener moved, and some who came to the old one found no place in time"
                );
            }
        }
    }
}

/// Errors of one connection that went away before we took it.
fn is_the_clients(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
