//! The listeners of routes. In: where to listen, the route in force there. Out: a task for each connection. Never closes a listener before its successor
//! is open, never spins on a full file table, and accepts nothing that it has no place for.
use super::ProxyError;
use super::alive;
use super::connection;
use super::route::Route;
use crate::config::{Address, ListenSettings};
use crate::http::listener::unix::{self, FileId, Placed, Prepared, Wanted};
use crate::http::listener::{Accept as _, ListenError};
use crate::http::{Listener, Stream};
use crate::shutdown::Shutdown;
use crate::units::listen::Passed;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

/// The first and the longest pause after a failed accept. A full file table is nobody's fault here and passes.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A route's listener that is open but not in place.
pub(super) enum Opened {
    /// Several: systemd passed so many of one name.
    InPlace(Vec<Listener>),
    Hidden(Prepared),
}

/// A listener that serves.
pub(super) struct Door {
    pub(super) settings: ListenSettings,
    /// Of a Unix socket that we made: its successor may replace it.
    pub(super) file: Option<FileId>,
    pub(super) route: watch::Sender<Arc<Route>>,
    pub(super) stop: CancellationToken,
}

/// Opens a listener, out of sight. `ours` is the socket that we have at its path already, if we have; `passed` what systemd has for us.
pub(super) fn open(
    route: &str,
    settings: &ListenSettings,
    ours: Option<FileId>,
    passed: &Passed,
) -> Result<Opened, ProxyError> {
    let failed = |source: ListenError| ProxyError::Listen {
        route: route.to_owned(),
        source,
    };
    match &settings.address {
        Address::Tcp(address) => Listener::tcp(*address)
            .map(|listener| Opened::InPlace(vec![listener]))
            .map_err(failed),
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
        let listeners: Vec<Listener> = listeners.into_iter().map(Placed::keep).collect();
        let file = listeners.iter().find_map(Listener::place);
        let (sender, route) = watch::channel(route);
        let stop = shutdown.token().child_token();
        for listener in listeners {
            alive::watch_accepted(&listener);
            let accepts = accept_all(listener, route.clone(), stop.clone(), shutdown.clone());
            shutdown.spawn(accepts);
        }
        Self {
            settings,
            file,
            route: sender,
            stop,
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

async fn accept_all(
    mut listener: Listener,
    mut route: watch::Receiver<Arc<Route>>,
    stop: CancellationToken,
    tasks: Shutdown,
) {
    let mut pause = PAUSE.0;
    loop {
        let current = Arc::clone(&route.borrow_and_update());
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            // Other settings, other places to wait for. The sender goes when the listener is stopped.
            changed = route.changed() => if changed.is_ok() { continue } else { return },
            accepted = accept(&mut listener, &current) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                pause = PAUSE.0;
                tasks.spawn(connection::serve(current, stream, slot));
            }
            Err(e) if is_the_clients(&e) => {}
            Err(e) => {
                current.named.record.counters.accept_failed();
                // Where descriptors ran out, somebody who says nothing may have one.
                current.slots.displace_oldest();
                if pause == PAUSE.0 {
                    tracing::warn!(
                        route = current.name(),
                        error = &e as &dyn Error,
                        "cannot accept connections, trying on"
                    );
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
                }
            }
        }
    }
}

/// Waits for a free place before it accepts, so that who has to wait costs us nothing. A place for its handshake a connection takes when it has said
/// something, on outbound routes when its target answers.
async fn accept(listener: &mut Listener, route: &Route) -> io::Result<(Stream, OwnedSemaphorePermit)> {
    let slot = route.slot().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?, slot))
}

/// Errors of one connection that went away before we took it.
fn is_the_clients(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
