//! Waiting for what a caller may have to change.
//!
//! In: the rules in force. Out: a sign that the decision about a caller is worth another look. Never decides, and costs nothing while it waits: one
//! entry in a list, however many streams a connection has.
use tokio::sync::watch;

/// Tells the holder of a long stream when to ask for its caller's [grant](super::Visitor::grant) again. Make it before the first grant is
/// asked for, so that no change falls between.
#[derive(Debug)]
pub(crate) struct Watch {
    rules: watch::Receiver<u64>,
}

impl Watch {
    pub(super) fn new(rules: watch::Receiver<u64>) -> Self {
        Self { rules }
    }

    /// Returns when the caller may have something else than at the last call, or than when this was made. The present grant may be the same
    /// for all that. Nothing is lost if this is dropped half way.
    pub(crate) async fn changed(&mut self) {
        if self.rules.changed().await.is_err() {
            // The rules of a daemon that is gone change no more. What goes on is ended by who stops it.
            std::future::pending::<()>().await;
        }
    }
}
