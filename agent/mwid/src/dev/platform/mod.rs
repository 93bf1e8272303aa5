//! The embedded platform's metadata server: as strict as Compute Engine's, with tokens that a published JWKS verifies.
//!
//! In: nothing from outside this machine. Out: a server on a free port of 127.0.0.1. Never anything that a real platform would believe.
//! Follows Google's pages "View and query VM metadata" and "Verify VM identity" (Compute Engine).
mod query;
mod questions;
mod reply;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;

use crate::http::{self, Answer, Holder, Limits, Listener, Service, Stream};
use crate::shutdown::Shutdown;
use aws_lc_rs::error::Unspecified;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, Request};
use mtls_identity::Clock;
use query::Query;
use reply::{Refusal, Reply};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokens::{Issued, Issuer, Subject};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tree::{Form, Found, Node};

/// The instance. Its accounts are listed once, by `default`.
const TABLE: &str = include_str!("instance.json");
const ROOT: [&str; 2] = ["computeMetadata", "v1"];
const JWKS: &str = "/oauth2/v3/certs";
/// Of the account, as Google's accounts have one.
const ACCOUNT_ID: &str = "100000000000000000174";
/// A chain of certificates in PEM has some kilobytes.
const LARGEST_BODY: usize = 64 * 1024;
/// For who waits for a change and does not say how long.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts it; it ends with `shutdown`.
pub(crate) async fn start(clock: Clock, shutdown: &Shutdown) -> io::Result<SocketAddr> {
    let (address, _) = Platform::start(clock, shutdown)?;
    Ok(address)
}

/// What a running server knows. Cheap to clone.
#[derive(Clone)]
struct Platform(Arc<State>);

struct State {
    clock: Clock,
    tree: watch::Sender<Node>,
    issuer: Issuer,
    #[cfg(test)]
    test: testing::Switches,
}

impl Platform {
    fn start(clock: Clock, shutdown: &Shutdown) -> io::Result<(SocketAddr, Self)> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let platform = Self(Arc::new(State {
            clock,
            tree: watch::Sender::new(tree()?),
            issuer: Issuer::default(),
            #[cfg(test)]
            test: testing::Switches::default(),
        }));
        let limits = Limits {
            request: LONGEST_WAIT,
            ..Limits::default()
        };
        let counters = http::Metrics::default().server("platform");
        let listener = Listener::open_tcp(listener)?;
        let service = Arc::new(platform.clone());
        shutdown.spawn(http::serve(listener, service, limits, counters, shutdown.token()));
        Ok((address, platform))
    }
}

/// The table, with each account also by its e-mail address.
fn tree() -> io::Result<Node> {
    let below = Node::of("", &serde_json::from_str(TABLE)?);
    let mut tree = Node::Directory([].into());
    tree.set(&ROOT, below);
    let accounts = ["instance", "service-accounts"];
    let default = tree.at(&[&ROOT[..], &accounts, &["default"]].concat()).cloned();
    if let Some(account) = default {
        let email = account.at(&["email"]).map(Node::text).unwrap_or_default();
        tree.set(&[&ROOT[..], &accounts, &[&email]].concat(), account);
    }
    Ok(tree)
}

impl Service<Stream> for Platform {
    type Connection = Self;

    /// Everybody on this machine: what is here is of no worth.
    fn connected(&self, _: &Stream) -> (Self, Option<Holder>) {
        (self.clone(), None)
    }
}

impl Answer for Platform {
    type Body = http_body_util::Full<Bytes>;

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        #[cfg(test)]
        if let Some(reply) = self.0.test.meet(&request).await {
            return reply;
        }
        let path = request.uri().path().to_owned();
        self.met(request)
            .await
            .unwrap_or_else(|refusal| refusal.told(&path))
    }
}

