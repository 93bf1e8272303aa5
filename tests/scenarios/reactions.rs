//! What happens after a publish: commands, signals, and that none of them can undo it.

use crate::daemon::{DOMAIN, PATH, Place};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn script(place: &Place, name: &str, text: &str) -> String {
    let path = place.path(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn publish_with(place: &Place, reaction: &str) {
    place.config(&format!(
        "publish:\n  - directory: {}\n    then:\n      - {reaction}",
        place.path("run/identity").display()
    ));
}

#[test]
fn a_command_runs_after_each_publish_and_knows_what_was_published() {
    let mut place = Place::new();
    let seen = place.path("seen");
    let run = script(
        &place,
        "after",
        &format!(
            "echo \"$MWID_GENERATION $MWID_SPIFFE_ID $MWID_DIRECTORY\" >> {}",
            seen.display()
        ),
    );
    publish_with(&place, &format!("{{ run: [{run}], timeout: 10s }}"));
    place.deliver_good();
    let mut daemon = place.start();
    let lines = |n: usize| {
        let seen = seen.clone();
        move |_: &crate::daemon::Daemon| fs::read_to_string(&seen).is_ok_and(|t| t.lines().count() >= n)
    };
    daemon.wait_for("the first run", lines(1));
    place.deliver_good();
    daemon.wait_for("the second run", lines(2));
    let text = fs::read_to_string(&seen).unwrap();
    let id = format!("spiffe://{DOMAIN}{PATH}");
    assert!(
        text.starts_with(&format!("1 {id} {}", place.path("run/identity").display())),
        "{text}"
    );
    assert!(text.lines().nth(1).unwrap().starts_with("2 "), "{text}");
    daemon.wait_for("the reaction in the status", |d| {
        d.status()
            .is_some_and(|s| s["publish"][0]["reactions"][0]["generation"] == 2)
    });
    daemon.stop();
}

#[test]
fn a_failing_reaction_is_shown_and_tried_again_and_undoes_nothing() {
    let mut place = Place::new();
    let flag = place.path("flag");
    let run = script(
        &place,
        "after",
        &format!("test -e {} || {{ echo not yet >&2; exit 3; }}", flag.display()),
    );
    publish_with(&place, &format!("{{ run: [{run}], timeout: 10s }}"));
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_for("the failure in the status", |d| {
        d.status().is_some_and(|s| {
            let reaction = &s["publish"][0]["reactions"][0];
            reaction["failures"].as_u64() >= Some(1)
                && reaction["trouble"]["text"]
                    .as_str()
                    .is_some_and(|t| t.contains('3'))
        })
    });
    assert!(place.published("certificates.pem").exists());
    assert!(daemon.is_ready());
    fs::write(&flag, "").unwrap();
    daemon.wait_for("the retry", |d| {
        d.status()
            .is_some_and(|s| s["publish"][0]["reactions"][0]["trouble"].is_null())
    });
    daemon.stop();
}

#[test]
fn a_command_that_hangs_is_ended_with_its_children_at_its_time_limit() {
    let mut place = Place::new();
    let pid = place.path("pid");
    let run = script(
        &place,
        "after",
        &format!("sleep 1000 & echo $! > {}; wait", pid.display()),
    );
    publish_with(&place, &format!("{{ run: [{run}], timeout: 300ms }}"));
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_for("the time limit in the status", |d| {
        d.status().is_some_and(|s| {
            let text = s["publish"][0]["reactions"][0]["trouble"]["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            text.contains("300ms") || text.contains("time")
        })
    });
    let child: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    daemon.wait_for("the end of the child", |_| {
        // Gone, or a zombie that nobody has waited for yet.
        fs::read_to_string(format!("/proc/{child}/stat")).map_or(true, |s| s.contains(") Z "))
    });
    daemon.stop();
}

/// Not HUP: a shell that was started with it ignored, as under nohup, cannot trap it.
#[test]
fn a_pid_file_gets_its_signal() {
    let mut place = Place::new();
    let (pid_file, got) = (place.path("app.pid"), place.path("got"));
    let app = script(
        &place,
        "app",
        &format!(
            "trap 'echo got >> {}' USR1; echo $$ > {}; while :; do sleep 0.05; done",
            got.display(),
            pid_file.display()
        ),
    );
    let mut child = Command::new(app).spawn().unwrap();
    publish_with(&place, &format!("{{ signal: USR1, of: {} }}", pid_file.display()));
    place.deliver_good();
    let mut daemon = place.start();
    daemon.wait_for("the signal", |_| got.exists());
    daemon.stop();
    child.kill().unwrap();
    child.wait().unwrap();
}
