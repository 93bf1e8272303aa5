//! Who is at the other end, as far as this room looks at it. In: a connection. Out: what its caller may have, and the record of what it got. The
//! wiring's is [`Access`]; tests bring their own.
use crate::caller::{Access, Denial, Grant, Receipt, Visitor, What};
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
    type Receipt: Send + Sync + 'static;

    /// What the caller may have now, after a look whether its process still is. Asked for each request but a repeated one: other rules hold at once, the end of a process or of its unit's run is seen within a second.
    fn grant(&self) -> Result<Arc<Grant>, Arc<Denial>>;

    /// Whether the last grant is settled: false where something that a rule asks for could not be looked up this time.
    fn is_settled(&self) -> bool;

    /// Returns when the caller may not have the X.509 identity any more: at once if it never could.
    fn loses_identity(&self) -> impl Future<Output = ()> + Send;

    fn granted(&self, what: What<'_>);

    /// The same, for who has just looked at the clock.
    fn granted_at(&self, what: What<'_>, now: UnixTime) -> Option<Self::Receipt>;

    /// Grants the same again and puts it on record, if nothing has changed as far as can be told without a look. False: ask anew.
    fn granted_again(&self, receipt: &Self::Receipt, now: UnixTime) -> bool;

    fn denied(&self, what: What<'_>, why: &str);
}

impl Host for Access {
    type Guest = Visitor;

    fn meet(&self, stream: &Stream, listener: &'static str) -> (Visitor, Option<Holder>) {
        Self::meet(self, stream, listener)
    }
}

impl Guest for Visitor {
    type Receipt = Receipt;

    fn grant(&self) -> Result<Arc<Grant>, Arc<Denial>> {
        let granted = self.grant_after_a_look();
        // Others who cannot be told are on record since they came.
        granted.inspect_err(|denial| {
            if matches!(**denial, Denial::HandedOn { .. }) {
                self.denied(What::HandedOn, &denial.to_string());
            }
        })
    }

    fn is_settled(&self) -> bool {
        Self::is_settled(self)
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

    fn granted_at(&self, what: What<'_>, now: UnixTime) -> Option<Receipt> {
        Self::granted_at(self, what, now)
    }

    fn granted_again(&self, receipt: &Receipt, now: UnixTime) -> bool {
        Self::granted_again(self, receipt, now)
    }

    fn denied(&self, what: What<'_>, why: &str) {
        Self::denied(self, what, why);
    }
}
