//! What the operator does: start, reload, ask, stop.

use crate::daemon::{DOMAIN, Daemon, PATH, Place, mwid};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_empty_file_runs() {
    let place = Place::new();
    // Empty but for the two keys that keep a test out of the machine's own directories.
    place.config_text(&format!(
        "runtime_dir: {}\nidentity: {{ source: none }}\n",
        place.path("run").display()
    ));
    let mut daemon = place.start();
    daemon.wait_ready();
    assert_eq!(daemon.get("/healthz").unwrap().code, 200);
    daemon.stop();
}

#[test]
fn a_second_daemon_with_the_same_runtime_directory_is_refused() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let second = mwid()
        .args(["run", "--config"])
        .arg(place.path("mwid.yaml"))
        .output()
        .unwrap();
    assert!(!second.status.success());
    let talk = String::from_utf8(second.stderr).unwrap();
    assert!(talk.contains("another mwid"), "{talk}");
    assert!(daemon.is_ready(), "the first one's sockets are untouched");
    daemon.stop();
}

#[test]
fn a_wrong_config_does_not_start_and_names_line_key_and_what_was_wanted() {
    let place = Place::new();
    place.config_text("runtime_dir: /tmp/x\nidentity:\n  source: guest_agnet\n");
    let run = mwid()
        .args(["run", "--config"])
        .arg(place.path("mwid.yaml"))
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(78), "EX_CONFIG");
    let talk = String::from_utf8(run.stderr).unwrap();
    for part in ["identity.source", "mwid.yaml:3:11", "guest_agnet", "dev_ca"] {
        assert!(talk.contains(part), "no `{part}` in: {talk}");
    }
}

#[test]
fn a_good_reload_changes_what_changed_and_a_bad_one_changes_nothing_and_says_why() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let second = place.path("run/second");
    place.config(&format!(
        "publish:\n  - directory: {}\n  - {{ directory: {}, files: [haproxy] }}",
        place.path("run/identity").display(),
        second.display()
    ));
    let told = place.mwid(&["reload"]);
    assert!(told.status.success(), "{told:?}");
    daemon.wait_for("the second directory", |_| second.join("haproxy.pem").exists());
    place.config("publsh: []");
    // By the runtime directory, so that the daemon is the one who judges the file.
    let told = mwid()
        .arg("reload")
        .env("MWID_RUNTIME_DIR", place.path("run"))
        .output()
        .unwrap();
    assert!(!told.status.success());
    let talk = String::from_utf8(told.stderr).unwrap();
    assert!(talk.contains("publsh"), "{talk}");
    place.deliver_good();
    daemon.wait_for("generation 2 in both directories", |d| {
        d.status().is_some_and(|s| {
            s["publish"]
                .as_array()
                .unwrap()
                .iter()
                .all(|p| p["generation"] == 2)
        })
    });
    // A broken file by signal: says so in the log, changes nothing.
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the refusal in the log", |d| {
        d.log().matches("publsh").count() >= 2
    });
    // And a good one by signal.
    place.config("");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("one directory", |d| {
        d.status()
            .is_some_and(|s| s["publish"].as_array().unwrap().len() == 1)
    });
    daemon.stop();
}

#[test]
fn a_reload_can_change_the_source_and_what_is_expected_of_it() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    place.config_text(&format!(
        "identity:\n  source: {{ dev_ca: {{ trust_domain: dev.internal, lifetime: 1h }} }}\nruntime_dir: {}\n",
        place.path("run").display()
    ));
    assert!(place.mwid(&["reload"]).status.success());
    daemon.wait_for("the development identity", |d| {
        d.status().is_some_and(|s| {
            s["identity"]["spiffe_id"]
                .as_str()
                .unwrap_or_default()
                .starts_with("spiffe://dev.internal/")
        })
    });
    assert_eq!(daemon.status().unwrap()["source"]["for_development"], true);
    let other = "spiffe://other.example/**";
    place.config_text(&format!(
        "identity:\n  source: {{ guest_agent: {{ directory: {} }} }}\n  expect: {other}\nruntime_dir: {}\n",
        place.secrets.link().display(),
        place.path("run").display()
    ));
    assert!(place.mwid(&["reload"]).status.success());
    daemon.wait_for("the end of readiness", |d| {
        d.get("/readyz").is_some_and(|a| a.code == 503)
    });
    daemon.stop();
}

