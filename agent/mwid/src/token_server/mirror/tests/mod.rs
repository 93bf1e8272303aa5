//! The mirror over a platform without sockets, so that the clock can stand still, and over one with them.
mod freshness;
mod secrets;
mod waiting;
mod wire;

use super::ask::Asker;
use super::platform::{Asking, Platform};
use super::*;
use crate::metadata::{Answer, MetadataError};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue};
use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Mutex;
use tokio::sync::Notify;
use zeroize::Zeroizing;

/// A platform.
#[derive(Default)]
pub(super) struct Fake {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    told: HashMap<String, Told>,
    asked: Vec<String>,
    away: bool,
    takes: Duration,
    /// It answers questions that wait at once.
    hasty: bool,
}

#[derive(Clone)]
struct Told {
    status: u16,
    content_type: &'static str,
    etag: &'static str,
    body: String,
}

fn told(body: &str) -> Told {
    Told {
        status: 200,
        content_type: "application/text",
        etag: "e1",
        body: body.to_owned(),
    }
}

impl Told {
    fn json(mut self) -> Self {
        self.content_type = "application/json";
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn etag(mut self, etag: &'static str) -> Self {
        self.etag = etag;
        self
    }
}

const SERVER: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 1));

impl Fake {
    fn set(&self, question: &str, told: Told) {
        self.state.lock().unwrap().told.insert(question.to_owned(), told);
        self.changed.notify_waiters();
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
    }

    fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    /// How many questions since the last time.
    fn count(&self) -> usize {
        std::mem::take(&mut self.state.lock().unwrap().asked).len()
    }

    async fn reply(&self, question: &str) -> Result<Answer, MetadataError> {
        let takes = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(question.to_owned());
            state.takes
        };
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let (plain, known) = known_tag(question);
        loop {
            let changed = self.changed.notified();
            let (away, told, hasty) = {
                let state = self.state.lock().unwrap();
                (state.away, state.told.get(&plain).cloned(), state.hasty)
            };
            if away {
                return Err(MetadataError::Connect {
                    server: SERVER,
                    source: std::io::ErrorKind::ConnectionRefused.into(),
                });
            }
            let told = told.unwrap_or_else(|| self::told("no such key").status(404));
            match &known {
                Some((tag, time)) if *tag == told.etag && !hasty => {
                    if tokio::time::timeout(*time, changed).await.is_err() {
                        return Ok(answer(&told));
                    }
                }
                _ => return Ok(answer(&told)),
            }
        }
    }
}

/// A question without what makes it wait, and the ETag and time of that.
fn known_tag(question: &str) -> (String, Option<(String, Duration)>) {
    let (path, query) = question.split_once('?').unwrap_or((question, ""));
    let (waiting, plain): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| {
        ["wait_for_change", "last_etag", "timeout_sec"].contains(&pair.split('=').next().unwrap())
    });
    let plain = plain.join("&");
    let mark = if plain.is_empty() { "" } else { "?" };
    let value = |name: &str| {
        waiting
            .iter()
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    let known = value("wait_for_change").map(|_| {
        let seconds = value("timeout_sec").unwrap().parse().unwrap();
        (
            value("last_etag").unwrap().to_owned(),
            Duration::from_secs(seconds),
        )
    });
    (format!("{path}{mark}{plain}"), known)
}

fn answer(told: &Told) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(told.content_type));
    headers.insert(ETAG, HeaderValue::from_static(told.etag));
    headers.insert("x-of-the-platform", HeaderValue::from_static("x"));
    headers.insert("transfer-encoding", HeaderValue::from_static("chunked"));
    Answer {
        status: StatusCode::from_u16(told.status).unwrap(),
        headers,
        body: Zeroizing::new(told.body.clone().into_bytes()),
    }
}

impl Platform for Arc<Fake> {
    fn ask<'a>(&'a self, path: &'a str, within: Option<Duration>) -> Asking<'a> {
        let after = within.unwrap_or(Duration::from_secs(5));
        Box::pin(async move {
            match tokio::time::timeout(after, self.reply(path)).await {
                Ok(done) => done,
                Err(_) => Err(MetadataError::TimedOut {
                    server: SERVER,
                    path: path.to_owned(),
                    after,
                }),
            }
        })
    }
}

/// A mirror over a platform.
#[derive(Clone)]
struct World {
    platform: Arc<Fake>,
    mirror: Arc<Mirror>,
    shutdown: Shutdown,
}

