//! The end of what waits for a client that does not read. In: its caller, what holds now. Out: the status that ends it, once its caller may not have
//! it any more. Never the end of a stream whose caller may: it gets what waits for it when it reads on.
use super::connection::Connection;
use super::guest::{Guest, Watch as _};
use super::hub::Now;
use super::refusal;
use crate::caller::What;
use crate::grpc::Revoked;
use std::sync::Arc;

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
