//! The instance's own data: asked of the platform for the callers, and remembered.
//!
//! In: a path of the metadata tree that is not ours, its query, and what the caller may have. Out: the platform's answer, or the last one while the
//! platform is away. Never a private key for a caller without `identity`, never a token.
mod ask;
mod key;
mod memory;
mod metrics;
mod path;
mod platform;
mod query;
mod said;
#[cfg(test)]
mod tests;
mod tree;
mod trouble;
mod wait;

pub(super) use metrics::Metrics;

use super::refusal::Refused;
use super::words;
use crate::caller::Grant;
use crate::http::Holder;
use crate::http::reply::Reply;
use crate::metadata;
use crate::shutdown::Shutdown;
use ask::Asker;
use hyper::StatusCode;
use key::{Form, Key};
use path::Kind;
use query::{Alt, Query, QueryError};
use said::Said;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tree::{Ours, TreeError};
use wait::Waiting;

/// How long a request may wait for a change. The server's own limit for a request has to be longer.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

const NO_IDENTITY: &str = "This is or holds the private key of the VM's X.509 identity, and no access rule grants you `identity: true`; \
                           without it, ask for single keys, or for a tree, which comes without the key.";

pub(super) const NO_MORE: &str = "the access rules of mwid do not grant you the X.509 identity any more";

/// What the platform said.
pub(super) struct Mirror {
    /// None: there is no platform.
    asker: Option<Arc<Asker>>,
    waiting: Arc<Waiting>,
}

/// One question, already known to be well formed: the path holds no `%`, no empty, `.` or `..` segment.
pub(super) struct Wish<'a> {
    /// Below `/computeMetadata/v1/`, as it came (a final slash is kept).
    pub(super) path: &'a str,
    /// As it came, without `?`.
    pub(super) query: &'a str,
    /// As it came, for the Location of a redirect.
    pub(super) host: &'a str,
    /// Who asks: a flood of his questions holds up nobody else's.
    pub(super) whose: Option<Holder>,
}

/// For the record, among a reply's extensions: it was about the X.509 identity's private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateKey {
    /// The reply holds it.
    Given,
    /// The caller asked for it and may not have it, for this reason.
    Denied(&'static str),
}

impl Mirror {
    pub(super) fn new(
        platform: Option<metadata::Client>,
        metrics: Metrics,
        shutdown: &Shutdown,
    ) -> Arc<Self> {
        let asker = platform.map(|client| Asker::new(Box::new(client), metrics, shutdown.clone()));
        Self::over(asker)
    }

    fn over(asker: Option<Arc<Asker>>) -> Arc<Self> {
        Arc::new(Self {
            asker,
            waiting: Arc::new(Waiting::new()),
        })
    }

