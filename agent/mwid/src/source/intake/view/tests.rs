//! What holds at one moment, and when that changes, as tables.
use super::*;

const START: u64 = 1_700_000_000;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(START + seconds))
}

/// An identity from 0 to 300.
fn view(now: u64) -> View<'static> {
    View {
        now: at(now),
        wanted: true,
        identity: Some(Life {
            id: "spiffe://x.org/a",
            not_before: at(0),
            not_after: at(300),
        }),
        trouble: None,
        restored_from: None,
        waiting_until: None,
    }
}

fn state(view: &View<'_>) -> &'static str {
    match view.condition() {
        Condition::Ok => "ok",
        Condition::Degraded(_) => "degraded",
        Condition::NotReady(_) => "not ready",
    }
}

#[test]
fn conditions() {
    let trouble = |now| View {
        trouble: Some("the link dangles"),
        ..view(now)
    };
    let none = |wanted, trouble| View {
        identity: None,
        wanted,
        trouble,
        ..view(0)
    };
    for (what, view, expected) in [
        ("fresh", view(1), "ok"),
        ("old without trouble", view(299), "ok"),
        ("its last second", view(300), "ok"),
        ("over", view(301), "not ready"),
        ("fresh with trouble", trouble(199), "ok"),
        ("two thirds with trouble", trouble(200), "degraded"),
        ("over with trouble", trouble(301), "not ready"),
        ("none yet", none(true, None), "not ready"),
        (
            "none with trouble",
            none(true, Some("the link dangles")),
            "not ready",
        ),
        ("none wanted", none(false, None), "ok"),
        (
            "restored",
            View {
                restored_from: Some(Path::new("/p")),
                ..view(1)
            },
            "degraded",
        ),
        (
            "restored and over",
            View {
                restored_from: Some(Path::new("/p")),
                ..view(301)
            },
            "not ready",
        ),
    ] {
        assert_eq!(state(&view), expected, "{what}");
    }
}

#[test]
fn reasons_name_who_when_and_why() {
    let gone = View {
        trouble: Some("the link dangles"),
        ..view(301)
    };
    let Condition::NotReady(why) = gone.condition() else {
        panic!("not ready");
    };
    for part in [
        "spiffe://x.org/a",
        "expired at 2023-11-14T22:18:20Z",
        "the link dangles",
    ] {
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn timers_are_deadlines() {
    let seconds = Duration::from_secs;
    let waiting = |now, until| View {
        waiting_until: Some(at(until)),
        identity: None,
        ..view(now)
    };
    for (what, view, expected) in [
        ("until the last second", view(1), Some(seconds(299))),
        ("in the last second", view(300), Some(LAST_SECOND)),
        ("after the end nothing more", view(301), None),
        (
            "no identity",
            View {
                identity: None,
                ..view(0)
            },
            None,
        ),
        (
            "trouble turns at two thirds",
            View {
                trouble: Some("x"),
                ..view(50)
            },
            Some(seconds(150)),
        ),
        (
            "and then at the end",
            View {
                trouble: Some("x"),
                ..view(200)
            },
            Some(seconds(100)),
        ),
        ("a candidate soon", waiting(0, 20), Some(seconds(20))),
        (
            "a candidate later: the clock may be set",
            waiting(0, 5000),
            Some(seconds(60)),
        ),
        ("a candidate now", waiting(20, 20), Some(LAST_SECOND)),
    ] {
        assert_eq!(view.wait(), expected, "{what}");
    }
}
