//! The same question as a moment ago. In: a request on a connection that has just got a token. Out: that answer once more, if everything that it was
//! decided by is as it was. Decides nothing itself: what differs in the least goes the long way.
use super::Connection;
use super::admit::{Admitted, Told};
use crate::caller::Grant;
use crate::http::reply::Reply;
use crate::token_server::guest::Guest;
use crate::token_server::hand_out;
use crate::token_server::query::Query;
use crate::token_server::target;
use crate::tokens::{AccessToken, Account, Tick};
use hyper::{Method, Request};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};

/// Of a question; a longer one goes the long way each time, so that nobody has memory kept for what he writes.
const LONGEST: usize = 1024;

/// A question for the source's own account, judged under a grant. Under another grant it is judged again.
pub(super) struct Memo<R> {
    grant: Arc<Grant>,
    query: String,
    /// What we were called, known to be ours.
    host: String,
    pub(super) access: hand_out::Access,
    pub(super) answered: Option<Answered<R>>,
}

/// The last answer. It may be given again to the end of its second.
pub(super) struct Answered<R> {
    pub(super) tick: Tick,
    pub(super) receipt: R,
    /// Weak: a connection that is kept keeps no token that the cache has let go.
    pub(super) token: Weak<AccessToken>,
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
        if !answered.tick.is_still(&tick) {
            return None;
        }
        let alt = memo.access.alt;
        let body = hand_out::access_body(&*answered.token.upgrade()?, tick.time(), alt)?;
        if !self.guest.granted_again(&answered.receipt, tick.time()) {
            return None;
        }
        tokens.given_again();
        Some(hand_out::access_reply(body, alt))
    }

    /// The requests of a connection come one after another: nobody waits here.
    pub(super) fn memo(&self) -> MutexGuard<'_, Option<Memo<G::Receipt>>> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Memo<R> {
    fn was_asked_by<B>(&self, request: &Request<B>) -> bool {
        let uri = request.uri();
        let told = Told::by(request.headers());
        target::is_common(uri.path())
            && uri.query().unwrap_or_default() == self.query
            && uri.authority().is_none()
            && *request.method() == Method::GET
            && told.hosts == 1
            && told
                .host
                .is_some_and(|host| host.as_bytes() == self.host.as_bytes())
            && told.is_flavored()
            && !told.forwarded
    }
}

/// The question for an access token, if it is one.
pub(super) fn judged<'a, R>(memo: &'a mut Option<Memo<R>>, asked: &Admitted<'_>) -> Option<&'a mut Memo<R>> {
    if asked.query.len() + asked.host.len() > LONGEST {
        *memo = None;
        return None;
    }
    let is_known = memo.as_ref().is_some_and(|memo| {
        Arc::ptr_eq(&memo.grant, &asked.grant) && memo.query == asked.query && memo.host == asked.host
    });
    if !is_known {
        let query = Query::parse(asked.query).ok()?;
        let access = hand_out::access(Account::Default, &query, &asked.grant).ok()?;
        *memo = Some(Memo {
            grant: Arc::clone(&asked.grant),
            query: asked.query.to_owned(),
            host: asked.host.to_owned(),
            access,
            answered: None,
        });
    }
    memo.as_mut()
}
