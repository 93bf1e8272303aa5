//! The mTLS proxy: routes that end or begin mutual TLS for programs that speak none.
//!
//! In: settled routes, the store's identity, callers. Out: connections, copied. Inbound routes take TLS and forward plain bytes; outbound routes take
//! plain bytes and connect with TLS. Never a byte for a peer whose chain was not verified in the handshake and whose ID was not decided after it; never
//! a connection that goes on when rules or roots no longer hold.
mod alive;
mod begun;
mod connection;
mod copiers;
mod decide;
mod error;
mod give_back;
mod handshake;
mod hello;
mod http;
mod link;
mod listen;
mod metrics;
mod offers;
mod peers;
mod places;
mod probe;
mod proxy_protocol;
mod record;
mod refusal;
mod route;
mod scratch;
mod shares;
mod splice;
mod target;
#[cfg(test)]
mod tests;
mod tls;

pub(crate) use error::ProxyError;
pub(crate) use metrics::Metrics;
pub(crate) use probe::{Trouble, probe, reach};

use crate::caller::Access;
use crate::clock::ClockJumps;
use crate::config::{ListenSettings, ProxySettings, RouteSettings};
use crate::health::status::{HttpStatus, RouteStatus};
use crate::http::listener::unix;
use crate::shutdown::Shutdown;
use crate::units::listen::Passed;
use listen::{Door, Opened};
use mtls_identity::{Clock, Reader};
use route::{Route, Shared};
use rustls::crypto::CryptoProvider;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long connections may go on after their route is gone or mwid stops; less than the whole may take.
const DRAIN: Duration = Duration::from_secs(8);

/// What the proxy stands on.
pub(crate) struct Context {
    pub(crate) reader: Reader,
    pub(crate) clock: Clock,
    /// When it is set.
    pub(crate) jumps: ClockJumps,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) access: Access,
    pub(crate) metrics: Metrics,
    pub(crate) passed: Passed,
    pub(crate) shutdown: Shutdown,
}

/// The routes in force, for those who look. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Routes(watch::Receiver<Vec<Arc<Route>>>);

/// The proxy.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    doors: Vec<Door>,
    routes: watch::Sender<Vec<Arc<Route>>>,
    passed: Passed,
    shutdown: Shutdown,
}

/// New routes, ready to be put in force.
pub(crate) struct Change {
    routes: Vec<Arc<Route>>,
    opened: Vec<(ListenSettings, Opened)>,
}

/// The same, with its listeners at their places: nothing of it can fail any more. Dropped, those in force have theirs again.
pub(crate) struct Placed {
    routes: Vec<Arc<Route>>,
    opened: Vec<(ListenSettings, Vec<unix::Placed>)>,
}

impl Proxy {
    /// A proxy without routes.
    pub(crate) fn new(context: Context) -> Self {
        let Context {
            reader,
            clock,
            jumps,
            provider,
            access,
            metrics,
            passed,
            shutdown,
        } = context;
        let shared = Arc::new(Shared {
            reader,
            clock,
            again: decide::Again::new(&provider),
            provider,
            access,
            metrics,
            names: target::Resolver::system(),
            down: Arc::default(),
            memory: give_back::Memory::default(),
            copiers: copiers::Copiers::default(),
        });
        let routes = watch::Sender::new(Vec::new());
        let (here, stop) = (Arc::clone(&shared), shutdown.token());
        decide::whenever_it_changes(here, routes.subscribe(), jumps, stop);
        shutdown.spawn(target::look_after(
            routes.subscribe(),
            Arc::clone(&shared.down),
            shutdown.clone(),
        ));
        end_in_time(&routes, &shutdown);
        Self {
            shared,
            doors: Vec::new(),
            routes,
            passed,
            shutdown,
        }
    }

    pub(crate) fn routes(&self) -> Routes {
        Routes(self.routes.subscribe())
    }

