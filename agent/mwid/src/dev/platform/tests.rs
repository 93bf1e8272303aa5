//! The embedded platform answers what the real server answers, to those who ask as the real server wants it.
use super::testing::Platform;
use super::*;
use crate::http::client::talk;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http_body_util::Full;
use hyper::Response;
use mtls_identity::UnixTime;
use rustls::time_provider::TimeProvider;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

const V1: &str = "/computeMetadata/v1/";
const ACCOUNT: &str = "/computeMetadata/v1/instance/service-accounts/default/";
const EMAIL: &str = "dev-vm@mwid-dev.iam.gserviceaccount.com";
const GCS: &str = "https://www.googleapis.com/auth/devstorage.read_only";

#[derive(Debug)]
struct TestClock(AtomicU64);

impl TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

const NOW: u64 = 1_800_000_000;

fn start() -> (Platform, Arc<TestClock>) {
    let clock = Arc::new(TestClock(AtomicU64::new(NOW)));
    (Platform::start(Arc::clone(&clock) as Clock), clock)
}

/// As it goes on the wire, without anything that the test does not say.
async fn send(
    platform: &Platform,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response<Bytes> {
    let stream = tokio::net::TcpStream::connect(platform.address()).await.unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "metadata.google.internal");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    talk(stream, request, 1024 * 1024).await.unwrap()
}

async fn get(platform: &Platform, path: &str) -> Response<Bytes> {
    send(platform, "GET", path, &[("Metadata-Flavor", "Google")], "").await
}

/// Status, content type, body.
async fn told(platform: &Platform, path: &str) -> (u16, String, String) {
    let answer = get(platform, path).await;
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status().as_u16(), kind, body)
}

async fn text(platform: &Platform, key: &str) -> String {
    let (status, _, body) = told(platform, &format!("{V1}{key}")).await;
    assert_eq!(status, 200, "{key}: {body}");
    body
}

async fn refused(platform: &Platform, path: &str) -> String {
    let (status, _, body) = told(platform, path).await;
    assert_eq!(status, 400, "{path}: {body}");
    body
}

