//! One subscriber's stream.
//!
//! In: what holds now, and what its caller may have. Out: the first message at once, then one for each generation that changes it, and a status when
//! there is nothing more to have. Never keeps a message: who reads slowly gets the newest when it reads on, and delays nobody. There may be many
//! thousands of it, so it holds nothing that its connection holds.
use super::connection::Connection;
use super::edition::{Edition, Page};
use super::guest::{Guest, Watch as _};
use super::hub::{Now, Subscription};
use super::method::Method;
use super::refusal;
use super::revoked::over;
use crate::caller::What;
use crate::grpc::{Dated, Status};
use futures_util::stream::{self, Stream};
use std::sync::Arc;

/// What a method streams.
pub(super) struct Subject {
    pub(super) method: Method,
    pub(super) what: What<'static>,
    pub(super) page: fn(&Edition) -> &Page,
}

pub(super) struct Feed<G: Guest> {
    subject: &'static Subject,
    connection: Arc<Connection<G>>,
    watch: G::Watch,
    subscription: Subscription,
    /// The page that was sent last.
    last: Option<u64>,
}

impl<G: Guest> Feed<G> {
    pub(super) fn new(subject: &'static Subject, connection: Arc<Connection<G>>) -> Self {
        connection
            .site
            .metrics
            .opened(subject.method, &connection.streams);
        Self {
            subject,
            watch: connection.guest.watch(),
            subscription: connection.site.hub.subscribe(),
            connection,
            last: None,
        }
    }

    /// All messages, or why there is not even a first one.
    pub(super) fn begin(
        mut self,
    ) -> Result<impl Stream<Item = Result<Dated, Status>> + Send + use<G>, Status> {
        let first = self.new_one()?;
        Ok(stream::unfold(Some((self, first)), |state| async {
            let (mut feed, first) = state?;
            let next = match first {
                Some(dated) => Ok(dated),
                None => feed.next().await,
            };
            if let Err(status) = &next {
                feed.connection
                    .site
                    .metrics
                    .refused(feed.subject.method.name(), status);
            }
            let state = next.is_ok().then_some((feed, None));
            Some((next, state))
        }))
    }

    /// The next message, or why there is none any more.
    async fn next(&mut self) -> Result<Dated, Status> {
        loop {
            if let Some(dated) = self.new_one()? {
                return Ok(dated);
            }
            tokio::select! {
                () = self.watch.changed() => {}
                goes_on = self.subscription.changed() => if !goes_on {
                    return Err(refusal::stopping());
                }
            }
        }
    }

    /// What the caller may have and does not have yet.
    fn new_one(&mut self) -> Result<Option<Dated>, Status> {
        let Subject { method, what, page } = *self.subject;
        let Connection { site, guest, .. } = &*self.connection;
        if let Err(denied) = guest.may_have_identity() {
            let status = refusal::denied(&denied);
            guest.denied(what, &status.message);
            return Err(status);
        }
        let edition = match site.hub.judged(self.subscription.now()) {
            Now::Alive(edition) => edition,
            other => return refusal::no_identity(&other).map_or(Ok(None), Err),
        };
        let of = page;
        let page = of(&edition);
        let since = page.since;
        match self.last.replace(since) {
            Some(last) if last == since => return Ok(None),
            Some(_) => site.metrics.reached(edition.reached_one()),
            None => guest.granted(what),
        }
        site.metrics.sent(method);
        // Trust bundles are no secret, and stay good.
        let is_newest = move |newest: &Edition| of(newest).since == since;
        let over =
            matches!(what, What::Identity).then(|| over(&self.connection, &edition.identity, is_newest));
        Ok(Some(Dated {
            over,
            ..page.frame.clone().into()
        }))
    }
}

impl<G: Guest> Drop for Feed<G> {
    fn drop(&mut self) {
        let Connection { site, streams, .. } = &*self.connection;
        site.metrics.closed(self.subject.method, streams);
    }
}
