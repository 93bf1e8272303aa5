//! What this API asks of the room `caller`, so that tests can bring callers of their own.
use crate::caller::{self, Denial, Visitor, What};
use std::future::Future;
use std::sync::Arc;

/// The caller of one connection.
pub(super) trait Guest: Send + Sync + 'static {
    type Watch: Watch;

    /// Whether it may have the identity now.
    fn may_have_identity(&self) -> Result<(), Denied>;

    /// Tells when to ask again. Made before the first question, so that no change falls between.
    fn watch(&self) -> Self::Watch;

    /// Whether nothing more can be told of it on this connection, and perhaps on another one.
    fn is_spent(&self) -> bool {
        false
    }

    /// Whose it is, where that can be told: for the log.
    fn user(&self) -> Option<u32> {
        None
    }

    fn granted(&self, what: What<'_>);

    fn denied(&self, what: What<'_>, why: &str);
}

pub(super) trait Watch: Send + 'static {
    /// Returns when the answer to [`Guest::may_have_identity`] may be another. Nothing is lost if this is dropped half way.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;
}

/// Why a caller may not have the identity.
#[derive(Clone, Debug)]
pub(super) enum Denied {
    /// No rule grants it.
    NotGranted,
    /// No rule does as far as can be told now: something that a rule asks for could not be looked up.
    NotLookedUp,
    /// Nobody can tell who it is.
    Unattested(Arc<Denial>),
}

impl Guest for Visitor {
    type Watch = caller::Watch;

    fn may_have_identity(&self) -> Result<(), Denied> {
        // A key may follow: the end of the process or of the unit's run counts at once, whether a stream waits for it or not.
        match self.grant_after_a_look().map_err(Denied::Unattested)?.identity {
            true => Ok(()),
            false if self.is_settled() => Err(Denied::NotGranted),
            false => Err(Denied::NotLookedUp),
        }
    }

    fn watch(&self) -> caller::Watch {
        Self::watch(self)
    }

    fn is_spent(&self) -> bool {
        Self::is_spent(self)
    }

    fn user(&self) -> Option<u32> {
        Self::user(self)
    }

    fn granted(&self, what: What<'_>) {
        Self::granted(self, what);
    }

    fn denied(&self, what: What<'_>, why: &str) {
        Self::denied(self, what, why);
    }
}

impl Watch for caller::Watch {
    async fn changed(&mut self) {
        Self::changed(self).await;
    }
}
