//! Room for connections to the application. In: one client connection's wish for another one. Out: a place, or none. Each client connection has one place of
//! its own, which no peer can take from another; what it needs beyond that (requests at once, tunnels) comes out of what its whole route has.
use super::super::places::Turns;
use super::super::route::Route;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of one client connection.
pub(super) struct Room {
    own: Arc<Semaphore>,
    /// The route's, for all its client connections, over reloads.
    more: Arc<Turns>,
}

/// One connection's place; free again on drop.
pub(super) struct Place {
    /// Nobody else could have it.
    pub(super) is_own: bool,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(route: &Route) -> Self {
        Self {
            own: Arc::new(Semaphore::new(1)),
            more: Arc::clone(&route.apps),
        }
    }

    pub(super) fn take(&self) -> Option<Place> {
        let place = |is_own| {
            move |permit| Place {
                is_own,
                _permit: permit,
            }
        };
        let own = Arc::clone(&self.own).try_acquire_owned().ok().map(place(true));
        own.or_else(|| self.more.free().map(place(false)))
    }

    /// Whether connections may lie idle in it. Those of others who rest would else leave nothing for a burst.
    pub(super) fn is_ample(&self) -> bool {
        self.more.is_half_free()
    }
}
