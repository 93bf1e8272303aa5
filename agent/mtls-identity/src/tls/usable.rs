//! Whether we may show our own identity now. In: the store and a time. Out: the identity, or why there is none to show.
//! Never hands out one that has expired.

use crate::Clock;
use crate::snapshot::IdentitySnapshot;
use crate::spiffe_id::SpiffeId;
use crate::store::Reader;
use pki_types::UnixTime;
use std::sync::Arc;

/// Why this side has no identity to show, so that each handshake fails closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityUnusable {
    /// Nothing was proven yet, or what was is over and was taken away.
    #[error(
        "there is no identity, or it was taken away, so no handshake is possible; look at why the source delivers none"
    )]
    Missing,
    /// The last one is past its `not_after`.
    #[error(
        "our own identity {id} expired at Unix time {} and no newer one came; look at why the source delivers none",
        not_after.as_secs()
    )]
    Expired {
        /// Its SPIFFE ID.
        id: SpiffeId,
        /// When it ended.
        not_after: UnixTime,
    },
    /// The clock gave no time, so that expiry cannot be decided.
    #[error(
        "the clock gives no time, so our own identity cannot be checked for expiry; set the system clock"
    )]
    NoTime,
}

impl IdentityUnusable {
    /// A short, bounded name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "no_identity",
            Self::Expired { .. } => "identity_expired",
            Self::NoTime => "no_time",
        }
    }
}

/// The current identity, if it may be used at `now`.
///
/// Only the end counts: a clock that was set back a little after the identity was proven is no reason to stop.
pub(super) fn usable_at(reader: &Reader, now: UnixTime) -> Result<Arc<IdentitySnapshot>, IdentityUnusable> {
    let identity = reader.current().ok_or(IdentityUnusable::Missing)?;
    if now > identity.not_after() {
        return Err(IdentityUnusable::Expired {
            id: identity.id().clone(),
            not_after: identity.not_after(),
        });
    }
    Ok(identity)
}

/// As [`usable_at`], now.
pub(super) fn usable(reader: &Reader, clock: &Clock) -> Result<Arc<IdentitySnapshot>, IdentityUnusable> {
    usable_at(reader, clock.current_time().ok_or(IdentityUnusable::NoTime)?)
}
