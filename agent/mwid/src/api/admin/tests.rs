//! The admin API over real sockets.
use super::ready::Readiness;
use super::*;
use crate::health::{Condition, Part};
use crate::http::client::{Answered, Ask, ask};
use crate::http::listener::unix::{Wanted, bind};
use crate::telemetry;
use hyper::Method;
use mtls_identity::candidate::{Candidate, CandidateBundles};
use mtls_identity::{Prover, UnixTime};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A clock that a test sets.
#[derive(Debug)]
struct Fixed(std::sync::atomic::AtomicU64);

impl rustls::time_provider::TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

struct Admin {
    dir: tempfile::TempDir,
    tcp: SocketAddr,
    inputs: Arc<Inputs>,
    reloads: mpsc::Receiver<ReloadRequest>,
    source: watch::Sender<SourceStatus>,
    _publish: watch::Sender<Vec<PublishStatus>>,
    identity: mtls_identity::Writer,
    clock: Arc<Fixed>,
    shutdown: Shutdown,
}

fn silent_workload(identity: &Reader, clock: Clock, shutdown: &Shutdown) -> Arc<workload::Server> {
    let inputs = workload::Inputs {
        identity: identity.clone(),
        jwt_svids: watch::Sender::new(crate::source::JwtSvids::NotYet).subscribe(),
        clock,
        access: Access::default(),
        board: Board::new(),
        metrics: workload::Metrics::default(),
        sds: crate::config::SdsSettings::default(),
        sds_metrics: workload::SdsMetrics::default(),
        expects_identity: true,
    };
    workload::Server::new(inputs, shutdown)
}

fn start_admin() -> Admin {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let wanted = Wanted {
        path: &path,
        mode: 0o660,
        owner: None,
        group: None,
    };
    let local = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
    let tcp = local.tcp_address().unwrap();
    let clock = Arc::new(Fixed(1_700_000_010.into()));
    let (identity_writer, identity) = mtls_identity::store();
    let (source, source_rx) = watch::channel(SourceStatus::default());
    let (publish, publish_rx) = watch::channel(Vec::new());
    let (reload, reloads) = mpsc::channel(1);
    let started_at = Timestamp::from_second(1_700_000_000).unwrap();
    let mut registry = telemetry::metrics::registry("1.2.3", started_at);
    let (metrics, http_metrics) = (Metrics::default(), http::Metrics::default());
    metrics.register(&mut registry);
    http_metrics.register(&mut registry);
    let shutdown = Shutdown::default();
    let inputs = Arc::new(Inputs {
        tokens: Tokens::default(),
        access: Access::default(),
        routes: AskRoutes(Arc::new(Vec::new)),
        workload: silent_workload(&identity, clock.clone(), &shutdown),
        board: Board::new(),
        started_at,
        clock: clock.clone(),
        identity,
        source: source_rx,
        publish: publish_rx,
        errors: Recent::new(telemetry::logging::wall_clock()),
        registry: Arc::new(registry),
        metrics,
        reload,
    });
    start(
        vec![bind(wanted).unwrap(), local],
        &inputs,
        &http_metrics,
        &shutdown,
    );
    Admin {
        dir,
        tcp,
        inputs,
        reloads,
        source,
        _publish: publish,
        identity: identity_writer,
        clock,
        shutdown,
    }
}

impl Admin {
    async fn ask_for(&self, method: Method, path: &str, accept: &'static str) -> (u16, String) {
        let socket = self.dir.path().join("admin.sock");
        let Answered { status, body } = ask(Ask {
            socket: &socket,
            method: &method,
            path,
            accept,
            headers: &[],
            timeout: Duration::from_secs(100),
            limit: 1 << 20,
        })
        .await
        .unwrap();
        (status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask_for(Method::GET, path, "*/*").await
    }

    /// Sends a whole request over TCP and returns the whole answer.
    async fn tcp(&self, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.tcp).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Puts a proven identity in force and the clock in its time.
    fn give_identity(&mut self, leaf: &testkit::pki::Leaf, root_pem: &str) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let now = u64::try_from(telemetry::logging::wall_clock()().as_second()).unwrap();
        let candidate = Candidate {
            certificates_pem: leaf.chain_pem.clone().into_bytes().into(),
            private_key_pem: zeroize::Zeroizing::new(leaf.key_pem.clone().into_bytes()),
            bundles: CandidateBundles::OwnPem(root_pem.as_bytes().to_vec()),
        };
        let now_unix = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let snapshot = Prover::new(provider).prove(&candidate, now_unix).unwrap();
        self.identity.publish(snapshot);
        self.set_clock(now);
    }