    /// First phase: makes what is new and opens its listeners, out of sight. Changes nothing.
    pub(crate) fn prepare(&self, settings: &ProxySettings) -> Result<Change, ProxyError> {
        if settings.routes.iter().any(|route| route.http.is_none()) {
            self.shared.copiers.start().map_err(ProxyError::Copiers)?;
        }
        let in_force = self.routes.borrow().clone();
        let mut routes = Vec::new();
        let mut opened = Vec::new();
        let is_left = |door: &&Door| !settings.routes.iter().any(|route| door.is(&route.listen));
        let leaving: Vec<&Door> = self.doors.iter().filter(is_left).collect();
        for wanted in &settings.routes {
            let before = in_force.iter().find(|route| route.goes_on_as(wanted));
            routes.push(match before {
                Some(before) if before.settings == *wanted => Arc::clone(before),
                before => Arc::new(Route::new(wanted.clone(), &self.shared, before.map(|b| &**b))?),
            });
            opened.extend(
                self.open(wanted, &leaving)?
                    .map(|one| (wanted.listen.clone(), one)),
            );
        }
        Ok(Change { routes, opened })
    }

    fn open(&self, wanted: &RouteSettings, leaving: &[&Door]) -> Result<Option<Opened>, ProxyError> {
        let same = |door: &&Door| door.is(&wanted.listen) && door.can_be_reached();
        if self.doors.iter().any(|door| same(&door)) {
            return Ok(None);
        }
        let here = |door: &&Door| door.settings.address == wanted.listen.address;
        let ours = self.doors.iter().find(here).and_then(|door| door.file);
        listen::open(&wanted.name, &wanted.listen, ours, leaving, &self.passed).map(Some)
    }

    /// Between the phases: puts the new listeners at their places, which is the last that can fail. Nobody is accepted at them, and the routes that are
    /// in force stay so until [`Proxy::apply`].
    pub(crate) fn place(change: Change) -> Result<Placed, ProxyError> {
        let Change { routes, opened } = change;
        let name = |settings: &ListenSettings| {
            let route = routes.iter().find(|route| route.settings.listen == *settings);
            route.map_or("", |route| route.name())
        };
        let placed = opened.into_iter().map(|(settings, one)| {
            let listeners = one.put_in_place(name(&settings))?;
            Ok((settings, listeners))
        });
        let opened = placed.collect::<Result<_, ProxyError>>()?;
        Ok(Placed { routes, opened })
    }

    /// Before other rules of access are in force: who comes by a route that ends, or is going to lead elsewhere, is not let in by them there.
    pub(crate) fn retire(&self, change: &Placed) {
        for old in self.routes.borrow().iter() {
            if !goes_on(old, &change.routes) {
                old.retire();
            }
        }
    }

    /// Second phase: puts them in force. Listeners that stay go on listening, routes that are as before are not touched, and connections stay
    /// unless the new rules refuse their peers. Tells the names of routes that changed.
    pub(crate) fn apply(&mut self, change: Placed) -> BTreeSet<String> {
        let before = self.routes.borrow().clone();
        self.retire(&change);
        // Before the doors: a new one opens under no older rules.
        for route in &change.routes {
            route.put_in_force();
        }
        let mut opened = change.opened;
        let mut doors = Vec::new();
        for route in &change.routes {
            let new = opened
                .iter()
                .position(|(settings, _)| *settings == route.settings.listen);
            let door = if let Some(new) = new {
                let (settings, listeners) = opened.swap_remove(new);
                Door::serve(settings, listeners, Arc::clone(route), &self.shutdown)
            } else if let Some(old) = self.doors.iter().position(|d| d.is(&route.settings.listen)) {
                let mut door = self.doors.swap_remove(old);
                door.settings.clone_from(&route.settings.listen);
                door.route.send_if_modified(|now| {
                    let changed = !Arc::ptr_eq(now, route);
                    *now = Arc::clone(route);
                    changed
                });
                door
            } else {
                continue;
            };
            doors.push(door);
        }
        for door in std::mem::replace(&mut self.doors, doors) {
            door.close(&change.routes);
        }
        show_targets(&before, &change.routes);
        let changed = changed(&before, &change.routes);
        for old in &before {
            if !goes_on(old, &change.routes) {
                old.leave.cancel();
            }
        }
        for gone in before
            .iter()
            .filter(|old| !change.routes.iter().any(|new| old.goes_on_as(&new.settings)))
        {
            end_later(gone);
        }
        // Wakes who decides those again that are here.
        self.routes.send_replace(change.routes);
        changed
    }
}