/// The claims of a token, once its signature holds by the published key.
async fn claims(platform: &Platform, token: &str) -> Value {
    let jwks = send(platform, "GET", JWKS, &[], "").await;
    let jwks: Value = serde_json::from_slice(jwks.body()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("not three parts")
    };
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let parsed: Value = serde_json::from_slice(&read(header)).unwrap();
    assert_eq!((&parsed["alg"], &parsed["typ"]), (&json!("ES256"), &json!("JWT")));
    let keys = jwks["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == parsed["kid"]).unwrap();
    let point = [
        &[4_u8][..],
        &read(key["x"].as_str().unwrap()),
        &read(key["y"].as_str().unwrap()),
    ]
    .concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(format!("{header}.{payload}").as_bytes(), &read(signature))
        .unwrap();
    assert!(
        key.verify(format!("{header}.{payload}x").as_bytes(), &read(signature))
            .is_err()
    );
    let claims: Value = serde_json::from_slice(&read(payload)).unwrap();
    assert_eq!(claims["mwid_development"], true, "nobody takes it for a real one");
    claims
}

async fn access(platform: &Platform, query: &str) -> (Value, u64) {
    let (status, kind, body) = told(platform, &format!("{ACCOUNT}token{query}")).await;
    assert_eq!((status, kind.as_str()), (200, "application/json"), "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["token_type"], "Bearer");
    let expires_in = answer["expires_in"].as_u64().unwrap();
    (
        claims(platform, answer["access_token"].as_str().unwrap()).await,
        expires_in,
    )
}

#[tokio::test]
async fn who_does_not_ask_as_the_server_wants_it_is_told_so() {
    let (platform, _) = start();
    let name = &format!("{V1}instance/name");
    for (method, path, headers, status) in [
        ("GET", "/", &[][..], 200),
        ("GET", JWKS, &[], 200),
        ("GET", name, &[("Metadata-Flavor", "Google")], 200),
        ("GET", name, &[], 403),
        ("GET", "/nothing", &[], 403),
        ("GET", name, &[("Metadata-Flavor", "google")], 403),
        (
            "GET",
            name,
            &[("Metadata-Flavor", "Google"), ("X-Forwarded-For", "192.0.2.1")],
            403,
        ),
        ("GET", "/", &[("X-Forwarded-For", "")], 403),
        ("POST", name, &[("Metadata-Flavor", "Google")], 405),
        ("PUT", name, &[("Metadata-Flavor", "Google")], 405),
        (
            "DELETE",
            &format!("{ACCOUNT}token"),
            &[("Metadata-Flavor", "Google")],
            405,
        ),
        ("POST", "/", &[], 405),
        (
            "POST",
            &format!("{V1}instance"),
            &[("Metadata-Flavor", "Google")],
            405,
        ),
    ] {
        let answer = send(&platform, method, path, headers, "").await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path} {headers:?}");
        // Clients look for this in every answer.
        assert_eq!(answer.headers()["metadata-flavor"], "Google");
        let body = String::from_utf8(answer.body().to_vec()).unwrap();
        match status {
            403 => assert!(
                body.contains(&format!("permission to get URL <code>{path}</code>")),
                "{body}"
            ),
            405 => assert!(body.contains("<b>405.</b>"), "{body}"),
            _ => continue,
        }
        assert_eq!(answer.headers()["content-type"], "text/html; charset=UTF-8");
    }
    let (_, _, body) = told(&platform, "/").await;
    assert_eq!(body, "computeMetadata/\n");
}

#[tokio::test]
async fn every_answer_has_the_server_s_headers() {
    let (platform, _) = start();
    let answer = get(&platform, &format!("{V1}instance/name")).await;
    let header = |name| answer.headers()[name].to_str().unwrap();
    assert_eq!(
        [
            "metadata-flavor",
            "server",
            "content-type",
            "x-xss-protection",
            "x-frame-options",
            "content-length"
        ]
        .map(header),
        [
            "Google",
            "Metadata Server for VM",
            "application/text",
            "0",
            "SAMEORIGIN",
            "6"
        ]
    );
    let etag = header("etag");
    assert!(
        etag.len() == 16 && etag.bytes().all(|b| b.is_ascii_hexdigit()),
        "{etag}"
    );
    assert_eq!(&answer.body()[..], b"dev-vm");
}

/// Key, type, body.
const KEYS: &[(&str, &str, &str)] = &[
    ("instance/id", "application/text", "1000000000000000174"),
    (
        "instance/hostname",
        "application/text",
        "dev-vm.c.mwid-dev.internal",
    ),
    (
        "instance/zone",
        "application/text",
        "projects/100000000174/zones/dev-local1-a",
    ),
    ("instance/tags", "application/json", r#"["mwid-development"]"#),
    ("instance/tags?alt=text", "application/text", "mwid-development\n"),
    ("instance/name?alt=json", "application/json", r#""dev-vm""#),
    ("instance/id?alt=json", "application/json", "1000000000000000174"),
    ("instance/name?recursive=true", "application/text", "dev-vm"),
    (
        "instance/network-interfaces/0/ip",
        "application/text",
        "192.0.2.174",
    ),
    ("instance/network-interfaces/", "application/text", "0/\n"),
    ("instance/attributes/mwid-development", "application/text", "TRUE"),
    ("project/project-id", "application/text", "mwid-dev"),
    ("project/numeric-project-id", "application/text", "100000000174"),
    (
        "project/",
        "application/text",
        "attributes/\nnumeric-project-id\nproject-id\n",
    ),
    ("universe/universe-domain", "text/plain", "googleapis.com"),
    (
        "instance/service-accounts/",
        "application/text",
        "default/\ndev-vm@mwid-dev.iam.gserviceaccount.com/\n",
    ),
    (
        "instance/service-accounts/default/",
        "application/text",
        "aliases\nemail\nidentity\nscopes\ntoken\n",
    ),
    (
        "instance/service-accounts/dev-vm@mwid-dev.iam.gserviceaccount.com/email",
        "application/text",
        EMAIL,
    ),
    (
        "instance/service-accounts/default/aliases",
        "application/text",
        "default\n",
    ),
    ("", "application/text", "instance/\nproject/\nuniverse/\n"),
    (
        "instance/disks/?recursive=true",
        "application/json",
        r#"[{"deviceName":"boot","index":0,"mode":"READ_WRITE","type":"PERSISTENT-BALANCED"}]"#,
    ),
    (
        "instance/disks/?recursive=true&alt=text",
        "application/text",
        "0/device-name boot\n0/index 0\n0/mode READ_WRITE\n0/type PERSISTENT-BALANCED\n",
    ),
];

#[tokio::test]
async fn keys_directories_and_their_types() {
    let (platform, _) = start();
    for (key, kind, body) in KEYS {
        assert_eq!(
            told(&platform, &format!("{V1}{key}")).await,
            (200, (*kind).to_owned(), (*body).to_owned()),
            "{key}"
        );
    }
    let scopes = text(&platform, "instance/service-accounts/default/scopes").await;
    assert!(scopes.lines().any(|scope| scope == GCS) && scopes.ends_with('\n'));
}

#[tokio::test]
async fn a_recursive_answer_names_keys_in_camel_case_and_holds_no_token() {
    let (platform, _) = start();
    let all: Value = serde_json::from_str(&text(&platform, "?recursive=true").await).unwrap();
    assert_eq!(all["project"]["numericProjectId"], 100_000_000_174_u64);
    assert_eq!(
        all["instance"]["networkInterfaces"][0]["accessConfigs"][0]["type"],
        "ONE_TO_ONE_NAT"
    );
    assert_eq!(
        all["instance"]["attributes"]["mwid-development"], "TRUE",
        "as people named it"
    );
    let account = &all["instance"]["serviceAccounts"]["default"];
    assert_eq!(account, &all["instance"]["serviceAccounts"][EMAIL]);
    let members: Vec<_> = account.as_object().unwrap().keys().collect();
    assert_eq!(members, ["aliases", "email", "scopes"]);
}

#[tokio::test]
async fn paths_are_taken_as_they_are() {
    let (platform, _) = start();
    for path in [
        "instance/nothing",
        "instance/name/",
        "instance//name",
        "instance/Name",
        "instance/network-interfaces/1/ip",
        "instance/network-interfaces/00/ip",
        "instance/n%61me",
        "instance/service-accounts/dev-vm%40mwid-dev.iam.gserviceaccount.com/email",
        "instance/service-accounts/other@mwid-dev.iam.gserviceaccount.com/token",
        "instance/gce-workload-certificates/config-status",
    ] {
        let (status, kind, body) = told(&platform, &format!("{V1}{path}")).await;
        assert_eq!(
            (status, kind.as_str()),
            (404, "text/html; charset=UTF-8"),
            "{path}"
        );
        let page = format!("The requested URL <code>{V1}{path}</code> was not found on this server.");
        assert!(body.contains(&page), "{body}");
    }
    for path in [
        "/computeMetadata",
        "/computeMetadata/v1",
        "/computeMetadata/v1/instance",
    ] {
        let answer = get(&platform, path).await;
        assert_eq!(answer.status().as_u16(), 301);
        assert_eq!(
            answer.headers()["location"],
            format!("http://metadata.google.internal{path}/")
        );
        assert_eq!(answer.body(), format!("{path}/\n").as_bytes());
    }
    let moved = get(&platform, "/computeMetadata/v1/project?recursive=true").await;
    let location = moved.headers()["location"].to_str().unwrap();
    assert!(location.ends_with("/v1/project/?recursive=true"), "{location}");
}

#[tokio::test]
async fn who_waits_for_a_change_is_woken_by_it() {
    let (platform, _) = start();
    platform.set_attribute("a", "1");
    let waiting = format!("{V1}instance/attributes/a?wait_for_change=true&timeout_sec=600");
    let also = format!("{V1}instance/attributes/?wait_for_change=true&recursive=true");
    let change = async {
        while platform.count("wait_for_change") < 2 {
            tokio::task::yield_now().await;
        }
        platform.set_attribute("a", "2");
    };
    let ((_, _, leaf), (_, _, tree), ()) =
        tokio::join!(told(&platform, &waiting), told(&platform, &also), change);
    assert_eq!(leaf, "2");
    assert_eq!(serde_json::from_str::<Value>(&tree).unwrap()["a"], "2");
}

#[tokio::test]
async fn who_knows_an_older_value_does_not_wait() {
    let (platform, _) = start();
    for etag in ["0", "0123456789abcdef"] {
        let path = format!("instance/name?wait_for_change=true&last_etag={etag}");
        assert_eq!(text(&platform, &path).await, "dev-vm");
    }
    let path = format!("{V1}instance/name");
    let etag = get(&platform, &path).await.headers()["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    // Unchanged: what is there is told when the time is over, and another key's change wakes nobody.
    platform.set_attribute("other", "1");
    let path = format!("instance/name?wait_for_change=true&last_etag={etag}&timeout_sec=0");
    assert_eq!(text(&platform, &path).await, "dev-vm");
    for path in [
        format!("{V1}instance/?wait_for_change=true"),
        format!("{ACCOUNT}token?wait_for_change=true"),
        format!("{V1}instance/name?wait_for_change=true&timeout_sec=soon"),
        format!("{V1}instance/name?alt=xml"),
        format!("{V1}instance/service-accounts/default/token?alt=xml"),
        format!("{V1}instance/service-accounts/default/identity?audience=a&alt=xml"),
        format!("{V1}instance/name?alt=%zz"),
    ] {
        refused(&platform, &path).await;
    }
}

#[tokio::test]
async fn an_access_token_lives_on_until_five_minutes_remain() {
    let (platform, clock) = start();
    let (first, expires_in) = access(&platform, "").await;
    assert_eq!(expires_in, 3599);
    assert_eq!(first["exp"], NOW + 3599);
    assert_eq!(first["email"], EMAIL);
    clock.0.store(NOW + 3298, Ordering::Relaxed);
    let (same, expires_in) = access(&platform, "").await;
    assert_eq!((&same, expires_in), (&first, 301));
    clock.0.store(NOW + 3299, Ordering::Relaxed);
    let (second, expires_in) = access(&platform, "").await;
    assert_eq!(expires_in, 3599);
    assert_eq!(second["iat"], NOW + 3299);
    // A clock that was set back far.
    clock.0.store(NOW - 100_000, Ordering::Relaxed);
    assert_eq!(access(&platform, "").await.1, 3599);
}

#[tokio::test]
async fn plain_scopes_are_ignored_and_enforced_ones_are_honoured() {
    let (platform, _) = start();
    let (whole, _) = access(&platform, "").await;
    let all = whole["scope"].as_str().unwrap();
    assert!(all.contains("auth/cloud-platform") && all.contains(GCS));
    assert_eq!(
        access(&platform, &format!("?scopes={GCS}")).await.0,
        whole,
        "the very same token"
    );
    for yes in ["true", "1", "yes", "y", "True"] {
        let (narrow, _) = access(&platform, &format!("?enforce_scopes={yes}&scopes={GCS}")).await;
        assert_eq!(narrow["scope"], GCS);
    }
    let (two, _) = access(
        &platform,
        "?enforce_scopes=true&scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fpubsub%2Chttps://www.googleapis.com/auth/bigquery",
    )
    .await;
    assert_eq!(
        two["scope"],
        "https://www.googleapis.com/auth/bigquery https://www.googleapis.com/auth/pubsub"
    );
    for no in [
        "enforce_scopes=false",
        "enforce_scopes=0",
        "enforce_scopes=no",
        "enforce_scopes=n",
        "enforce_scopes=maybe",
        "enforce_scopes=true",
        "enforce_scopes=true&scopes=https://www.googleapis.com/auth/drive",
    ] {
        refused(&platform, &format!("{ACCOUNT}token?{no}")).await;
        refused(
            &platform,
            &format!("{ACCOUNT}token?scopes={GCS}&{no}").replace("=true", "=0"),
        )
        .await;
    }
    platform.set_attribute("enable-access-token-enforce-scopes", "true");
    assert_eq!(access(&platform, &format!("?scopes={GCS}")).await.0["scope"], GCS);
    assert_eq!(access(&platform, "").await.0["scope"], all);
}

#[tokio::test]
async fn an_id_token_is_for_its_audience() {
    let (platform, _) = start();
    for query in ["", "?audience=", "?format=full"] {
        let body = refused(&platform, &format!("{ACCOUNT}identity{query}")).await;
        assert_eq!(body, "non-empty audience parameter required\n");
    }
    refused(&platform, &format!("{ACCOUNT}identity?audience=a&format=some")).await;
    refused(&platform, &format!("{ACCOUNT}identity?audience=a&licenses=some")).await;

    // Raw, as Node sends it.
    let path = format!("{ACCOUNT}identity?audience=https://a.example/x");
    let (status, kind, token) = told(&platform, &path).await;
    assert_eq!((status, kind.as_str()), (200, "text/html"));
    let plain = claims(&platform, &token).await;
    assert_eq!(plain["aud"], "https://a.example/x");
    assert_eq!(plain["iss"], "https://accounts.google.com");
    assert_eq!((&plain["exp"], &plain["iat"]), (&json!(NOW + 3600), &json!(NOW)));
    assert_eq!(
        (&plain["azp"], &plain["email"], &plain["email_verified"]),
        (&plain["sub"], &json!(EMAIL), &json!(true))
    );
    assert_eq!((&plain["google"], &plain["cnf"]), (&Value::Null, &Value::Null));

    let token = text(
        &platform,
        "instance/service-accounts/default/identity?audience=a%26b%20%C3%A4&format=full",
    )
    .await;
    let full = claims(&platform, &token).await;
    assert_eq!(full["aud"], "a&b ä");
    let engine = &full["google"]["compute_engine"];
    assert_eq!(
        engine,
        &json!({
            "instance_id": "1000000000000000174",
            "instance_name": "dev-vm",
            "instance_creation_timestamp": 1_767_225_600,
            "project_id": "mwid-dev",
            "project_number": 100_000_000_174_u64,
            "zone": "dev-local1-a",
        })
    );
    let path = "instance/service-accounts/default/identity?audience=a&format=full&licenses=TRUE";
    let licensed = claims(&platform, &text(&platform, path).await).await;
    assert_eq!(
        licensed["google"]["compute_engine"]["license_id"],
        json!(["1000000000000000001"])
    );
}

#[tokio::test]
async fn a_bound_token_says_what_it_is_bound_to() {
    let (platform, _) = start();
    let world = testkit::pki::World::new("example.org");
    let leaf = world.leaf("/a");
    let sum = digest_of(&leaf.leaf_der);
    let bound = URL_SAFE_NO_PAD.encode(&sum);
    let raw = STANDARD_NO_PAD.encode(&sum);
    let quoted = raw.replace('+', "%2B").replace('/', "%2F");
    let (by_query, _) = access(&platform, &format!("?bindCertificateFingerprint={quoted}")).await;
    assert_eq!(by_query["cnf"]["x5t#S256"], bound.as_str());
    assert_eq!(access(&platform, "").await.0["cnf"], Value::Null);
    let (transport, _) = access(&platform, "?transport=mtls&binding-enforcement=on").await;
    assert_eq!(
        (&transport["transport"], &transport["binding-enforcement"]),
        (&json!("mtls"), &json!("on"))
    );
    for query in [
        "bindCertificateFingerprint=x",
        "transport=pigeon",
        "binding-enforcement=off",
    ] {
        refused(&platform, &format!("{ACCOUNT}token?{query}")).await;
    }

    let form = json!({"certificate_chain": leaf.chain_pem}).to_string();
    let headers = [
        ("Metadata-Flavor", "Google"),
        ("Content-Type", "application/json"),
    ];
    let post = |path: String, body: String| {
        let platform = &platform;
        async move { send(platform, "POST", &path, &headers, &body).await }
    };
    let answer = post(format!("{ACCOUNT}token"), form.clone()).await;
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    let by_body = claims(&platform, answer["access_token"].as_str().unwrap()).await;
    assert_eq!(by_body["cnf"], by_query["cnf"]);
    let answer = post(format!("{ACCOUNT}identity?audience=a&format=full"), form.clone()).await;
    let id = claims(&platform, std::str::from_utf8(answer.body()).unwrap()).await;
    assert_eq!((&id["cnf"], &id["aud"]), (&by_query["cnf"], &json!("a")));
    for (path, body) in [
        (format!("{ACCOUNT}token"), "{}".to_owned()),
        (
            format!("{ACCOUNT}token"),
            json!({"certificate_chain": "x"}).to_string(),
        ),
        (format!("{ACCOUNT}token"), "x".repeat(LARGEST_BODY + 1)),
        (
            format!("{ACCOUNT}token?bindCertificateFingerprint={quoted}"),
            form.clone(),
        ),
        (format!("{ACCOUNT}identity"), form.clone()),
    ] {
        assert_eq!(post(path.clone(), body).await.status().as_u16(), 400, "{path}");
    }
    let headers = [("Metadata-Flavor", "Google"), ("Content-Type", "text/plain")];
    let answer = send(&platform, "POST", &format!("{ACCOUNT}token"), &headers, &form).await;
    assert_eq!(answer.status().as_u16(), 400);
}

fn digest_of(der: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, der).as_ref().to_vec()
}

/// Scripts ask for tokens as text and take them apart with awk.
#[tokio::test]
async fn tokens_have_the_form_that_is_asked_for() {
    let (platform, _) = start();
    let of = |leaf: &str| format!("{V1}instance/service-accounts/default/{leaf}");
    let (status, kind, lines) = told(&platform, &of("token?alt=text")).await;
    assert_eq!((status, &*kind), (200, "application/text"));
    let (_, kind, json) = told(&platform, &of("token?alt=json")).await;
    assert_eq!(kind, "application/json");
    let json: Value = serde_json::from_str(&json).unwrap();
    let secret = json["access_token"].as_str().unwrap();
    let left = &json["expires_in"];
    assert_eq!(
        lines,
        format!("access_token {secret}\nexpires_in {left}\ntoken_type Bearer\n")
    );
    let (_, kind, plain) = told(&platform, &of("identity?audience=a&alt=text")).await;
    assert_eq!(kind, "text/html");
    let (_, kind, quoted) = told(&platform, &of("identity?audience=a&alt=json")).await;
    assert_eq!((&*kind, quoted), ("application/json", format!("\"{plain}\"")));
}