    fn set_clock(&self, now: u64) {
        self.clock.0.store(now, std::sync::atomic::Ordering::SeqCst);
    }

    fn part(&self, name: &'static str, condition: Condition) -> Part {
        let part = self.inputs.board.part(name);
        part.set(condition);
        part
    }
}

#[tokio::test]
async fn readiness_is_the_boards_at_the_moment_of_asking() {
    let admin = start_admin();
    let source = admin.inputs.board.part("source");
    let publish = admin.part(
        "publish",
        Condition::Degraded("nginx.service does not reload".to_owned()),
    );
    assert_eq!(
        admin.get("/readyz").await,
        (
            503,
            "source: starting\ndegraded: publish: nginx.service does not reload\n".to_owned()
        )
    );
    source.set(Condition::Ok);
    assert_eq!(
        admin.get("/readyz").await,
        (
            200,
            "ready\ndegraded: publish: nginx.service does not reload\n".to_owned()
        )
    );
    publish.set(Condition::NotReady("disk full".to_owned()));
    let (status, text) = admin.ask_for(Method::GET, "/readyz", "application/json").await;
    assert_eq!(status, 503);
    assert_eq!(
        serde_json::from_str::<Readiness>(&text).unwrap(),
        Readiness {
            ready: false,
            reasons: vec!["publish: disk full".to_owned()],
            degraded: vec![]
        }
    );
    let (_, metrics) = admin.get("/metrics").await;
    assert!(metrics.contains("\nmwid_ready 0\n"), "{metrics}");
    assert_eq!(
        admin.get("/healthz").await,
        (200, "ok\n".to_owned()),
        "alive is not ready"
    );
}

#[tokio::test]
async fn status_is_the_whole_as_of_now() {
    let admin = start_admin();
    let _part = admin.part("source", Condition::NotReady("gone".to_owned()));
    admin
        .source
        .send_modify(|status| status.kind = "guest_agent".to_owned());
    let status = async || {
        let (code, text) = admin.get("/status").await;
        assert_eq!(code, 200);
        serde_json::from_str::<crate::health::status::Status>(&text).unwrap()
    };
    let first = status().await;
    assert_eq!(first.source.kind, "guest_agent");
    assert_eq!(first.pid, std::process::id());
    assert_eq!(first.now.as_second(), 1_700_000_010);
    assert!(!first.ready && first.identity.is_none());
    assert_eq!(first.parts["source"], Condition::NotReady("gone".to_owned()));

    admin
        .source
        .send_modify(|status| status.kind = "dev_ca".to_owned());
    assert_eq!(status().await.source.kind, "dev_ca");
}

#[tokio::test]
async fn wrong_paths_and_methods_are_refused_in_words() {
    let admin = start_admin();
    let (status, text) = admin.get("/nothing").await;
    assert!(status == 404 && text.contains("/readyz"), "{status} {text}");
    assert_eq!(admin.ask_for(Method::POST, "/status", "*/*").await.0, 405);
    assert_eq!(admin.ask_for(Method::GET, "/reload", "*/*").await.0, 405);
    let refused = admin
        .tcp("DELETE /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD\r\n"),
        "{refused}"
    );
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let admin = start_admin();
    let answer = admin
        .tcp("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("content-length: 3\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn tcp_answers_probes_and_scrapes_only() {
    let admin = start_admin();
    for (path, code) in [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/status", 404),
        ("/identity", 404),
    ] {
        let answer = admin
            .tcp(&format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                admin.tcp
            ))
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{path}: {answer}"
        );
    }
    let reload = admin
        .tcp("POST /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(reload.starts_with("HTTP/1.1 404 "), "{reload}");
}

#[tokio::test]
async fn tcp_answers_under_our_own_name_only() {
    let admin = start_admin();
    for (request, code) in [
        (
            "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            403,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            403,
        ),
        (
            "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            403,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n",
            200,
        ),
        ("GET /metrics HTTP/1.0\r\n\r\n", 200),
    ] {
        let answer = admin.tcp(request).await;
        assert!(answer.contains(&format!(" {code} ")), "{request}: {answer}");
        assert_eq!(answer.contains("mwid_"), code == 200, "{request}: {answer}");
    }
}