/// Whether a route is among these, and leads where it did.
fn goes_on(old: &Route, routes: &[Arc<Route>]) -> bool {
    routes
        .iter()
        .any(|new| old.goes_on_as(&new.settings) && new.leads_as(old))
}

/// Shows the targets of the routes in force, and those of no others.
fn show_targets(before: &[Arc<Route>], after: &[Arc<Route>]) {
    for old in before {
        let new = after.iter().find(|new| old.goes_on_as(&new.settings));
        old.targets.hide_but(new.map(|new| &new.targets));
    }
    after.iter().for_each(|route| route.targets.show());
}

/// The names of routes that are new, gone or otherwise.
fn changed(before: &[Arc<Route>], after: &[Arc<Route>]) -> BTreeSet<String> {
    let other = |these: &[Arc<Route>], those: &[Arc<Route>]| {
        let unlike = these
            .iter()
            .filter(|one| !those.iter().any(|other| Arc::ptr_eq(one, other)));
        unlike.map(|route| route.name().to_owned()).collect::<Vec<_>>()
    };
    other(before, after)
        .into_iter()
        .chain(other(after, before))
        .collect()
}

/// Ends the connections of a route that is gone, after a time; until then they are decided again as others are. Nobody waits for this: it ends with the
/// process.
fn end_later(route: &Route) {
    let (shared, named) = (Arc::clone(&route.shared), Arc::clone(&route.named));
    shared.again.drains(&named);
    tokio::spawn(async move {
        tokio::time::sleep(DRAIN).await;
        named.over.cancel();
        shared.again.is_over(&named);
    });
}

/// Ends all connections, after a time, when mwid stops.
fn end_in_time(routes: &watch::Sender<Vec<Arc<Route>>>, shutdown: &Shutdown) {
    let (routes, stop) = (routes.subscribe(), shutdown.token());
    tokio::spawn(async move {
        stop.cancelled().await;
        for route in routes.borrow().iter() {
            route.leave.cancel();
        }
        tokio::time::sleep(DRAIN).await;
        for route in routes.borrow().iter() {
            route.named.over.cancel();
        }
    });
}

impl Routes {
    pub(crate) fn status(&self) -> Vec<RouteStatus> {
        self.0.borrow().iter().map(|route| status(route)).collect()
    }
}

fn status(route: &Route) -> RouteStatus {
    let counters = &route.named.record.counters;
    RouteStatus {
        name: route.name().to_owned(),
        inbound: route.is_inbound(),
        listen: listen_text(route),
        target: route.settings.targets_text(),
        targets: route.targets.status(),
        dry_run: route.settings.dry_run,
        open: u64::try_from(counters.open.get()).unwrap_or(0),
        made: counters.made.get(),
        refused: counters.refusals(),
        received: counters.received.get(),
        sent: counters.sent.get(),
        last_refusal: route.named.record.last_refusal(),
        http: route.settings.http.map(|_| HttpStatus {
            answers: counters.answers(),
            refused: counters.unfit_requests(),
            no_answer: counters.no_answers(),
            last_refusal: route.named.record.last_request(),
        }),
    }
}

fn listen_text(route: &Route) -> String {
    route.settings.listen.address.to_string()
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.0.borrow().len()).finish()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}
