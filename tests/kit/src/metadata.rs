//! A metadata server as strict as the real one: HTTP/1.1, GET, no request without `Metadata-Flavor: Google` or with
//! `X-Forwarded-For`. Its bodies have the shape that was captured on a VM. It can be slow, and it waits for changes as the real one does.
use crate::pki::{Leaf, World};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const ROOT: &str = "/computeMetadata/v1/";
const CERTIFICATES: &str = "instance/gce-workload-certificates/";

/// A running server; stops when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, Answer>,
    asked: Vec<String>,
    stop: bool,
}

/// What is answered to a path.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    content_type: &'static str,
    flavor: Option<&'static str>,
    etag: String,
    location: Option<String>,
    body: String,
    after: Duration,
    length: bool,
    cut: bool,
}

/// What the platform has for the VM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `config-status`, as it is.
    pub config_status: String,
    /// `workloadCredentials`.
    pub credentials: Vec<Credential>,
    /// `trustAnchors`: trust domain, roots.
    pub anchors: Vec<(String, String)>,
    /// With the member `status`, as servers had it until 2024.
    pub with_status: bool,
}

/// One entry of `workloadCredentials`.
#[derive(Clone, Debug)]
pub struct Credential {
    /// SPIFFE ID.
    pub id: String,
    /// Leaf, issuing CA.
    pub chain_pem: String,
    /// Empty: withheld.
    pub key_pem: String,
}

impl Answer {
    /// 200, `application/json`.
    pub fn json(body: &str) -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            flavor: Some("Google"),
            etag: "0123456789abcdef".to_owned(),
            location: None,
            body: body.to_owned(),
            after: Duration::ZERO,
            length: true,
            cut: false,
        }
    }

    /// 200, `application/text`: a plain value.
    pub fn text(body: &str) -> Self {
        Self {
            content_type: "application/text",
            ..Self::json(body)
        }
    }

    /// A directory that is asked for without its slash. `path` is below `computeMetadata/v1/`.
    pub fn moved(path: &str) -> Self {
        Self {
            location: Some(format!("http://metadata.google.internal{ROOT}{path}/")),
            ..Self::status(301, &format!("{ROOT}{path}/\n"))
        }
    }

    /// Another status.
    pub fn status(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/html; charset=UTF-8",
            ..Self::json(body)
        }
    }

    /// Another `Metadata-Flavor`, or none.
    #[must_use]
    pub fn flavor(mut self, flavor: Option<&'static str>) -> Self {
        self.flavor = flavor;
        self
    }

    /// Another ETag: the value has changed.
    #[must_use]
    pub fn etag(mut self, etag: &str) -> Self {
        etag.clone_into(&mut self.etag);
        self
    }

    /// Takes its time.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// The end of the connection is the end of the body.
    #[must_use]
    pub fn without_length(mut self) -> Self {
        self.length = false;
        self
    }

    /// Says one byte more than it has.
    #[must_use]
    pub fn cut_short(mut self) -> Self {
        self.cut = true;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} x\r\nContent-Type: {}\r\nServer: Metadata Server for VM\r\nETag: {}\r\n",
            self.status, self.content_type, self.etag
        );
        if let Some(location) = &self.location {
            head += &format!("Location: {location}\r\n");
        }
        if let Some(flavor) = self.flavor {
            head += &format!("Metadata-Flavor: {flavor}\r\n");
        }
        // 204 and 304 have no body (RFC 9110, 8.6).
        if self.length && self.status != 204 {
            head += &format!("Content-Length: {}\r\n", self.body.len() + usize::from(self.cut));
        }
        format!("{head}Connection: close\r\n\r\n{}", self.body).into_bytes()
    }
}

impl Identity {
    /// A leaf of a world, with the world's root.
    pub fn of(world: &World, leaf: &Leaf, path: &str) -> Self {
        let domain = &world.root.trust_domain;
        Self {
            config_status: "{\n  \"partnerMetadataConfigsErrors\": {}\n}\n".to_owned(),
            credentials: vec![Credential {
                id: format!("spiffe://{domain}{path}"),
                // A blank line between the blocks, as CA Service's chains come.
                chain_pem: leaf.chain_pem.replace(
                    "-----END CERTIFICATE-----\r\n-----B",
                    "-----END CERTIFICATE-----\n\n-----B",
                ),
                key_pem: leaf.key_pem.clone(),
            }],
            anchors: vec![(domain.clone(), world.root.cert_pem.clone())],
            with_status: false,
        }
    }

    fn identities(&self) -> String {
        let entries = self.credentials.iter().map(|c| {
            let inner = object([
                ("certificatePem".to_owned(), text(&c.chain_pem)),
                ("privateKeyPem".to_owned(), text(&c.key_pem)),
            ]);
            (c.id.clone(), inner)
        });
        self.document("workloadCredentials", object(entries))
    }

    fn trust_anchors(&self) -> String {
        let entries = self
            .anchors
            .iter()
            .map(|(name, pem)| (name.clone(), object([("trustAnchorsPem".to_owned(), text(pem))])));
        self.document("trustAnchors", object(entries))
    }

    fn document(&self, member: &str, value: String) -> String {
        let status = self.with_status.then(|| ("status".to_owned(), text("OK")));
        object(status.into_iter().chain([(member.to_owned(), value)]))
    }
}

fn object(members: impl IntoIterator<Item = (String, String)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("  {}: {value}", text(&name)))
        .collect();
    format!("{{\n{}\n}}", members.join(",\n"))
}