#[test]
fn a_reload_to_no_identity_at_all_waits_for_none_and_back_again_for_one() {
    let place = Place::new();
    place.config("");
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/readyz").is_some_and(|a| a.code == 503));
    let none = format!(
        "runtime_dir: {}\nidentity: {{ source: none }}\n",
        place.path("run").display()
    );
    place.config_text(&none);
    assert!(place.mwid(&["reload"]).status.success());
    daemon.wait_ready();
    place.config("");
    assert!(place.mwid(&["reload"]).status.success());
    let answer = daemon.get("/readyz").unwrap();
    assert!(
        answer.code == 503 && answer.body.contains("nothing published yet"),
        "{}",
        answer.body
    );
    daemon.stop();
}

#[test]
fn the_admin_socket_has_its_mode_and_answers_every_question() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let mode = fs::metadata(place.path("run/admin.sock"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o660);
    let metrics = daemon.get("/metrics").unwrap();
    assert_eq!(metrics.code, 200);
    assert!(
        metrics.head.to_lowercase().contains("content-type:"),
        "{}",
        metrics.head
    );
    for name in ["mwid_identity_generation", "mwid_identity_not_after"] {
        assert!(metrics.body.contains(name), "no {name} in:\n{}", metrics.body);
    }
    assert_eq!(daemon.get("/nowhere").unwrap().code, 404);
    assert_eq!(daemon.request("DELETE", "/status").unwrap().code, 405);
    daemon.stop();
    assert!(
        !place.path("run/admin.sock").exists(),
        "a clean stop leaves no socket"
    );
}

#[test]
fn the_client_commands_show_what_is() {
    let mut place = Place::new();
    place.config("");
    let leaf = place.deliver_good();
    let mut daemon = place.start();
    let waited = place.mwid(&["wait", "--timeout", "20s"]);
    assert!(waited.status.success(), "{waited:?}");
    let text = |args: &[&str]| {
        let out = place.mwid(args);
        assert!(out.status.success(), "{args:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let id = format!("spiffe://{DOMAIN}{PATH}");
    assert!(text(&["status"]).contains(&id));
    let json: serde_json::Value = serde_json::from_str(&text(&["status", "--json"])).unwrap();
    assert_eq!(json["identity"]["spiffe_id"], id.as_str());
    let identity = text(&["identity"]);
    assert!(
        identity.contains(&id) && identity.contains("intermediate"),
        "{identity}"
    );
    serde_json::from_str::<serde_json::Value>(&text(&["identity", "--json"])).unwrap();
    assert!(text(&["env"]).contains("MWID_RUNTIME_DIR"));
    let checked = place.mwid(&["check"]);
    let words = String::from_utf8(checked.stdout).unwrap();
    assert!(
        words.contains("world") || words.contains("everybody") || checked.status.success(),
        "{words}"
    );
    assert!(leaf.chain_pem.contains("BEGIN"));
    daemon.wait_ready();
    daemon.stop();
    let nobody = place.mwid(&["wait", "--timeout", "200ms"]);
    assert_eq!(nobody.status.code(), Some(75), "EX_TEMPFAIL");
}

#[test]
fn completions_and_the_manual_come_out_of_the_binary() {
    for args in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man"],
    ] {
        let out = mwid().args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}");
        assert!(String::from_utf8(out.stdout).unwrap().contains("mwid"));
    }
}

// On the real binary: a failed exec(3) leaves a process with SIGPIPE at its default, which a test process would not survive.
#[test]
fn a_command_that_exec_cannot_start_gives_the_codes_of_a_shell() {
    for (program, code) in [("/nonexistent/program", 127), ("/etc/passwd", 126)] {
        let out = mwid().args(["exec", "--", program]).output().unwrap();
        assert_eq!(out.status.code(), Some(code), "{program}: {out:?}");
        assert!(String::from_utf8(out.stderr).unwrap().contains(program));
    }
}