#[tokio::test]
async fn metrics_have_the_type_that_the_scraper_reads() {
    let admin = start_admin();
    let scrape = async |accept: &str| {
        admin
            .tcp(&format!(
                "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
            ))
            .await
    };
    let plain = scrape("*/*").await;
    assert!(
        plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{plain}"
    );
    assert!(
        plain.contains("mwid_build_info{version=\"1.2.3\"} 1\n") && !plain.contains("# EOF"),
        "{plain}"
    );
    assert!(
        plain.contains("mwid_http_connections{listener=\"admin_tcp\"} 1\n"),
        "{plain}"
    );
    let open = scrape("application/openmetrics-text; version=1.0.0").await;
    assert!(
        open.contains("content-type: application/openmetrics-text; version=1.0.0")
            && open.ends_with("# EOF\n")
    );
}

#[tokio::test]
async fn a_reload_is_passed_on_with_its_caller_and_its_answer_told() {
    let mut admin = start_admin();
    let answers: [(ReloadAnswer, u16, &str); 5] = [
        (
            Ok(vec!["identity.source: none -> auto".to_owned()]),
            200,
            "identity.source: none -> auto\n",
        ),
        (Ok(vec![]), 200, "nothing changed\n"),
        (
            Err(ReloadRefusal::Invalid("line 3: no key `x`".to_owned())),
            422,
            "line 3: no key `x`\n",
        ),
        (
            Err(ReloadRefusal::Failed("port in use".to_owned())),
            500,
            "port in use\n",
        ),
        (
            Err(ReloadRefusal::Busy),
            409,
            "a reload is running already: wait for it and try again\n",
        ),
    ];
    let mut reloads = std::mem::replace(&mut admin.reloads, mpsc::channel(1).1);
    for (answer, code, text) in answers {
        let wiring = async {
            let request = reloads.recv().await.unwrap();
            request.reply.send(answer).unwrap();
        };
        let (told, ()) = tokio::join!(admin.ask_for(Method::POST, "/reload", "*/*"), wiring);
        assert_eq!(told, (code, text.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_reload_waits_another_is_refused_and_no_answer_is_said_in_time() {
    let admin = start_admin();
    // Nobody takes the first wish; it fills the queue of one.
    let first = admin.ask_for(Method::POST, "/reload", "application/json");
    let second = async {
        while admin.inputs.reload.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        admin.ask_for(Method::POST, "/reload", "*/*").await.0
    };
    let ((first, text), second) = tokio::join!(first, second);
    assert_eq!((first, second), (504, 409));
    assert!(text.starts_with("{\"error\":\"the reload still runs"), "{text}");
}

#[tokio::test]
async fn stopping_removes_the_socket() {
    let admin = start_admin();
    assert_eq!(admin.get("/healthz").await.0, 200);
    assert!(admin.shutdown.stop(Duration::from_secs(10)).await);
    assert!(!admin.dir.path().join("admin.sock").exists());
}

#[tokio::test]
async fn an_identity_that_ran_out_is_not_ready_even_when_its_part_sleeps() {
    let mut admin = start_admin();
    let _source = admin.part("source", Condition::Ok);
    let world = testkit::pki::World::new("a.example");
    admin.give_identity(&world.leaf("/ns/shop/sa/pay"), &world.root.cert_pem);
    let last = admin.inputs.identity.current().unwrap().not_after().as_secs();
    admin.set_clock(last);
    assert_eq!(admin.get("/readyz").await, (200, "ready\n".to_owned()));
    admin.set_clock(last + 1);
    let (code, text) = admin.get("/readyz").await;
    assert!(
        code == 503 && text.starts_with("identity: expired at 20"),
        "{code} {text}"
    );
    let status: crate::health::status::Status = serde_json::from_str(&admin.get("/status").await.1).unwrap();
    assert!(status.identity.unwrap().expired && !status.ready);
}

#[tokio::test]
async fn the_identity_is_told_in_words_and_its_key_nowhere() {
    let mut admin = start_admin();
    assert_eq!(admin.get("/identity").await, (200, "null\n".to_owned()));
    let world = testkit::pki::World::new("a.example");
    let mut spec = testkit::pki::LeafSpec::new("spiffe://a.example/ns/shop/sa/pay");
    spec.dns = vec!["pay.internal".to_owned()];
    let leaf = world.leaf_of(&spec);
    admin.give_identity(&leaf, &world.root.cert_pem);
    let current = admin.inputs.identity.current().unwrap();

    let (code, text) = admin.get("/identity").await;
    assert_eq!(code, 200);
    let detail: identity::IdentityDetail = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (detail.spiffe_id.as_str(), detail.generation),
        ("spiffe://a.example/ns/shop/sa/pay", 1)
    );
    let identity::Described::Readable(told) = &detail.leaf else {
        panic!("{text}")
    };
    assert_eq!(told.subject, "");
    assert_eq!(told.uris, ["spiffe://a.example/ns/shop/sa/pay"]);
    assert_eq!(told.dns_names, ["pay.internal"]);
    assert_eq!(told.serial, current.serial());
    assert_eq!((told.key.as_str(), told.ca), ("ECDSA P-256", false));
    assert_eq!(told.usages, ["digitalSignature", "keyAgreement"]);
    assert_eq!(told.extended_usages, ["serverAuth", "clientAuth"]);
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf.leaf_der);
    assert_eq!(
        told.sha256,
        sha256
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect::<String>()
    );
    assert_eq!(
        u64::try_from(told.not_after.as_second()).unwrap(),
        current.not_after().as_secs()
    );
    let identity::Described::Readable(intermediate) = &detail.chain[0] else {
        panic!("{text}")
    };
    assert!(intermediate.ca && intermediate.usages == ["keyCertSign", "cRLSign"]);
    assert_eq!(detail.bundles[0].trust_domain, "a.example");
    assert_eq!(detail.bundles[0].roots.len(), 1);

    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    // The last 32 bytes of a P-256 scalar in PKCS#8 stand before the public key; any window of the DER would do.
    let secret = &leaf.key_der[36..68];
    let in_pem: Vec<&str> = leaf
        .key_pem
        .lines()
        .filter(|line| !line.starts_with("--"))
        .collect();
    for path in ["/status", "/identity", "/metrics", "/readyz"] {
        let (_, text) = admin.get(path).await;
        assert!(
            !text.contains(&hex(secret)) && !in_pem.iter().any(|line| text.contains(line)),
            "{path}"
        );
    }
}

#[test]
fn certificates_that_cannot_be_read_are_told_by_their_hash() {
    let identity::Described::Unreadable { sha256, trouble } = identity::Described::of(b"junk") else {
        panic!()
    };
    assert_eq!(sha256.len(), 64);
    assert!(!trouble.is_empty());
}

#[test]
fn each_kind_of_key_has_a_name() {
    let world = testkit::pki::World::new("a.example");
    for (algorithm, name) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ECDSA P-256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ECDSA P-384"),
        (&rcgen::PKCS_ED25519, "Ed25519"),
        (&rcgen::PKCS_RSA_SHA256, "RSA 2048"),
    ] {
        let mut spec = testkit::pki::LeafSpec::new("spiffe://a.example/x");
        spec.algorithm = algorithm;
        let identity::Described::Readable(told) = identity::Described::of(&world.leaf_of(&spec).leaf_der)
        else {
            panic!("{name}")
        };
        assert_eq!(told.key, name);
    }
}

#[tokio::test]
async fn a_caller_whom_the_kernel_cannot_name_is_told_so() {
    let admin = start_admin();
    let path = admin.dir.path().join("other.sock");
    let wanted = Wanted {
        path: &path,
        mode: 0o600,
        owner: None,
        group: None,
    };
    // Our own number stands for the overflow uid.
    let attestor = Attestor::with_overflow_uid(nix::unistd::geteuid().as_raw());
    let door = Arc::new(door::Door::new(Arc::clone(&admin.inputs), attestor));
    let server = http::Metrics::default().server("other");
    admin.shutdown.spawn(http::serve(
        bind(wanted).unwrap(),
        door,
        Limits::default(),
        server,
        admin.shutdown.token(),
    ));
    for path_asked in ["/healthz", "/status"] {
        let answered = ask(Ask {
            socket: &path,
            method: &Method::GET,
            path: path_asked,
            accept: "*/*",
            headers: &[],
            timeout: Duration::from_secs(100),
            limit: 1 << 20,
        })
        .await
        .unwrap();
        assert_eq!(answered.status.as_u16(), 403, "{path_asked}");
        assert!(
            answered.body.starts_with(b"denied: the user of your process "),
            "{:?}",
            answered.body
        );
    }
}

/// With the clock paused, tokio parks once for each timer that goes off: a timer a minute would park 1440 times in this day.
#[tokio::test(start_paused = true)]
async fn an_idle_server_does_nothing_all_day() {
    let admin = start_admin();
    assert_eq!(admin.get("/healthz").await.0, 200);
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.worker_park_count(0);
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    let parks = metrics.worker_park_count(0) - before;
    assert!(parks <= 20, "woke {parks} times");
}
