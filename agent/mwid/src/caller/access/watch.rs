//! Waiting for what a caller may have to change.
//!
//! In: the rules in force, the life of what proved the caller. Out: a sign that the decision about a caller is worth another look. Never decides, and
//! has no task and no timer: a stream that waits is an entry in three lists, of the rules, of its connection's process and of its unit.
use crate::caller::evidence::Life;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::watch;

/// Tells the holder of a long stream when to ask for its caller's [grant](super::Visitor::grant) again. Make it before the first grant is
/// asked for, so that no change falls between.
#[derive(Debug)]
pub(crate) struct Watch {
    rules: watch::Receiver<u64>,
    /// None: there is none, or its end was told.
    life: Option<Arc<Life>>,
}

impl Watch {
    pub(super) fn new(rules: watch::Receiver<u64>, life: Option<Arc<Life>>) -> Self {
        Self { rules, life }
    }

    /// Returns when the caller may have something else than at the last call, or than when this was made: the rules changed, its process
    /// ended, its unit was stopped or started anew. The present grant may be the same for all that. Nothing is lost if this is dropped half
    /// way.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            changed = self.rules.changed() => {
                if changed.is_err() {
                    // The rules of a daemon that is gone change no more. What goes on is ended by who stops it.
                    pending::<()>().await;
                }
            }
            () = over(self.life.as_deref()) => self.life = None,
        }
    }
}

async fn over(life: Option<&Life>) {
    match life {
        Some(life) => life.over().await,
        None => pending().await,
    }
}
