//! Looks at targets that are down, until they are back. In: the routes in force. Out: health. So no user's connection has to find out. Asleep while all
//! are up, and never more than a few looks at once.
use super::super::probe;
use super::super::route::{Config, Route};
use super::connect;
use super::member::{Due, Member};
use crate::shutdown::Shutdown;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

const AT_ONCE: usize = 16;

/// Until mwid stops.
pub(in super::super) async fn look_after(
    mut routes: watch::Receiver<Vec<Arc<Route>>>,
    down: Arc<Notify>,
    shutdown: Shutdown,
) {
    let mut looks = JoinSet::new();
    loop {
        let in_force = routes.borrow_and_update().clone();
        let next = begin(&in_force, &mut looks);
        let due = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = shutdown.asked() => return,
            changed = routes.changed() => if changed.is_err() { return },
            () = down.notified() => {}
            Some(_) = looks.join_next() => {}
            () = due => {}
        }
    }
}

/// Begins the looks that are due, as many as there may be. Tells when the next one is.
fn begin(routes: &[Arc<Route>], looks: &mut JoinSet<()>) -> Option<Instant> {
    let mut next: Option<Instant> = None;
    for route in routes {
        for member in &route.targets.members {
            let Due::At(at) = member.due() else { continue };
            if at > Instant::now() {
                next = Some(next.map_or(at, |next| next.min(at)));
            } else if looks.len() < AT_ONCE {
                member.look_begins();
                looks.spawn(look(Arc::clone(route), Arc::clone(member)));
            }
            // One that has to wait for its place is begun when a look ends.
        }
    }
    next
}

async fn look(route: Arc<Route>, member: Arc<Member>) {
    let limit = route.settings.timeouts.connect;
    let met = match (connect(&member, limit).await, &route.tls) {
        (Err(refusal), _) => Err(refusal),
        (Ok(_), Config::Server(_)) => Ok(()),
        (Ok(stream), Config::Client(config)) => {
            let rules = route.named.rules();
            let met = probe::meet(stream, config, &member.target, &route.settings, &rules);
            met.await.map(drop)
        }
    };
    match met {
        Ok(()) => member.worked(),
        Err(refusal) => member.failed(&refusal),
    }
    member.look_ends();
}