    /// The answer, in the metadata server's words and headers. `accounts` is what a whole tree shows below `instance/service-accounts/` in place of
    /// the platform's (`{"default": {"aliases": …, "email": …, "scopes": …}, …}`); it is asked for only when a tree needs it, and with none the
    /// tree has no such member. `universe` is the domain in place of the platform's, if the credentials have another one. `lost` returns when the caller may not have the identity any more: then a wait for what could hold its key ends.
    pub(super) async fn answer(
        &self,
        wish: Wish<'_>,
        grant: &Grant,
        accounts: impl Future<Output = Option<Value>> + Send,
        universe: impl Future<Output = Option<String>> + Send,
        lost: impl Future<Output = ()> + Send,
    ) -> Reply {
        let Wish { path, query, .. } = wish;
        let kind = path::kind(path);
        let Some(asker) = self.asker.as_ref().filter(|_| kind != Kind::Unknown) else {
            return words::not_found(&whole(path));
        };
        if kind == Kind::Identity && !grant.identity {
            return no_key(NO_IDENTITY);
        }
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(why) => return words::refused(StatusCode::BAD_REQUEST, &why.to_string()),
        };
        if query.others.too_many && path::has_parameters(path) {
            return words::refused(StatusCode::BAD_REQUEST, &QueryError::TooMany.to_string());
        }
        let key = Key::new(path, &query, grant.identity);
        let heard = match &query.wait {
            None => asker.get(&key, wish.whose).await,
            Some(_) if is_listing(&key) => {
                let why = "wait_for_change is for single values, and for directories with recursive=true";
                return words::refused(StatusCode::BAD_REQUEST, why);
            }
            Some(wait) => {
                let changed = self.changed(asker, &key, wait.clone(), wish.whose);
                tokio::select! {
                    biased;
                    () = lost, if key.may_hold_identity() => return no_key(NO_MORE),
                    heard = changed => heard,
                }
            }
        };
        match heard {
            Ok(said) => told(&said, &key, &wish, &query, (accounts, universe)).await,
            Err(why) => why.reply(asker.retry_after(&key)),
        }
    }

    /// One value as text, trimmed; none where the platform says that it has none, or where there is no platform. What cannot be told now is a reply.
    pub(super) async fn value(&self, path: &str) -> Result<Option<String>, Refused> {
        let Some(asker) = self.asker.as_ref().filter(|_| path::kind(path) == Kind::Open) else {
            return Ok(None);
        };
        let key = Key::value(path);
        let said = match asker.get(&key, None).await {
            Ok(said) => said,
            Err(why) => return Err(Box::new(why.reply(asker.retry_after(&key)))),
        };
        match (said.status, std::str::from_utf8(said.body())) {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (StatusCode::OK, Ok(text)) => Ok(Some(text.trim())
                .filter(|text| !text.is_empty())
                .map(str::to_owned)),
            _ => {
                let why = "The platform's metadata server answers this key with what is no value; ask again.";
                Err(Box::new(words::unavailable(why, asker.retry_after(&key))))
            }
        }
    }

    /// Asks for these single values until each was answered once, so that they are remembered before anybody asks for them.
    pub(super) fn learn(&self, paths: &'static [&'static str]) {
        let Some(asker) = &self.asker else { return };
        for path in paths {
            let (asker, key) = (Arc::clone(asker), Key::value(path));
            asker.shutdown.clone().spawn(async move {
                tokio::select! {
                    biased;
                    () = asker.shutdown.asked() => {}
                    () = asker.learn(&key) => {}
                }
            });
        }
    }
}

/// A refusal, with what the record is to say of it.
fn no_key(why: &'static str) -> Reply {
    let mut reply = words::refused(StatusCode::FORBIDDEN, why);
    reply.extensions_mut().insert(PrivateKey::Denied(why));
    reply
}

/// What of the platform's answer the caller gets.
async fn told(
    said: &Said,
    key: &Key,
    wish: &Wish<'_>,
    query: &Query,
    (accounts, universe): (
        impl Future<Output = Option<Value>> + Send,
        impl Future<Output = Option<String>> + Send,
    ),
) -> Reply {
    if said.status == StatusCode::MOVED_PERMANENTLY {
        return words::moved(wish.host, &whole(wish.path), &query.text());
    }
    let mut ours = Ours::default();
    if said.accounts_at.is_some() {
        ours.accounts = accounts.await;
    }
    if said.universe_at.is_some() {
        ours.universe = universe.await;
    }
    let as_lines =
        matches!(key.form, Form::Tree { .. }) && query.alt == Some(Alt::Text) && said.status.is_success();
    let mut content_type = said.content_type.clone();
    let body = match rewritten(said, key, &ours, as_lines) {
        Ok(None) => said.shared(),
        Ok(Some(body)) => said::bytes(Arc::new(body)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, path = key.path, "a tree is not passed on");
            return words::refused(
                StatusCode::BAD_GATEWAY,
                "The platform's answer could not be read.",
            );
        }
    };
    if as_lines {
        content_type = words::TEXT;
    }
    let mut reply = words::tagged(words::reply(said.status, content_type, body), said.etag.as_ref());
    if said.holds_identity && said.status.is_success() {
        reply.extensions_mut().insert(PrivateKey::Given);
    }
    reply
}

/// The body, if it is not the platform's.
fn rewritten(
    said: &Said,
    key: &Key,
    ours: &Ours,
    as_lines: bool,
) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, TreeError> {
    let grafted = ours.grafted(said.body(), said.accounts_at, said.universe_at.as_ref());
    if !as_lines {
        return Ok(grafted);
    }
    let tree = grafted.as_ref().map_or(said.body(), |grafted| grafted);
    tree::lines(tree, &key.names()).map(Some)
}

/// Names in a directory.
fn is_listing(key: &Key) -> bool {
    matches!(key.form, Form::Plain { .. }) && (key.path.is_empty() || key.path.ends_with('/'))
}

fn whole(path: &str) -> String {
    format!("{}{path}", words::ROOT)
}
