//! Lines as people, machines and the journal see them.
use super::*;
use std::sync::Mutex;

#[derive(Debug, thiserror::Error)]
#[error("cannot read /a")]
struct Outer(#[source] std::io::Error);

fn outer() -> Outer {
    Outer(std::io::Error::other("no such disk"))
}

/// Runs `events` and returns what was written and what was kept.
fn logged(
    level: Level,
    filter: Option<&str>,
    sink: Sink,
    events: impl FnOnce(&Logging),
) -> (Vec<String>, Logging) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let options = Options {
        level,
        filter: filter.map(str::to_owned),
        format: Format::Auto,
        now: Arc::new(|| Timestamp::from_millisecond(1_767_323_045_678).unwrap()),
    };
    let (subscriber, logging) = assemble(options, Sink::Kept(Arc::clone(&kept), Box::new(sink))).unwrap();
    tracing::subscriber::with_default(subscriber, || events(&logging));
    let lines = kept.lock().unwrap().clone();
    (lines, logging)
}

const TEXT: Sink = Sink::Text { colour: false };

#[test]
fn text_is_one_line_with_time_level_message_fields_and_all_causes() {
    let (lines, _) = logged(Level::INFO, None, TEXT, |_| {
        let error = outer();
        tracing::warn!(
            path = "/a",
            tries = 3,
            error = &error as &dyn std::error::Error,
            "source is silent"
        );
    });
    assert_eq!(
        lines,
        [
            "2026-01-02T03:04:05.678Z  WARN source is silent path=/a tries=3 error=\"cannot read /a: no such disk\"\n"
        ]
    );
}

#[test]
fn what_others_wrote_cannot_forge_a_line_or_a_colour() {
    let (lines, _) = logged(Level::INFO, None, TEXT, |_| {
        let bad = "x\n2026-01-02T03:04:05.678Z ERROR forged \x1b[31m";
        tracing::info!(name = bad, "{bad}");
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].matches('\n').count(), 1, "{:?}", lines[0]);
    assert!(!lines[0].contains('\x1b'), "{:?}", lines[0]);
}

#[test]
fn a_long_value_is_cut_at_a_character() {
    let (lines, _) = logged(Level::INFO, None, TEXT, |_| {
        tracing::info!("{}", "ä".repeat(10_000));
    });
    assert!(lines[0].len() < 4200 && lines[0].ends_with("ä…\n"));
}

#[test]
fn json_is_one_object_a_line_with_numbers_as_numbers() {
    let (lines, _) = logged(Level::INFO, None, Sink::Json, |_| {
        let error = outer();
        tracing::error!(generation = 7, error = &error as &dyn std::error::Error, "a\nb");
    });
    let value: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "time": "2026-01-02T03:04:05.678Z", "level": "error", "target": module_path!(),
            "message": "a\nb", "generation": 7, "error": "cannot read /a: no such disk",
        })
    );
    assert_eq!(lines[0].matches('\n').count(), 1);
}

#[test]
fn colour_only_where_it_was_asked_for() {
    let say = |_: &Logging| tracing::warn!("x");
    let (plain, _) = logged(Level::INFO, None, TEXT, say);
    let (coloured, _) = logged(Level::INFO, None, Sink::Text { colour: true }, say);
    assert!(!plain[0].contains('\x1b'));
    assert!(coloured[0].contains("\x1b[33m"));
    assert!(colour_wanted(None) && colour_wanted(Some("".into())) && !colour_wanted(Some("1".into())));
}

#[test]
fn the_newest_troubles_are_kept_and_bounded_whatever_the_level() {
    let (lines, logging) = logged(Level::ERROR, None, TEXT, |_| {
        for i in 0..40 {
            tracing::warn!(i, "trouble");
        }
        tracing::info!("no trouble");
    });
    assert!(lines.is_empty());
    let kept = logging.recent.lines();
    assert_eq!(kept.len(), recent::MOST);
    assert_eq!(
        (kept[0].text.as_str(), kept[31].text.as_str()),
        ("trouble i=8", "trouble i=39")
    );
}

#[test]
fn denied_callers_do_not_push_out_our_own_troubles() {
    let (lines, logging) = logged(Level::INFO, None, TEXT, |_| {
        tracing::warn!("trouble");
        for i in 0..40 {
            tracing::warn!(target: "mwid::access", i, "denied");
        }
    });
    assert_eq!(lines.len(), 41, "the log has them all");
    let kept = logging.recent.lines();
    assert_eq!((kept.len(), kept[0].text.as_str()), (1, "trouble"));
}

#[test]
fn the_variable_wins_over_the_level_also_when_that_changes() {
    let say = |logging: &Logging| {
        logging.set_level(Level::ERROR).unwrap();
        tracing::info!(target: "mwid::source", "wanted");
        tracing::info!(target: "mwid::http", "not wanted");
    };
    let (lines, _) = logged(Level::TRACE, Some("mwid::source=debug,warn"), TEXT, say);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" wanted"));
}

#[test]
fn the_level_can_change_while_running() {
    let (lines, _) = logged(Level::WARN, None, TEXT, |logging| {
        tracing::info!("before");
        logging.set_level(Level::INFO).unwrap();
        tracing::info!("after");
        logging.set_level(Level::WARN).unwrap();
        tracing::info!("again");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("after"));
}

#[test]
fn a_wrong_filter_is_named() {
    let options = Options {
        level: Level::INFO,
        filter: Some("mwid=loud".to_owned()),
        format: Format::Text,
        now: wall_clock(),
    };
    let Err(error) = assemble(options, TEXT) else {
        panic!("accepted")
    };
    assert!(error.to_string().contains("MWID_LOG=\"mwid=loud\""), "{error}");
}

#[test]
fn a_journal_entry_has_fields_that_cannot_be_forged() {
    let line = Line {
        level: Level::WARN,
        target: "mwid::source",
        message: "refused".to_owned(),
        fields: vec![("spiffe.id", "a\nPRIORITY=0".into()), ("generation", 7.into())],
    };
    let entry = journal::entry(&line);
    let mut wanted =
        b"PRIORITY=4\nSYSLOG_IDENTIFIER=mwid\nMESSAGE=refused spiffe.id=\"a\\nPRIORITY=0\" generation=7\n\
        MWID_ROOM=mwid::source\nMWID_SPIFFE_ID\n"
            .to_vec();
    wanted.extend_from_slice(&12_u64.to_le_bytes());
    wanted.extend_from_slice(b"a\nPRIORITY=0\nMWID_GENERATION=7\n");
    assert_eq!(String::from_utf8_lossy(&entry), String::from_utf8_lossy(&wanted));
}

#[test]
fn the_journal_is_used_only_when_standard_error_is_its_stream() {
    assert!(journal::is_stream("8:1234", 8, 1234));
    for other in ["8:1235", "9:1234", "", "8", "x:y", "8:1234:5"] {
        assert!(!journal::is_stream(other, 8, 1234), "{other}");
    }
}
