//! Who does not get the identity, and is told so in the words that SPIFFE libraries know.

use crate::daemon::{Daemon, Place};
use crate::spiffe::{Next, PERMISSION_DENIED, Program, UNAVAILABLE, X509_BUNDLES, X509_SVID};
use crate::user::{as_user, can_be_others};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ALICE: u32 = 45_011;
const BOB: u32 = 45_012;
const FOR_ALICE: &str = "access: [{ who: { uid: 45011 }, may: { identity: true } }]";

fn socket(place: &Place) -> PathBuf {
    place.path("run/workload.sock")
}

fn started(place: &mut Place) -> Daemon {
    place.open_to_all();
    place.config(FOR_ALICE);
    let mut daemon = place.start();
    daemon.wait_for("an answer", |d| d.get("/readyz").is_some());
    daemon
}

fn come(uid: u32, place: &Place) -> Program {
    as_user(uid, uid, &[], || Program::connect(&socket(place)))
}

fn denied() -> Next {
    Next::End(PERMISSION_DENIED, "no identity issued".to_owned())
}

#[test]
fn a_denied_program_is_told_no_identity_issued_also_before_there_is_one() {
    if !can_be_others("a_denied_program") {
        return;
    }
    let mut place = Place::new();
    let mut daemon = started(&mut place);
    let (alice, bob) = (come(ALICE, &place), come(BOB, &place));
    for method in [X509_SVID, X509_BUNDLES] {
        assert_eq!(bob.first(method), denied(), "{method}, a settled decision");
        assert!(
            matches!(alice.first(method), Next::End(UNAVAILABLE, _)),
            "{method}, may come yet"
        );
    }
    place.deliver_good();
    daemon.wait_ready();
    for method in [X509_SVID, X509_BUNDLES] {
        assert_eq!(bob.first(method), denied(), "{method}");
        assert!(matches!(alice.first(method), Next::Message(_)), "{method}");
    }
    let status = daemon.status().unwrap();
    let last = &status["workload"]["last_denial"];
    assert!(last["caller"].as_str().unwrap().contains("uid 45012"), "{last}");
    let shown = String::from_utf8(place.mwid(&["status"]).stdout).unwrap();
    assert!(shown.contains("workload") && shown.contains("denied"), "{shown}");
    let metrics = daemon.get("/metrics").unwrap().body;
    let line = "mwid_workload_refusals_total{method=\"FetchX509SVID\",code=\"PERMISSION_DENIED\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    let log = daemon.stop();
    for (word, uid) in [("denied", "uid=45012"), ("granted", "uid=45011")] {
        assert!(
            log.lines()
                .any(|line| line.contains(word) && line.contains(uid) && line.contains("listener=workload")),
            "no {word} {uid} in:\n{log}"
        );
    }
}

#[test]
fn a_denial_is_lifted_by_a_reload_on_the_same_connection() {
    if !can_be_others("a_denial_is_lifted") {
        return;
    }
    let mut place = Place::new();
    place.deliver_good();
    let mut daemon = started(&mut place);
    daemon.wait_ready();
    let bob = come(BOB, &place);
    assert_eq!(bob.first(X509_SVID), denied());
    place.config("access: [{ who: { uid: 45012 }, may: { identity: true } }]");
    assert!(place.mwid(&["reload"]).status.success());
    assert!(matches!(bob.first(X509_SVID), Next::Message(_)));
    daemon.stop();
}

#[test]
fn rules_that_take_the_identity_away_end_the_streams_within_a_second_and_no_others() {
    if !can_be_others("rules_that_take_the_identity_away") {
        return;
    }
    let mut place = Place::new();
    place.deliver_good();
    let mut daemon = started(&mut place);
    daemon.wait_ready();
    place.config("access: [{ who: { uid: 45011 }, may: { identity: true } }, { who: { uid: 45012 }, may: { identity: true } }]");
    assert!(place.mwid(&["reload"]).status.success());
    let (alice, bob) = (come(ALICE, &place), come(BOB, &place));
    let mut hers = alice.call(X509_SVID);
    let mut his = [bob.call(X509_SVID), bob.call(X509_BUNDLES)];
    hers.svid();
    for stream in &mut his {
        assert!(matches!(stream.next(), Next::Message(_)));
    }
    place.config(FOR_ALICE);
    assert!(place.mwid(&["reload"]).status.success());
    let began = Instant::now();
    for stream in &mut his {
        assert_eq!(stream.next(), denied());
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(
        hers.next_within(Duration::from_millis(300)),
        Next::Nothing,
        "hers goes on"
    );
    place.deliver_good();
    hers.svid();
    daemon.stop();
}

#[test]
fn on_loopback_tcp_a_program_is_told_by_its_user() {
    if !can_be_others("on_loopback_tcp") {
        return;
    }
    let mut place = Place::new();
    place.deliver_good();
    let address = crate::tokens::free_address();
    place.config(&format!(
        "{FOR_ALICE}\napi: {{ workload: {{ listen: \"{address}\" }} }}"
    ));
    let mut daemon = place.start();
    daemon.wait_ready();
    let come = |uid| as_user(uid, uid, &[], || Program::over_tcp(address));
    assert!(matches!(come(ALICE).first(X509_SVID), Next::Message(_)));
    assert_eq!(come(BOB).first(X509_SVID), denied());
    let log = daemon.stop();
    assert!(log.contains("listener=workload_tcp"), "{log}");
}