/// A JSON string.
fn text(plain: &str) -> String {
    let escaped = plain
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\r', "\\r")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

impl Server {
    /// On a free port of 127.0.0.1. Knows nothing: every path is the generic 404.
    pub fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into())
    }

    /// At an address.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut serving = vec![];
            for stream in listener.incoming() {
                if ours.lock().stop {
                    break;
                }
                let shared = Arc::clone(&ours);
                serving.push(std::thread::spawn(move || {
                    // A client that goes away is its own business.
                    let _gone = stream.and_then(|stream| serve(&stream, &shared));
                }));
                serving.retain(|one| !one.is_finished());
            }
            for one in serving {
                drop(one.join());
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the answer to a path below `computeMetadata/v1/`.
    pub fn set(&self, path: &str, answer: Answer) {
        self.shared.change(|state| {
            state.answers.insert(path.to_owned(), answer);
        });
    }

    /// The paths that were asked for so far, in order.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().asked.clone()
    }

    /// Hands out an identity from now on.
    pub fn deliver(&self, identity: &Identity) {
        self.shared.change(|state| {
            for (name, body) in [
                ("config-status", identity.config_status.clone()),
                ("workload-identities", identity.identities()),
                ("trust-anchors", identity.trust_anchors()),
            ] {
                state
                    .answers
                    .insert(format!("{CERTIFICATES}{name}"), Answer::json(&body));
            }
        });
    }

    /// Answers alike to all three documents from now on.
    pub fn refuse(&self, answer: &Answer) {
        for name in ["config-status", "workload-identities", "trust-anchors"] {
            self.set(&format!("{CERTIFICATES}{name}"), answer.clone());
        }
    }

    /// A VM that could have the feature and has not.
    pub fn feature_off(&self) {
        self.refuse(&Answer::status(404, "workload certificate feature not enabled\n"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.change(|state| state.stop = true);
        // Wakes the thread.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream).take(64 * 1024).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut stream = stream;
    let answer = answer(&first, &headers, shared);
    let until = Instant::now() + answer.after;
    shared.wait(shared.lock(), until, |state| state.stop);
    stream.write_all(&answer.bytes())
}

impl Shared {
    /// Until then, or until it holds.
    fn wait(&self, state: MutexGuard<'_, State>, until: Instant, mut holds: impl FnMut(&State) -> bool) {
        let left = until.saturating_duration_since(Instant::now());
        drop(
            self.changed
                .wait_timeout_while(state, left, |state| !holds(state)),
        );
    }
}

/// What makes a question wait for another value than the one with this ETag.
struct Waiting {
    last_etag: Option<String>,
    until: Instant,
}

/// A path without what makes it wait.
fn waiting(path: &str) -> (String, Option<Waiting>) {
    let (plain, query) = path.split_once('?').unwrap_or((path, ""));
    let value = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    let ours = ["wait_for_change", "last_etag", "timeout_sec"];
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !ours.contains(&pair.split('=').next().unwrap_or_default()))
        .collect();
    let mark = if rest.is_empty() { "" } else { "?" };
    let waits = (value("wait_for_change") == Some("true")).then(|| Waiting {
        last_etag: value("last_etag").map(str::to_owned),
        until: Instant::now()
            + value("timeout_sec")
                .and_then(|seconds| seconds.parse().ok())
                .map_or(Duration::from_secs(3600), Duration::from_secs),
    });
    (format!("{plain}{mark}{}", rest.join("&")), waits)
}

/// What is there at a path, waited for if that is asked for.
fn found(path: &str, shared: &Shared) -> Option<Answer> {
    let mut state = shared.lock();
    state.asked.push(path.to_owned());
    let (plain, waits) = waiting(path);
    let Some(waits) = waits else {
        return state.answers.get(path).cloned();
    };
    let directory = plain
        .split('?')
        .next()
        .is_none_or(|path| path.is_empty() || path.ends_with('/'));
    if directory && !plain.contains("recursive=true") || plain.ends_with("/token") {
        return Some(Answer::status(400, "wait_for_change is not for this"));
    }
    let known = waits
        .last_etag
        .or_else(|| state.answers.get(&plain).map(|answer| answer.etag.clone()));
    shared.wait(state, waits.until, |state| {
        state.stop || state.answers.get(&plain).map(|answer| &answer.etag) != known.as_ref()
    });
    shared.lock().answers.get(&plain).cloned()
}

fn answer(first: &str, headers: &BTreeMap<String, String>, shared: &Shared) -> Answer {
    let mut words = first.split(' ');
    let (Some("GET"), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
        return Answer::status(405, "");
    };
    if !headers.contains_key("host") {
        return Answer::status(400, "");
    }
    if headers.get("metadata-flavor").map(String::as_str) != Some("Google") {
        return Answer::status(
            403,
            &format!(
                "Your client does not have permission to get URL <code>{target}</code> from this server. Missing \
                 Metadata-Flavor:Google header."
            ),
        );
    }
    if headers.contains_key("x-forwarded-for") {
        return Answer::status(403, "");
    }
    let known = target.strip_prefix(ROOT).and_then(|path| found(path, shared));
    known.unwrap_or_else(|| {
        Answer::status(
            404,
            &format!(
                "<p>The requested URL <code>{target}</code> was not found on this server.  <ins>That's all we know.</ins>"
            ),
        )
    })
}