/// What a caller got.
#[derive(Debug, PartialEq)]
struct Got {
    status: u16,
    content_type: String,
    etag: Option<String>,
    body: String,
    about_key: Option<PrivateKey>,
}

impl World {
    fn new() -> Self {
        let platform = Arc::new(Fake::default());
        let shutdown = Shutdown::default();
        let asker = Asker::new(
            Box::new(Arc::clone(&platform)),
            Metrics::default(),
            shutdown.clone(),
        );
        Self {
            platform,
            mirror: Mirror::over(Some(asker)),
            shutdown,
        }
    }

    fn asker(&self) -> &Arc<Asker> {
        self.mirror.asker.as_ref().unwrap()
    }

    async fn ask(&self, target: &str) -> Reply {
        ask(&self.mirror, target, false).await
    }

    async fn get(&self, target: &str) -> Got {
        got(self.ask(target).await).await
    }

    async fn get_as(&self, identity: bool, target: &str) -> Got {
        got(ask(&self.mirror, target, identity).await).await
    }

    async fn body(&self, target: &str) -> String {
        self.get(target).await.body
    }

    async fn status(&self, target: &str) -> u16 {
        self.get(target).await.status
    }
}

async fn ask(mirror: &Mirror, target: &str, identity: bool) -> Reply {
    ask_until(mirror, target, identity, pending()).await
}

/// As a caller who loses the identity at some time.
async fn ask_until(
    mirror: &Mirror,
    target: &str,
    identity: bool,
    lost: impl Future<Output = ()> + Send,
) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let wish = Wish {
        path,
        query,
        host: "mwid.test:8174",
        whose: None,
    };
    let grant = Grant {
        identity,
        ..Grant::default()
    };
    let accounts = async { Some(serde_json::json!({"default": {"email": "ours@x"}})) };
    let answer = mirror.answer(wish, &grant, accounts, async { None }, lost);
    fn sent<T: Send>(value: T) -> T {
        value
    }
    sent(answer).await
}

