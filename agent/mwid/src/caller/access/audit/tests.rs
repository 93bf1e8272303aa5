//! Bounds of the record: lines, memory and what is shown.
use super::super::tests::{TestClock, logged};
use super::*;

const NOW: u64 = 1_700_000_000;

fn audit() -> (Audit, Arc<TestClock>) {
    let clock = TestClock::new(NOW);
    (Audit::new(clock.clone()), clock)
}

fn subject(uid: u32, what: &str, granted: bool) -> Subject {
    Subject {
        who: Who::Attested {
            uid,
            gid: None,
            unit: None,
        },
        listener: "metadata",
        what: what.to_owned(),
        denied: (!granted).then(|| Why {
            text: "no rule".to_owned(),
            hints: String::new(),
        }),
        rule: "none".to_owned(),
    }
}

fn note(audit: &Audit, subject: Subject) -> Arc<Entry> {
    let entry = audit.entry(subject, None, Counter::default());
    audit.note(&entry, Some(7));
    entry
}

/// What the lines tell of: the sum of `times`, and of what is left out.
fn told(lines: &[String]) -> (u64, u64) {
    let field = |line: &str, name: &str| -> u64 {
        line.split(' ')
            .find_map(|part| part.strip_prefix(name)?.parse().ok())
            .unwrap_or(0)
    };
    let times = lines.iter().map(|line| field(line, "times=")).sum();
    let left_out = lines
        .iter()
        .map(|line| field(line, "grants=") + field(line, "denials="))
        .sum();
    (times, left_out)
}

#[test]
fn a_flood_of_different_lines_is_bounded_and_what_is_left_out_is_told() {
    let (audit, clock) = audit();
    let lines = logged(|| {
        for i in 0..5000 {
            note(&audit, subject(1000, &format!("ID token for {i}"), i % 2 == 0));
        }
        // Another user is heard meanwhile.
        note(&audit, subject(1001, "access token", true));
        clock.set(NOW + 5);
        note(&audit, subject(1000, "something new", false));
    });
    assert_eq!(lines.len(), 13, "{lines:#?}");
    assert!(
        lines[10].contains("grants=2495 denials=2495")
            && lines[10].contains("... and 4990 more that no line tells of"),
        "{}",
        lines[10]
    );
    assert!(lines[11].contains("uid=1001"), "{}", lines[11]);
    assert_eq!(
        lines[12..].iter().filter(|l| l.contains("more")).count(),
        0,
        "{lines:#?}"
    );
    assert_eq!(told(&lines), (12, 4990), "each is told of once");
}

#[test]
fn memory_is_bounded_and_a_flood_of_one_does_not_push_out_the_others() {
    let (audit, clock) = audit();
    let quiet = note(&audit, subject(1001, "access token", true));
    for i in 0..10_000 {
        clock.set(NOW + i);
        note(&audit, subject(1000, &format!("ID token for {i}"), false));
    }
    assert!(audit.entries().len() <= MOST);
    assert!(!quiet.is_forgotten());
    assert_eq!(audit.denials(), 10_000);
    let recent = audit.recent();
    assert_eq!(recent.len(), 33, "32 of the flood");
    assert_eq!(recent[0].caller, "uid 1001 pid 7");
    assert_eq!(recent[32].what, "ID token for 9999", "the newest is last");
    assert_eq!(recent[32].why.as_deref(), Some("no rule"));
    assert!(recent.windows(2).all(|two| two[0].at <= two[1].at));
}

#[test]
fn what_was_forgotten_is_told_of_with_what_was_left_out() {
    let (audit, clock) = audit();
    let lines = logged(|| {
        let entry = note(&audit, subject(1000, "first", true));
        audit.note(&entry, Some(8));
        audit.note(&entry, Some(8));
        clock.set(NOW + 1);
        for i in 0..MOST {
            note(&audit, subject(1000, &format!("ID token for {i}"), true));
        }
        assert!(entry.is_forgotten());
        clock.set(NOW + 100);
        note(&audit, subject(1000, "last", true));
    });
    let all = 3 + MOST as u64 + 1;
    assert_eq!(told(&lines).0 + told(&lines).1, all, "{lines:#?}");
}

#[test]
fn a_clock_that_is_set_back_does_not_silence_a_line() {
    let (audit, clock) = audit();
    let lines = logged(|| {
        let entry = note(&audit, subject(1000, "access token", true));
        clock.set(NOW - 1_000_000);
        audit.note(&entry, None);
        clock.set(NOW - 1_000_000 + 59);
        audit.note(&entry, None);
        clock.set(NOW - 1_000_000 + 60);
        audit.note(&entry, None);
        clock.set(0);
        audit.note(&entry, None);
        audit.note(&entry, None);
    });
    let times: Vec<_> = lines.iter().map(|l| l.rsplit('=').next().unwrap()).collect();
    assert_eq!(times, ["1", "1", "2", "1"], "{lines:#?}");
}

#[test]
fn repeats_from_many_threads_are_each_counted_once() {
    let (audit, clock) = audit();
    let entry = audit.entry(subject(1000, "access token", true), None, Counter::default());
    let lines = Mutex::new(vec![]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mine = logged(|| (0..1000).for_each(|_| audit.note(&entry, Some(7))));
                lines.lock().unwrap().extend(mine);
            });
        }
    });
    clock.set(NOW + 60);
    let last = logged(|| audit.note(&entry, Some(7)));
    let all = [lines.into_inner().unwrap(), last].concat();
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(told(&all), (4001, 0));
    assert_eq!(audit.recent()[0].times, 4001);
}
