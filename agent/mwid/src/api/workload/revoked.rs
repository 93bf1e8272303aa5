//! The end of what a client does not take. In: its caller, what holds now, what a message was made from. Out: the status that ends a stream whose
//! caller may not have it any more, and the one that takes back what is left of a message that was made from what is over. Never the end of a
//! stream whose caller may have it and that has taken all that it got: it gets the newest when it reads on.
use super::connection::Connection;
use super::edition::Edition;
use super::guest::{Guest, Watch as _};
use super::hub::Now;
use super::refusal;
use crate::caller::What;
use crate::grpc::Revoked;
use mtls_identity::IdentitySnapshot;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// So long may a client take to read on in a message when there is a newer one.
const REST: Duration = Duration::from_secs(10);

/// Made before the caller is asked about for the first time, so that no change falls between.
pub(super) fn revoked<G: Guest>(connection: &Arc<Connection<G>>) -> Revoked {
    let connection = Arc::clone(connection);
    let mut watch = connection.guest.watch();
    let mut subscription = connection.site.hub.subscribe();
    Box::pin(async move {
        loop {
            tokio::select! {
                () = watch.changed() => {}
                goes_on = subscription.changed() => if !goes_on {
                    return refusal::stopping();
                }
            }
            if let Err(denied) = connection.guest.may_have_identity() {
                let status = refusal::denied(&denied);
                connection.guest.denied(What::Identity, &status.message);
                return status;
            }
            if let now @ Now::Unwanted = subscription.now()
                && let Some(status) = refusal::no_identity(&now)
            {
                return status;
            }
        }
    })
}

/// The end of a message of this identity: when it has expired, was taken away, or has another name, and some time after there is a newer one.
/// A generation that is newer need not change the message: `is_newest` tells whether it would be the same.
pub(super) fn over<G: Guest>(
    connection: &Arc<Connection<G>>,
    identity: &Arc<IdentitySnapshot>,
    is_newest: impl Fn(&Edition) -> bool + Send + 'static,
) -> Revoked {
    let site = Arc::clone(&connection.site);
    // Not the identity: its key would live for as long as a client likes.
    let (id, not_after) = (identity.id().clone(), identity.not_after());
    let mut subscription = site.hub.subscribe();
    Box::pin(async move {
        let mut end: Option<Instant> = None;
        loop {
            let newest = match site.hub.judged(subscription.now()) {
                Now::Alive(edition) => edition,
                none => return refusal::no_identity(&none).unwrap_or_else(refusal::replaced),
            };
            if *newest.identity.id() != id {
                return refusal::replaced();
            }
            if is_newest(&newest) {
                end = None;
            } else {
                end.get_or_insert_with(|| Instant::now() + REST.min(site.hub.left(not_after)));
            }
            let rest = async {
                match end {
                    Some(end) => sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rest => return refusal::replaced(),
                goes_on = subscription.changed() => if !goes_on {
                    return refusal::stopping();
                }
            }
        }
    })
}