async fn got(reply: Reply) -> Got {
    let (head, body) = reply.into_parts();
    for name in [
        "metadata-flavor",
        "server",
        "x-xss-protection",
        "x-frame-options",
        "content-type",
    ] {
        assert!(head.headers.contains_key(name), "{name} is missing");
    }
    for name in ["x-of-the-platform", "transfer-encoding"] {
        assert!(!head.headers.contains_key(name), "{name} is the platform's");
    }
    let body = body.collect().await.unwrap().to_bytes();
    Got {
        status: head.status.as_u16(),
        content_type: head.headers["content-type"].to_str().unwrap().to_owned(),
        etag: head
            .headers
            .get("etag")
            .map(|tag| tag.to_str().unwrap().to_owned()),
        body: String::from_utf8(body.to_vec()).unwrap(),
        about_key: head.extensions.get::<PrivateKey>().copied(),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_passed_on_with_its_type_and_etag() {
    let w = World::new();
    w.platform
        .set("instance/tags", told("[\"a\"]").json().etag("abc"));
    assert_eq!(
        w.get("instance/tags").await,
        Got {
            status: 200,
            content_type: "application/json".to_owned(),
            etag: Some("abc".to_owned()),
            body: "[\"a\"]".to_owned(),
            about_key: None,
        }
    );
    w.platform.set("x", told("<p>not here").status(404));
    let got = w.get("x").await;
    assert_eq!((got.status, got.body.as_str()), (404, "<p>not here"));
    w.platform.set("instance/y", told("never configured").status(412));
    assert_eq!(w.status("instance/y").await, 412);
    let value = async |path| {
        w.mirror
            .value(path)
            .await
            .map_err(|reply| reply.status().as_u16())
    };
    assert_eq!(value("instance/tags").await, Ok(Some("[\"a\"]".to_owned())));
    assert_eq!(value("x").await, Ok(None));
    assert_eq!(value("instance/y").await, Err(503), "neither there nor not");
    w.platform.set("instance/empty", told(" \n"));
    assert_eq!(value("instance/empty").await, Ok(None));
    w.platform.with(|state| state.away = true);
    assert_eq!(value("instance/tags").await, Ok(Some("[\"a\"]".to_owned())));
    assert_eq!(value("instance/z").await, Err(503));
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_redirected_to_the_callers_host() {
    let w = World::new();
    w.platform
        .set("instance", told("/computeMetadata/v1/instance/\n").status(301));
    let reply = w.ask("instance?recursive=true&x=y").await;
    assert_eq!(
        (
            reply.status().as_u16(),
            reply.headers()["location"].to_str().unwrap()
        ),
        (
            301,
            "http://mwid.test:8174/computeMetadata/v1/instance/?recursive=true"
        )
    );
    assert_eq!(w.platform.asked(), ["instance"]);
    assert_eq!(got(reply).await.body, "/computeMetadata/v1/instance/\n");
}

#[tokio::test(start_paused = true)]
async fn only_known_parameters_reach_the_platform() {
    let w = World::new();
    for (asked, question) in [
        ("instance/tags?a=b&alt=TEXT&scopes=x#y", "instance/tags?alt=text"),
        ("instance/tags?recursive=true", "instance/tags"),
        ("instance/?recursive=true", "instance/?recursive=true&alt=json"),
        (
            "instance/?recursive=true&alt=text",
            "instance/?recursive=true&alt=json",
        ),
        ("instance/?alt=json", "instance/"),
        ("instance/disks/?recursive=false&alt=text", "instance/disks/"),
        (
            "instance/disks/?recursive=true&alt=text",
            "instance/disks/?recursive=true&alt=text",
        ),
        ("?recursive=true", "?recursive=true&alt=json"),
        ("instance/?recursive=no", "instance/"),
    ] {
        w.get(asked).await;
        assert_eq!(w.platform.asked().last().unwrap(), question, "{asked}");
        tokio::time::advance(seconds(2)).await;
    }
    w.platform.count();
    for asked in [
        "instance/?recursive=maybe",
        "instance/?alt=xml",
        "instance/?wait_for_change=true",
    ] {
        assert_eq!(w.status(asked).await, 400, "{asked}");
    }
    assert_eq!(w.platform.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_names_in_a_directory_are_text_whatever_is_asked_for() {
    let w = World::new();
    w.platform.set("instance/disks/", told("0/\n1/\n"));
    for query in ["", "?alt=json", "?alt=text", "?alt=json&recursive=false"] {
        let got = w.get(&format!("instance/disks/{query}")).await;
        assert_eq!((got.status, &*got.body), (200, "0/\n1/\n"), "{query}");
        assert_eq!(got.content_type, "application/text", "{query}");
    }
    assert_eq!(w.platform.asked(), ["instance/disks/"], "one question for all");
}

#[tokio::test(start_paused = true)]
async fn what_is_ours_never_reaches_the_platform() {
    let w = World::new();
    for path in [
        "instance/service-accounts/default/token",
        "instance/Service-Accounts/default/token",
        "instance/serviceAccounts/",
        "instance/service_accounts/default/identity",
        "instance/service-accounts;x/default/token",
        "instance//service-accounts/default/token",
    ] {
        for identity in [true, false] {
            assert_eq!(w.get_as(identity, path).await.status, 404, "{path}");
        }
        assert_eq!(w.mirror.value(path).await.unwrap(), None);
    }
    assert_eq!(
        w.mirror
            .value("instance/gce-workload-certificates/workload-identities")
            .await
            .unwrap(),
        None
    );
    assert_eq!(w.platform.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_platform_no_key_is_there() {
    let mirror = Mirror::new(None, Metrics::default(), &Shutdown::default());
    let got = got(ask(&mirror, "instance/attributes/<x>", true).await).await;
    assert_eq!(got.status, 404);
    let mirror = Mirror::new(None, Metrics::default(), &Shutdown::default());
    let page = self::got(ask(&mirror, "instance/attributes/x", true).await).await;
    assert!(
        page.body
            .contains("The requested URL <code>/computeMetadata/v1/instance/attributes/x</code> was not found on this server."),
        "{}",
        page.body
    );
    assert_eq!(mirror.value("project/project-id").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_is_named() {
    let w = World::new();
    w.platform.set("instance/tags", told("x"));
    w.get("instance/tags").await;
    w.get("instance/tags").await;
    let mut registry = prometheus_client::registry::Registry::with_prefix("mwid");
    w.asker().metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "mwid_platform_requests_total{outcome=\"ok\"} 1",
        "mwid_platform_cache_hits_total 1",
        "mwid_platform_stale_answers_total 0",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
