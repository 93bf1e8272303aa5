//! The same question as a moment ago. In: a request on a connection that has just got a token. Out: that answer once more, if everything that it was
//! decided by is as it was. Decides nothing itself: what differs in the least goes the long way.
use super::Connection;
use super::admit::{Admitted, Told};
use crate::caller::Grant;
use crate::http::reply::Reply;
use crate::token_server::guest::Guest;
use crate::token_server::hand_out;
use crate::token_server::query::Query;
use crate::token_server::{host, target};
use crate::tokens::{Account, Tick};
use hyper::body::Bytes;
use hyper::{Method, Request};
use std::sync::{Arc, MutexGuard, PoisonError};

/// A question for the source's own account, judged under a grant. Under another grant it is judged again.
pub(super) struct Memo<R> {
    grant: Arc<Grant>,
    query: String,
    pub(super) access: hand_out::Access,
    pub(super) answered: Option<Answered<R>>,
}

/// The last answer. It holds for the rest of its second at most; a client that goes away keeps no token alive.
pub(super) struct Answered<R> {
    pub(super) tick: Tick,
    pub(super) receipt: R,
    pub(super) body: Bytes,
}

impl<G: Guest> Connection<G> {
    /// An access token that was handed out on this connection in this very second.
    pub(super) fn again<B>(&self, request: &Request<B>) -> Option<Reply> {
        let memo = self.memo();
        let memo = memo.as_ref()?;
        let answered = memo.answered.as_ref()?;
        if !memo.was_asked_by(request) {
            return None;
        }
        let tokens = &self.site.tokens;
        let tick = tokens.tick()?;
        if !answered.tick.is_still(&tick) || !self.guest.granted_again(&answered.receipt, tick.time()) {
            return None;
        }
        tokens.given_again();
        Some(hand_out::access_reply(answered.body.clone()))
    }

    /// The requests of a connection come one after another: nobody waits here.
    pub(super) fn memo(&self) -> MutexGuard<'_, Option<Memo<G::Receipt>>> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Memo<R> {
    /// Of the requests that the door lets in, only as nearly all are written.
    fn was_asked_by<B>(&self, request: &Request<B>) -> bool {
        let uri = request.uri();
        let told = Told::by(request.headers());
        let is_our_name = |name: &hyper::header::HeaderValue| host::usual(name.as_bytes()).is_some();
        target::is_common(uri.path())
            && uri.query().unwrap_or_default() == self.query
            && uri.authority().is_none()
            && *request.method() == Method::GET
            && told.hosts == 1
            && told.host.is_some_and(is_our_name)
            && told.is_flavored()
            && !told.forwarded
    }
}

/// The question for an access token, if it is one.
pub(super) fn judged<'a, R>(memo: &'a mut Option<Memo<R>>, asked: &Admitted<'_>) -> Option<&'a mut Memo<R>> {
    let is_known = memo
        .as_ref()
        .is_some_and(|memo| Arc::ptr_eq(&memo.grant, &asked.grant) && memo.query == asked.query);
    if !is_known {
        let query = Query::parse(asked.query).ok()?;
        let access = hand_out::access(Account::Default, &query, None, &asked.grant).ok()?;
        *memo = Some(Memo {
            grant: Arc::clone(&asked.grant),
            query: asked.query.to_owned(),
            access,
            answered: None,
        });
    }
    memo.as_mut()
}
