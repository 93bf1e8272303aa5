//! Who is at the other end, as far as this room looks at it. In: a connection. Out: what its caller may have, and the record of what it got. The
//! wiring's is [`Access`]; tests bring their own.
use crate::caller::{Access, Denial, Grant, Visitor, What};
use crate::http::{Holder, Stream};
use mtls_identity::UnixTime;
use std::sync::Arc;

/// Meets connections.
pub(super) trait Host: Send + Sync + 'static {
    type Guest: Guest;

    fn meet(&self, stream: &Stream, listener: &'static str) -> (Self::Guest, Option<Holder>);
}

/// The caller of one connection.
pub(super) trait Guest: Send + Sync + 'static {
    /// What the caller may have now. Asked for each request, so that other rules hold at once.
    fn grant(&self) -> Result<Arc<Grant>, Arc<Denial>>;

    /// Returns when the caller may not have the X.509 identity any more: at once if it never could.
    fn loses_identity(&self) -> impl Future<Output = ()> + Send;

    fn granted(&self, what: What<'_>);

    /// The same, for who has just looked at the clock.
    fn granted_at(&self, what: What<'_>, now: UnixTime);

    fn denied(&self, what: What<'_>, why: &str);
}

impl Host for Access {
    type Guest = Visitor;

    fn meet(&self, stream: &Stream, listener: &'static str) -> (Visitor, Option<Holder>) {
        Self::meet(self, stream, listener)
    }
}

impl Guest for Visitor {
    fn grant(&self) -> Result<Arc<Grant>, Arc<Denial>> {
        Self::grant(self)
    }

    async fn loses_identity(&self) {
        let mut watch = self.watch();
        while self.grant().is_ok_and(|grant| grant.identity) {
            watch.changed().await;
        }
    }

    fn granted(&self, what: What<'_>) {
        Self::granted(self, what);
    }

    fn granted_at(&self, what: What<'_>, now: UnixTime) {
        Self::granted_at(self, what, now);
    }

    fn denied(&self, what: What<'_>, why: &str) {
        Self::denied(self, what, why);
    }
}
