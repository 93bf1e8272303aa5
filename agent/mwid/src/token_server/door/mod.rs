//! The door: who asks, under which name, what for, and whether that is answered.
//!
//! In: a connection and its requests. Out: a refusal in the metadata server's words, or the answer. Never answers a request that a web page could
//! have caused, one that came through a proxy, or one of a caller whom the kernel does not name.
mod admit;
mod again;
mod tokens;

use super::guest::{Guest, Host};
use super::metrics::Kind;
use super::mirror::{NO_MORE, PrivateKey, Wish};
use super::query::Query;
use super::refusal::Refused;
use super::seldom::Seldom;
use super::site::Site;
use super::target::Target;
use super::words;
use crate::caller::What;
use crate::http::reply::Reply;
use crate::http::{Answer, Holder, Service, Stream};
use admit::Admitted;
use again::Memo;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};
use std::sync::{Arc, Mutex};

/// Meets connections.
pub(super) struct Door<H> {
    site: Arc<Site>,
    host: H,
    listener: &'static str,
    log: Arc<Seldom>,
}

impl<H: Host> Door<H> {
    pub(super) fn new(site: Arc<Site>, host: H, listener: &'static str) -> Self {
        Self {
            site,
            host,
            listener,
            log: Arc::default(),
        }
    }
}

/// A connection.
pub(super) struct Connection<G: Guest> {
    site: Arc<Site>,
    guest: G,
    holder: Option<Holder>,
    listener: &'static str,
    log: Arc<Seldom>,
    /// The last question for an access token: clients ask the same again and again.
    memo: Mutex<Option<Memo<G::Receipt>>>,
}

impl<H: Host> Service<Stream> for Door<H> {
    type Connection = Connection<H::Guest>;

    fn connected(&self, stream: &Stream) -> (Self::Connection, Option<Holder>) {
        let (guest, holder) = self.host.meet(stream, self.listener);
        let connection = Connection {
            site: Arc::clone(&self.site),
            guest,
            holder,
            listener: self.listener,
            log: Arc::clone(&self.log),
            memo: Mutex::new(None),
        };
        (connection, holder)
    }
}

impl<G: Guest> Answer for Connection<G> {
    type Body = Full<Bytes>;

    fn at_once(&self, request: &Request<Incoming>) -> Option<Reply> {
        if let Some(reply) = self.again(request) {
            self.site.metrics.answered(Kind::Token, StatusCode::OK);
            return Some(reply);
        }
        let (kind, reply) = match self.admit(request) {
            Ok(admitted) => (admitted.kind(), self.at_hand(&admitted)?),
            Err(refused) => (Kind::None, *refused),
        };
        self.site.metrics.answered(kind, reply.status());
        Some(reply)
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        let (kind, reply) = match self.admit(&head) {
            Ok(admitted) => {
                let answered = self.answered(&admitted, body).await;
                (admitted.kind(), answered.unwrap_or_else(|refused| *refused))
            }
            // Let in a moment ago; the rules are others now.
            Err(refused) => (Kind::None, *refused),
        };
        self.site.metrics.answered(kind, reply.status());
        reply
    }
}

impl<G: Guest> Connection<G> {
    async fn answered(&self, asked: &Admitted<'_>, body: Incoming) -> Result<Reply, Refused> {
        let (path, site) = (asked.path, &*self.site);
        match asked.target {
            Target::Root => Ok(words::reply(StatusCode::OK, words::TEXT, "computeMetadata/\n")),
            Target::Versions => Ok(words::reply(StatusCode::OK, words::TEXT, "v1/\n")),
            // Node's library takes `instance` for the sign that there is a metadata server, also while there is none to ask.
            Target::Unslashed | Target::Tree("instance" | "project") => {
                Ok(words::moved(asked.host, path, asked.query))
            }
            Target::Token(name) => self.access(name, asked, body).await,
            Target::Identity(name) => self.id(name, asked, body).await,
            Target::Tree(below) if site.has_platform() => {
                let wish = Wish {
                    path: below,
                    query: asked.query,
                    host: asked.host,
                    whose: self.holder,
                };
                let accounts = site.accounts(&asked.grant);
                let lost = self.guest.loses_identity();
                let universe = site.universe_of_credentials();
                let reply = site
                    .mirror()
                    .answer(wish, &asked.grant, accounts, universe, lost)
                    .await;
                match reply.extensions().get() {
                    // The platform may have been slow: what holds now counts.
                    Some(PrivateKey::Given) if !self.may_have_identity() => {
                        self.guest.denied(What::Identity, NO_MORE);
                        return Err(words::refused(StatusCode::FORBIDDEN, NO_MORE).into());
                    }
                    Some(PrivateKey::Given) => self.guest.granted(What::Identity),
                    Some(PrivateKey::Denied(why)) => self.guest.denied(What::Identity, why),
                    None => {}
                }
                Ok(reply)
            }
            ours => {
                let query = Query::parse(asked.query)?;
                site.value(ours, path, &query, (&self.guest, self.holder)).await
            }
        }
    }

    fn may_have_identity(&self) -> bool {
        self.guest.grant().is_ok_and(|grant| grant.identity)
    }
}
