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
pub(super) struct Place(#[expect(dead_code, reason = "kept: its end is the place's")] OwnedSemaphorePermit);

impl Room {
    pub(super) fn new(route: &Route) -> Self {
        Self {
            own: Arc::new(Semaphore::new(1)),
            more: Arc::clone(&route.apps),
        }
    }

    pub(super) fn take(&self) -> Option<Place> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok();
        own.or_else(|| self.more.free()).map(Place)
    }

    /// Whether connections may lie idle in it. Those of others who rest would else leave nothing for a burst.
    pub(super) fn is_ample(&self) -> bool {
        self.more.is_half_free()
    }
}