impl Platform {
    async fn met(&self, request: Request<Incoming>) -> Result<Reply, Refusal> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        admit(&head)?;
        if path == JWKS {
            let jwks = self.0.issuer.jwks().await.map_err(broken)?;
            return Ok(reply::json(&jwks));
        }
        let query = Query::of(head.uri.query().unwrap_or_default());
        let query = query.ok_or(Refusal::BadRequest("the parameters do not decode"))?;
        let is_get = head.method == Method::GET;
        let tree = self.0.tree.subscribe();
        let made = match tree.borrow().find(path) {
            Found::Nothing => return Err(Refusal::NotFound),
            Found::Node(Node::Made) => true,
            _ if !is_get => return Err(Refusal::Method),
            Found::WithoutSlash => return Ok(reply::moved(&head)),
            Found::Node(_) => false,
        };
        if !made {
            return value(tree, path, &query).await;
        }
        if query.is_true("wait_for_change") {
            return Err(Refusal::BadRequest("wait_for_change is not supported here"));
        }
        let body = match is_get {
            true => None,
            false => Some(posted(&head.headers, body).await?),
        };
        self.token(path, &query, body.as_deref()).await
    }

    async fn token(&self, path: &str, query: &Query, body: Option<&[u8]>) -> Result<Reply, Refusal> {
        let tree = self.0.tree.borrow().clone();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (kind, account) = parts.split_last().ok_or(Refusal::NotFound)?;
        let account = tree.at(account).ok_or(Refusal::NotFound)?;
        let alt = alt(query)?;
        let now = self.0.clock.current_time().ok_or(Refusal::Broken)?.as_secs();
        let whose = Subject {
            email: account.at(&["email"]).map(Node::text).unwrap_or_default(),
            id: ACCOUNT_ID,
        };
        if *kind == "identity" {
            let (audience, claims) = questions::id(query, body, &tree)?;
            let token = self.0.issuer.id(now, &whose, audience, &claims).await;
            let text = token.map_err(broken)?.text;
            return Ok(match alt {
                Some(Form::Json) => reply::json(&text.as_str().into()),
                _ => reply::ok(reply::HTML, text.as_bytes().to_vec()),
            });
        }
        let claims = questions::access(query, body, &tree, account)?;
        let token = self.0.issuer.access(now, &whose, &claims).await;
        let Issued { text, expires_at } = token.map_err(broken)?;
        let (text, left) = (&*text, expires_at - now);
        Ok(match alt {
            Some(Form::Text) => reply::ok(
                reply::TEXT,
                format!("access_token {text}\nexpires_in {left}\ntoken_type Bearer\n"),
            ),
            _ => reply::json(&serde_json::json!({
                "access_token": text,
                "expires_in": left,
                "token_type": "Bearer",
            })),
        })
    }
}

/// What every question must be like.
fn admit(head: &Parts) -> Result<(), Refusal> {
    if head.headers.contains_key("x-forwarded-for") {
        return Err(Refusal::Forbidden(
            "Requests with X-Forwarded-For are not answered.",
        ));
    }
    // Clients look for the header in the answer to these before they send it.
    let is_open = head.uri.path() == "/" || head.uri.path() == JWKS;
    if !is_open && !has_flavor(&head.headers) {
        return Err(Refusal::Forbidden("Missing Metadata-Flavor:Google header."));
    }
    match head.method {
        Method::GET => Ok(()),
        Method::POST if !is_open => Ok(()),
        _ => Err(Refusal::Method),
    }
}

fn has_flavor(headers: &HeaderMap) -> bool {
    headers
        .get("metadata-flavor")
        .is_some_and(|flavor| flavor == "Google")
}

async fn posted(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Refusal> {
    let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
    let kind = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(reply::JSON) {
        return Err(Refusal::BadRequest("the body must be application/json"));
    }
    let body = http::body::read(body, LARGEST_BODY).await;
    body.map_err(|_| Refusal::BadRequest("the body is too large or broke off"))
}

fn broken(_: Unspecified) -> Refusal {
    Refusal::Broken
}

/// A value or a directory, now or when it has changed.
async fn value(mut tree: watch::Receiver<Node>, path: &str, query: &Query) -> Result<Reply, Refusal> {
    let until = Instant::now() + timeout(query)?;
    let waits = query.is_true("wait_for_change");
    let mut last = query.get("last_etag").map(str::to_owned);
    loop {
        let now = match tree.borrow_and_update().find(path) {
            Found::Node(node) => written(node, path, query)?,
            _ => return Err(Refusal::NotFound),
        };
        let etag = now.headers().get("etag").and_then(|etag| etag.to_str().ok());
        let etag = etag.unwrap_or_default().to_owned();
        if !waits || *last.get_or_insert_with(|| etag.clone()) != etag {
            return Ok(now);
        }
        tokio::select! {
            changed = tree.changed() => if changed.is_err() { return Ok(now) },
            () = sleep_until(until) => return Ok(now),
        }
    }
}

fn timeout(query: &Query) -> Result<Duration, Refusal> {
    let Some(seconds) = query.get("timeout_sec") else {
        return Ok(LONGEST_WAIT);
    };
    let seconds = seconds
        .parse()
        .map_err(|_| Refusal::BadRequest("timeout_sec must be a number"))?;
    Ok(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// How an answer is asked for.
fn alt(query: &Query) -> Result<Option<Form>, Refusal> {
    match query.get("alt") {
        None => Ok(None),
        Some("text") => Ok(Some(Form::Text)),
        Some("json") => Ok(Some(Form::Json)),
        Some(_) => Err(Refusal::BadRequest("alt must be text or json")),
    }
}

fn written(node: &Node, path: &str, query: &Query) -> Result<Reply, Refusal> {
    let recursive = node.is_directory() && query.is_true("recursive");
    if node.is_directory() && !recursive {
        return match query.is_true("wait_for_change") {
            true => Err(Refusal::BadRequest(
                "wait_for_change needs recursive=true for a directory",
            )),
            false => Ok(reply::ok(reply::TEXT, node.listing())),
        };
    }
    let form = alt(query)?.unwrap_or_else(|| node.form(recursive));
    Ok(match form {
        Form::Json => reply::json(&node.json()),
        Form::Text if path.ends_with("/universe-domain") => reply::ok("text/plain", node.text()),
        Form::Text => reply::ok(reply::TEXT, node.text()),
    })
}
