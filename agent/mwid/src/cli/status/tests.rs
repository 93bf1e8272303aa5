//! A status as people see it.
use super::*;
use crate::health::Condition;
use crate::health::status::{
    CallerLine, CallersStatus, ErrorLine, IdentityStatus, PublishStatus, ReactionStatus, RotationStatus,
    SdsStatus, SourceStatus, TokensStatus, WorkloadStatus,
};
use jiff::Timestamp;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn good_tokens() -> TokensStatus {
    TokensStatus {
        source: "metadata".to_owned(),
        from: Some("169.254.169.254:80".to_owned()),
        account: Some("vm@p.iam.gserviceaccount.com".to_owned()),
        cached: 2,
        fetches: 1,
        hits: 700,
        expires_at: Some(at(3_000)),
        last_answer: Some(at(-599)),
        ..TokensStatus::default()
    }
}

fn good_callers() -> CallersStatus {
    CallersStatus {
        rules: 1,
        grants: 701,
        denials: 0,
        recent: vec![CallerLine {
            at: at(-3),
            granted: true,
            caller: "uid 1000 pid 4711 unit payments.service".to_owned(),
            listener: "metadata_tcp".to_owned(),
            what: "access token".to_owned(),
            why: None,
            times: 700,
        }],
    }
}

fn good_workload() -> WorkloadStatus {
    WorkloadStatus {
        listening: true,
        streams: 12,
        callers: 1,
        sds: SdsStatus { streams: 2, nacks: 0 },
        rotation: Some(RotationStatus {
            generation: 5,
            subscribers: 12,
            slowest_seconds: 0.001_24,
        }),
        jwt_svids: "validated only".to_owned(),
        last_denial: None,
    }
}

fn good() -> Status {
    Status {
        workload: good_workload(),
        tokens: good_tokens(),
        callers: good_callers(),
        routes: vec![],
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
         \x20           reload nginx.service: done for generation 5, 28s ago\n\
         tokens      metadata 169.254.169.254:80, account vm@p.iam.gserviceaccount.com, answered 9m 59s ago\n\
         \x20           default token valid until 2023-11-14T23:03:20Z (in 50m)\n\
         \x20           2 cached, 1 fetch, 700 hits\n\
         workload    12 streams of 1 caller\n\
         \x20           generation 5 reached 12 streams, the last after 1.2 ms\n\
         \x20           JWT-SVIDs: validated only\n\
         \x20           Envoy: 2 streams\n\
         callers     1 rule, 701 grants, 0 denials\n\
         \x20           granted 3s ago: access token to uid 1000 pid 4711 unit payments.service, 700 times\n"
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
    bad.tokens = TokensStatus {
        source: "dev".to_owned(),
        for_development: true,
        trouble: trouble("nobody\nlistens"),
        ..TokensStatus::default()
    };
    bad.callers = CallersStatus {
        denials: 1,
        recent: vec![CallerLine {
            at: at(-60),
            granted: false,
            caller: "uid 33 pid 7".to_owned(),
            listener: "metadata".to_owned(),
            what: "ID token for https://x/\x1b[2J".to_owned(),
            why: Some("no rule\ngrants it".to_owned()),
            times: 1,
        }],
        ..CallersStatus::default()
    };
    bad.workload = WorkloadStatus {
        listening: true,
        sds: SdsStatus { streams: 0, nacks: 1 },
        last_denial: Some(CallerLine {
            at: at(-5),
            granted: false,
            caller: "uid 33 pid 8".to_owned(),
            listener: "workload".to_owned(),
            what: "X.509 identity".to_owned(),
            why: Some("no identity\nissued".to_owned()),
            times: 2,
        }),
        ..WorkloadStatus::default()
    };
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
         tokens      dev\n\
         \x20           for development only: nobody but this machine believes these tokens\n\
         \x20           0 cached, 0 fetches, 0 hits\n\
         \x20           trouble 1m ago: nobody listens\n\
         workload    0 streams of 0 callers\n\
         \x20           Envoy: 0 streams, 1 secret was refused by it\n\
         \x20           denied 5s ago: X.509 identity to uid 33 pid 8, 2 times: no identity issued\n\
         callers     no rules (only root and mwid's own user get tokens), 0 grants, 1 denial\n\
         \x20           denied 1m ago: ID token for https://x/\\u{1b}[2J to uid 33 pid 7: no rule grants it\n\
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

#[test]
fn a_workload_api_that_is_off_is_off() {
    let mut status = good();
    status.workload = WorkloadStatus::default();
    assert!(render::text(&status, Paint(false)).contains("\nworkload    off\ncallers "));
}

#[test]
fn a_daemon_without_a_source_of_tokens_counts_none() {
    let mut status = good();
    status.tokens = TokensStatus {
        source: "none".to_owned(),
        ..TokensStatus::default()
    };
    let text = render::text(&status, Paint(false));
    assert!(text.contains("\ntokens      none\nworkload  "), "{text}");
}

#[test]
fn a_watched_stream_shows_a_denial() {
    let (first, mut later) = (good(), good());
    later.callers.denials = 1;
    assert_ne!(key(&first, false), key(&later, false));
}