#[test]
fn exec_runs_a_command_in_the_environment_that_env_prints() {
    let place = Place::new();
    place.config("");
    let out = mwid()
        .args(["exec", "--config"])
        .arg(place.path("mwid.yaml"))
        .args(["--", "sh", "-c", "echo dir=$MWID_RUNTIME_DIR"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(out.stdout).unwrap().trim(),
        format!("dir={}", place.path("run").display())
    );
}

#[test]
fn an_admin_socket_whose_file_was_removed_is_back_after_a_reload() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    fs::remove_file(place.path("run/admin.sock")).unwrap();
    assert!(daemon.get("/healthz").is_none());
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the socket", Daemon::is_ready);
    let told = place.mwid(&["reload"]);
    assert_eq!(String::from_utf8(told.stdout).unwrap(), "nothing changed\n");
    daemon.stop();
    assert!(!place.path("run/admin.sock").exists());
}

/// A port that nobody has at this moment.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Asks the running daemon to reload what is at its path, by its runtime directory; the daemon is the one who judges.
fn refused_reload(place: &Place) -> String {
    let told = mwid()
        .arg("reload")
        .env("MWID_RUNTIME_DIR", place.path("run"))
        .output()
        .unwrap();
    assert!(!told.status.success(), "{told:?}");
    String::from_utf8(told.stderr).unwrap()
}

#[test]
fn a_reload_that_is_refused_for_one_reason_changes_nothing_of_the_rest() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    let free = free_port();
    let unknown = format!(
        "publish:\n  - directory: {}\n    group: nosuch-group",
        place.path("run/third").display()
    );
    place.config(&format!("api: {{ admin: {{ listen: \"{free}\" }} }}\n{unknown}"));
    let talk = refused_reload(&place);
    assert!(talk.contains("nosuch-group"), "{talk}");
    assert!(TcpStream::connect(free).is_err(), "{free} is open");

    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    place.config(&format!(
        "api: {{ admin: {{ listen: [\"{free}\", \"{taken}\"] }} }}"
    ));
    let talk = refused_reload(&place);
    assert!(talk.contains(&taken.to_string()), "{talk}");
    assert!(TcpStream::connect(free).is_err(), "{free} is open");

    assert!(daemon.is_ready());
    let status = daemon.status().unwrap();
    assert_eq!(status["publish"].as_array().unwrap().len(), 1);
    assert!(!place.path("run/third").exists());
    // The same port alone is fine: what was refused above was refused for the other.
    place.config(&format!("api: {{ admin: {{ listen: \"{free}\" }} }}"));
    assert!(place.mwid(&["reload"]).status.success());
    TcpStream::connect(free).unwrap();
    daemon.stop();
}

#[test]
fn a_reload_does_not_move_the_runtime_directory() {
    let mut place = Place::new();
    place.config("");
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_ready();
    place.config_text(&format!(
        "identity: {{ source: none }}\nruntime_dir: {}\n",
        place.path("elsewhere").display()
    ));
    let talk = refused_reload(&place);
    assert!(
        talk.contains("runtime_dir") && talk.contains("restart mwid"),
        "{talk}"
    );
    assert!(!place.path("elsewhere").exists());
    assert!(daemon.is_ready());
    daemon.stop();
}

#[test]
fn a_demo_that_is_interrupted_is_judged_by_the_time_that_it_ran() {
    let place = Place::new();
    let mut demo = place.start_with(&["demo", "--for", "60s"]);
    demo.wait_for("a rotation", |d| d.log().contains("new certificate"));
    demo.signal(Signal::SIGINT);
    let ended = demo.wait_end();
    let log = demo.log();
    assert!(ended.success(), "{log}");
    assert!(log.contains("two workloads talked mTLS"), "{log}");
    assert!(!log.contains("In 60 s") && !log.contains("In 0 s"), "{log}");
}
