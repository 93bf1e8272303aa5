//! Tokens: what local programs get from the metadata-compatible API, on the embedded platform and on a stand-in for the real one.

use crate::daemon::{Answer, Daemon, Place, mwid, talk};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use testkit::metadata;

pub(crate) const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
pub(crate) const IDENTITY: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

/// How long a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A place whose daemon serves tokens at `address`; `more` are further keys.
pub(crate) fn place(tokens: &str, address: SocketAddr, more: &str) -> Place {
    let place = Place::new();
    settings(&place, tokens, address, more);
    place
}

pub(crate) fn settings(place: &Place, tokens: &str, address: SocketAddr, more: &str) {
    place.config_text(&format!(
        "runtime_dir: {}\nidentity: {{ source: none }}\npublish: []\ntokens: {{ source: {tokens} }}\n\
         api: {{ metadata: {{ listen: \"{address}\" }} }}\n{more}\n",
        place.path("run").display()
    ));
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A request as Google's clients send it, over TCP.
pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    get_with(address, path, "Metadata-Flavor: Google\r\n")
}

pub(crate) fn get_with(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    talk(
        stream,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}"),
    )
    .unwrap()
}

/// The same over the Unix socket.
pub(crate) fn get_on_socket(place: &Place, path: &str) -> Answer {
    let stream = UnixStream::connect(place.path("run/metadata.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    talk(
        stream,
        &format!("GET {path} HTTP/1.1\r\nHost: metadata.google.internal\r\nMetadata-Flavor: Google\r\n"),
    )
    .unwrap()
}

pub(crate) fn token(answer: &Answer) -> (String, u64) {
    assert_eq!(answer.code, 200, "{answer:?}");
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(json["token_type"], "Bearer");
    (
        json["access_token"].as_str().unwrap().to_owned(),
        json["expires_in"].as_u64().unwrap(),
    )
}

/// A token as the stand-in for the platform gives it.
fn given(text: &str, expires_in: u64) -> metadata::Answer {
    metadata::Answer::json(&format!(
        "{{\"access_token\":\"{text}\",\"expires_in\":{expires_in},\"token_type\":\"Bearer\"}}"
    ))
}

const PLATFORMS: &str = "instance/service-accounts/default/token";

/// A stand-in with an account.
fn platform() -> metadata::Server {
    let platform = metadata::Server::start();
    platform.set(
        "instance/service-accounts/default/?recursive=true",
        metadata::Answer::json(
            r#"{"aliases":["default"],"email":"vm@shop.iam.gserviceaccount.com","scopes":["https://www.googleapis.com/auth/cloud-platform"]}"#,
        ),
    );
    platform
}

fn on(platform: &metadata::Server) -> String {
    format!("{{ metadata: {{ address: \"{}\" }} }}", platform.address())
}

fn started(place: &Place) -> Daemon {
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/healthz").is_some());
    daemon
}

#[test]
fn a_laptop_gets_tokens_of_the_embedded_platform_on_tcp_and_on_the_socket() {
    let address = free_address();
    let place = place("dev", address, "");
    let mut daemon = started(&place);
    daemon.wait_ready();
    let (by_tcp, expires_in) = token(&get(address, TOKEN));
    assert!((3500..3600).contains(&expires_in), "{expires_in}");
    assert_eq!(
        token(&get_on_socket(&place, TOKEN)).0,
        by_tcp,
        "one token for both"
    );
    let id = get(
        address,
        &format!("{IDENTITY}?audience=https://x.a.run.app&format=full"),
    );
    assert_eq!((id.code, id.body.split('.').count()), (200, 3), "{id:?}");
    assert_eq!(
        get(address, "/computeMetadata/v1/project/project-id").body,
        "mwid-dev"
    );
    assert_eq!(
        get(address, "/computeMetadata/v1/universe/universe-domain").body,
        "googleapis.com"
    );
    let root = get_with(address, "/", "");
    assert!(
        root.code == 200 && root.head.to_ascii_lowercase().contains("metadata-flavor: google"),
        "{root:?}"
    );
    let status = daemon.status().unwrap();
    assert_eq!(status["tokens"]["source"], "dev");
    assert_eq!(status["tokens"]["for_development"], true);
    assert!(status["callers"]["grants"].as_u64() >= Some(3), "{status}");
    daemon.stop();
}

/// Callers there are looked up in the kernel's table of IPv6 sockets.
#[test]
fn the_same_is_to_be_had_on_the_ipv6_loopback() {
    let Ok(free) = TcpListener::bind("[::1]:0") else {
        println!("left out: there is no IPv6 here");
        return;
    };
    let address = free.local_addr().unwrap();
    drop(free);
    let place = place("dev", address, "");
    let mut daemon = started(&place);
    daemon.wait_ready();
    let (by_tcp, _) = token(&get(address, TOKEN));
    assert_eq!(token(&get_on_socket(&place, TOKEN)).0, by_tcp);
    let refused = get_with(
        address,
        TOKEN,
        "Metadata-Flavor: Google\r\nX-Forwarded-For: ::1\r\n",
    );
    assert_eq!(refused.code, 403, "{refused:?}");
    daemon.stop();
}

#[test]
fn the_command_line_prints_one_token_and_nothing_else() {
    let address = free_address();
    let place = place("dev", address, "");
    let mut daemon = started(&place);
    daemon.wait_ready();
    let out = place.mwid(&["token", "access"]);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(
        String::from_utf8(out.stdout).unwrap().trim_end(),
        token(&get(address, TOKEN)).0
    );
    let out = place.mwid(&["token", "id", "--audience", "https://x.a.run.app"]);
    assert_eq!(
        String::from_utf8(out.stdout)
            .unwrap()
            .trim_end()
            .split('.')
            .count(),
        3
    );
    let env = String::from_utf8(place.mwid(&["env"]).stdout).unwrap();
    for line in [
        format!("export GCE_METADATA_HOST='{address}'"),
        format!("export GCE_METADATA_IP='{address}'"),
        "export GCE_METADATA_MTLS_MODE='none'".to_owned(),
    ] {
        assert!(env.contains(&line), "no {line} in\n{env}");
    }
    let out = mwid()
        .args(["exec", "--config"])
        .arg(place.path("mwid.yaml"))
        .args(["--", "/bin/sh", "-c", "echo $GCE_METADATA_HOST"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(out.stdout).unwrap().trim_end(),
        address.to_string()
    );
    daemon.stop();
}

#[test]
fn the_platforms_outage_is_not_seen_while_the_token_lives_and_then_said_and_then_over_alone() {
    let platform = platform();
    platform.set(PLATFORMS, given("first-token-of-the-platform", 4));
    let address = free_address();
    let place = place(&on(&platform), address, "");
    let mut daemon = started(&place);
    daemon.wait_for("the first token", |_| get(address, TOKEN).code == 200);
    platform.set(PLATFORMS, metadata::Answer::status(503, "down"));
    // Not one failed answer before the token's own end.
    let mut last = 5;
    let refused = loop {
        let answer = get(address, TOKEN);
        if answer.code != 200 {
            break answer;
        }
        let (text, expires_in) = token(&answer);
        assert_eq!(text, "first-token-of-the-platform");
        assert!(expires_in <= last, "its true life: {expires_in} after {last}");
        last = expires_in;
    };
    assert!(last <= 1, "refused while {last} s were left: {refused:?}");
    assert_eq!(refused.code, 503);
    assert!(
        refused.head.to_ascii_lowercase().contains("retry-after: "),
        "{refused:?}"
    );
    let refused_at = Instant::now();
    daemon.wait_for("readiness to tell it", |d| !d.is_ready());
    assert!(
        refused_at.elapsed() < Duration::from_secs(2),
        "{:?}",
        refused_at.elapsed()
    );
    platform.set(PLATFORMS, given("second-token-of-the-platform", 3599));
    daemon.wait_for("recovery", |_| {
        let answer = get(address, TOKEN);
        answer.code == 200 && token(&answer).0 == "second-token-of-the-platform"
    });
    daemon.wait_ready();
    daemon.stop();
}

/// A program that starts during an outage asks whose the token is before it asks for it.
fn is_asked_early(platform: &metadata::Server) -> bool {
    let asked = platform.asked();
    ["project/project-id", "universe/universe-domain", "instance/"]
        .iter()
        .all(|key| asked.iter().any(|path| path == key))
}

#[test]
fn an_outage_that_begins_right_after_the_start_hurts_no_library() {
    for is_silent in [false, true] {
        let platform = platform();
        platform.set(PLATFORMS, given("the-only-token", 3599));
        platform.set("project/project-id", metadata::Answer::text("shop-1"));
        platform.set("instance/disks", metadata::Answer::moved("instance/disks"));
        platform.set("instance/zone", metadata::Answer::text("projects/1/zones/z"));
        platform.set("instance/", metadata::Answer::text("disks/\nzone\n"));
        let address = free_address();
        let place = place(&on(&platform), address, "");
        let mut daemon = started(&place);
        daemon.wait_ready();
        daemon.wait_for("what is asked for early", |_| is_asked_early(&platform));
        let root = "/computeMetadata/v1";
        for known in ["instance/disks", "instance/zone", "instance/attributes/none"] {
            get(address, &format!("{root}/{known}"));
        }
        daemon.wait_for("the account", |d| {
            d.status()
                .is_some_and(|status| status["tokens"]["account"].is_string())
        });
        let at = platform.address();
        drop(platform);
        // The kernel accepts for it, and it says nothing.
        let listener = is_silent.then(|| TcpListener::bind(at).unwrap());
        let began = Instant::now();
        let of = |name: &str, below: &str| format!("instance/service-accounts/{name}/{below}");
        let email = "vm@shop.iam.gserviceaccount.com";
        for (below, code, body) in [
            (of("default", "?recursive=true"), 200, email),
            (of("default", "email"), 200, email),
            (
                of("default", "scopes"),
                200,
                "https://www.googleapis.com/auth/cloud-platform",
            ),
            (of("default", "token"), 200, "the-only-token"),
            (of(email, "token"), 200, "the-only-token"),
            ("project/project-id".to_owned(), 200, "shop-1"),
            ("universe/universe-domain".to_owned(), 200, "googleapis.com"),
            ("instance".to_owned(), 301, "/computeMetadata/v1/instance/"),
            ("instance/".to_owned(), 200, "zone"),
            ("project".to_owned(), 301, "/computeMetadata/v1/project/"),
            (
                "instance/disks".to_owned(),
                301,
                "/computeMetadata/v1/instance/disks/",
            ),
            ("instance/zone".to_owned(), 200, "projects/1/zones/z"),
            ("instance/attributes/none".to_owned(), 404, ""),
        ] {
            let answer = get(address, &format!("{root}/{below}"));
            assert_eq!(answer.code, code, "{below}: {answer:?}");
            assert!(answer.body.contains(body), "{below}: {answer:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        drop(listener);
        daemon.stop();
    }
}

#[test]
fn a_platform_that_widens_scopes_is_not_believed() {
    let platform = platform();
    platform.set(PLATFORMS, given("wide", 3599));
    let narrow = "https://www.googleapis.com/auth/devstorage.read_only";
    // It ignores what it does not know, as Compute Engine did before it knew enforce_scopes.
    for scope in [narrow, "https://www.googleapis.com/auth/cloud-platform"] {
        let scope = scope.replace(':', "%3A").replace('/', "%2F");
        for query in ["enforce_scopes=false&", "enforce_scopes=true&", ""] {
            platform.set(&format!("{PLATFORMS}?{query}scopes={scope}"), given("wide", 3599));
        }
    }
    let address = free_address();
    let place = place(&on(&platform), address, "");
    let daemon = started(&place);
    let refused = get(address, &format!("{TOKEN}?scopes={narrow}"));
    assert_eq!(refused.code, 403, "{refused:?}");
    assert!(
        refused.body.contains("enforce_scopes") && refused.body.contains("impersonate"),
        "{refused:?}"
    );
    assert_eq!(
        token(&get(address, TOKEN)).0,
        "wide",
        "who asks for no scopes gets the account's"
    );
    daemon.stop();
}

#[test]
fn what_is_not_ours_comes_from_the_platform_and_goes_on_without_it() {
    let platform = platform();
    platform.set("instance/zone", metadata::Answer::json("projects/1/zones/z"));
    let address = free_address();
    let place = place(&on(&platform), address, "");
    let daemon = started(&place);
    let zone = "/computeMetadata/v1/instance/zone";
    assert_eq!(get(address, zone).body, "projects/1/zones/z");
    assert_eq!(
        get(address, "/computeMetadata/v1/instance/attributes/none").code,
        404
    );
    drop(platform);
    assert_eq!(
        get(address, zone).body,
        "projects/1/zones/z",
        "the platform is away"
    );
    daemon.stop();
}

#[test]
fn a_reload_changes_the_source_of_tokens_and_a_bad_one_does_not() {
    let first = platform();
    first.set(PLATFORMS, given("token-of-the-first", 3599));
    let second = platform();
    second.set(PLATFORMS, given("token-of-the-second", 3599));
    let address = free_address();
    let place = place(&on(&first), address, "");
    let mut daemon = started(&place);
    daemon.wait_ready();
    assert_eq!(token(&get(address, TOKEN)).0, "token-of-the-first");
    settings(
        &place,
        &on(&second),
        address,
        "access: [{ who: { user: no-such-user }, may: { access_tokens: true } }]",
    );
    let out = place.mwid(&["reload"]);
    assert!(!out.status.success(), "an unknown user is refused: {out:?}");
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("no-such-user"),
        "{out:?}"
    );
    assert_eq!(token(&get(address, TOKEN)).0, "token-of-the-first");
    settings(&place, &on(&second), address, "");
    assert!(place.mwid(&["reload"]).status.success());
    assert_eq!(token(&get(address, TOKEN)).0, "token-of-the-second");
    settings(&place, "dev", address, "");
    assert!(place.mwid(&["reload"]).status.success());
    assert_eq!(
        get(address, "/computeMetadata/v1/project/project-id").body,
        "mwid-dev"
    );
    daemon.stop();
}

#[test]
fn a_daemon_does_not_ask_itself_for_tokens() {
    let address = free_address();
    let place = place("auto", address, "");
    // As its unit's environment would be if somebody pointed the whole VM here.
    let daemon = place.start_as(
        mwid()
            .args(["run", "--config"])
            .arg(place.path("mwid.yaml"))
            .env("GCE_METADATA_HOST", address.to_string())
            .env("GCE_METADATA_IP", address.to_string()),
    );
    let mut daemon = daemon;
    daemon.wait_for("an answer", |d| d.get("/healthz").is_some());
    let answer = get(address, TOKEN);
    assert_eq!(answer.code, 404, "{answer:?}");
    let log = daemon.stop();
    assert!(log.contains("mwid's own address"), "{log}");
}

#[test]
fn no_token_reaches_a_log_a_status_or_a_metric() {
    let platform = platform();
    platform.set(PLATFORMS, given("secret-token-one", 2));
    let address = free_address();
    let place = place(&on(&platform), address, "log: { level: trace }");
    let mut daemon = started(&place);
    daemon.wait_for("a token", |_| get(address, TOKEN).code == 200);
    // Only an answer that was fetched can be quoted: the platform was asked again, and what came of it was told to a caller.
    let fetched = || platform.asked().iter().filter(|path| *path == PLATFORMS).count();
    let baited = |daemon: &mut Daemon, bait: metadata::Answer, code: u16| {
        platform.set(PLATFORMS, bait);
        let before = fetched();
        daemon.wait_for("a question to the platform", |_| {
            let told = get(address, TOKEN).code;
            fetched() > before && told == code
        });
    };
    // Answers that could tempt an error to quote them.
    for body in [
        r#"{"access_token":"secret-token-two","expires_in":"soon","token_type":"Bearer"}"#,
        r#"{"access_token":"secret-token-two","expires_in":-1}"#,
        r#"secret-token-two"#,
        r#"{"access_token":["secret-token-two"]}"#,
    ] {
        baited(&mut daemon, metadata::Answer::json(body), 503);
    }
    // The words of a refusal are shown, but for what has the shape of a token.
    let words = "no more for ya29.secret-token-two of this VM";
    baited(&mut daemon, metadata::Answer::status(403, words), 403);
    let id = "header.secret-token-three.signature";
    platform.set(
        "instance/service-accounts/default/identity?audience=x&format=standard",
        metadata::Answer::status(200, id),
    );
    let refused = get(address, &format!("{IDENTITY}?audience=x"));
    assert_ne!(refused.code, 200, "{refused:?}");
    let mut said: Vec<String> = ["/status", "/metrics", "/readyz"]
        .iter()
        .map(|path| daemon.get(path).unwrap().body)
        .collect();
    said.push(refused.body);
    for args in [&["status"][..], &["check"], &["token", "access"]] {
        let out = place.mwid(args);
        said.push(String::from_utf8_lossy(&out.stderr).into_owned());
        if args != ["token", "access"] {
            said.push(String::from_utf8_lossy(&out.stdout).into_owned());
        }
    }
    said.push(daemon.stop());
    for text in &said {
        assert!(!text.contains("secret-token"), "a token in:\n{text}");
    }
    assert!(said.last().unwrap().len() > 200, "the log was read");
}
