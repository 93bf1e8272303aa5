//! A status as people see it.
use super::*;
use crate::health::Condition;
use crate::health::status::{ErrorLine, IdentityStatus, PublishStatus, ReactionStatus, SourceStatus};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn good() -> Status {
    Status {
        tokens: crate::health::status::TokensStatus::default(),
        callers: crate::health::status::CallersStatus::default(),
        version: "1.2.3".to_owned(),
        pid: 42,
        started_at: at(-7_384),
        now: at(0),
        ready: true,
        parts: [("source".to_owned(), Condition::Ok)].into(),
        identity: Some(IdentityStatus {
            spiffe_id: "spiffe://a.example/ns/shop/sa/pay".to_owned(),
            generation: 5,
            serial: "0a1b".to_owned(),
            not_before: at(-100),
            not_after: at(43_199),
            expired: false,
            trust_domains: vec!["a.example".to_owned(), "b.example".to_owned()],
        }),
        source: SourceStatus {
            kind: "guest_agent".to_owned(),
            from: Some("/run/secrets/x".to_owned()),
            last_answer: Some(at(-30)),
            ..SourceStatus::default()
        },
        publish: vec![PublishStatus {
            directory: "/run/mwid/identity".into(),
            generation: 5,
            published_at: Some(at(-29)),
            trouble: None,
            reactions: vec![ReactionStatus {
                what: "reload nginx.service".to_owned(),
                generation: 5,
                done_at: Some(at(-28)),
                failures: 0,
                trouble: None,
            }],
        }],
        last_errors: vec![],
    }
}

#[test]
fn a_good_day_fits_on_few_aligned_lines() {
    assert_eq!(
        render::text(&good(), Paint(false)),
        "mwid        ready, version 1.2.3, pid 42, up 2h 3m\n\
         identity    spiffe://a.example/ns/shop/sa/pay\n\
         \x20           valid until 2023-11-15T10:13:19Z (in 11h 59m)\n\
         \x20           generation 5, serial 0a1b\n\
         \x20           trust domains: a.example, b.example\n\
         source      guest_agent /run/secrets/x, answered 30s ago\n\
         publish     /run/mwid/identity, generation 5, written 29s ago\n\
         \x20           reload nginx.service: done for generation 5, 28s ago\n"
    );
}

fn bad() -> Status {
    let trouble = |text: &str| {
        Some(ErrorLine {
            at: at(-60),
            text: text.to_owned(),
        })
    };
    let mut bad = good();
    bad.ready = false;
    bad.parts = [
        ("publish".to_owned(), Condition::Degraded("disk full".to_owned())),
        (
            "source".to_owned(),
            Condition::NotReady("gone\nfor ever".to_owned()),
        ),
    ]
    .into();
    bad.identity = None;
    bad.source.for_development = true;
    bad.source.trouble = trouble("no such \x1b[31mfile");
    bad.source.refused = trouble("key does not match");
    bad.source.refusals = 3;
    bad.publish[0].published_at = None;
    bad.publish[0].reactions[0].done_at = None;
    bad.publish[0].reactions[0].failures = 2;
    bad.last_errors = trouble("source is silent").into_iter().collect();
    bad
}

#[test]
fn a_bad_day_says_everything_and_steers_no_terminal() {
    let text = render::text(&bad(), Paint(false));
    assert_eq!(
        text,
        "mwid        not ready, version 1.2.3, pid 42, up 2h 3m\n\
         \x20           publish degraded: disk full\n\
         \x20           source not ready: gone for ever\n\
         identity    none yet\n\
         source      guest_agent /run/secrets/x, answered 30s ago\n\
         \x20           for development only: this identity proves nothing to anybody else\n\
         \x20           trouble 1m ago: no such \\u{1b}[31mfile\n\
         \x20           refused 1m ago: key does not match\n\
         \x20           3 refused since the start\n\
         publish     /run/mwid/identity, nothing written yet\n\
         \x20           reload nginx.service: not done yet, 2 failures\n\
         last errors 2023-11-14T22:12:20Z  source is silent\n"
    );
}

#[test]
fn colours_change_no_letter() {
    for status in [good(), bad()] {
        let coloured = render::text(&status, Paint(true));
        assert!(coloured.contains("\x1b[3"));
        let mut plain = String::new();
        for part in coloured.split('\x1b') {
            plain.push_str(
                part.strip_prefix('[')
                    .map_or(part, |p| p.split_once('m').unwrap().1),
            );
        }
        assert_eq!(plain, render::text(&status, Paint(false)));
    }
}

#[test]
fn a_watched_frame_is_new_only_when_something_changed() {
    let (first, mut later) = (good(), good());
    later.now = at(0) + jiff::SignedDuration::from_millis(400);
    assert_eq!(key(&first, true), key(&later, true));
    later.now = at(1);
    assert_ne!(
        key(&first, true),
        key(&later, true),
        "a screen shows the time that is left"
    );
    assert_eq!(
        key(&first, false),
        key(&later, false),
        "time alone is no news for a stream"
    );
    later.source.refusals = 1;
    assert_ne!(key(&first, false), key(&later, false));
}

#[test]
fn a_vm_without_identity_by_choice_is_not_waiting_for_one() {
    let mut status = good();
    status.identity = None;
    status.source.kind = "none".to_owned();
    assert!(render::text(&status, Paint(false)).contains("identity    none wanted\n"));
}
