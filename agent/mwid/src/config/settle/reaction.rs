//! `then`: what happens after a publish.
use super::place::At;
use super::values::{self, quoted};
use crate::config::Reaction;
use crate::config::defaults::REACTION_TIMEOUT;
use crate::config::error::Wrong;
use crate::config::raw;
use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(600);
const MOST_ARGUMENTS: usize = 256;

const FORMS: &str = "one of { reload: UNIT }, { signal: HUP, of: UNIT or pid file }, { run: [/path/to/command], timeout: 10s }";

pub(super) fn settle(at: &At, raw: Vec<raw::Reaction>, most: usize) -> Vec<Reaction> {
    if raw.len() > most {
        at.refuse(Wrong::new(
            &format!("{} reactions", raw.len()),
            format!("at most {most}"),
        ));
        return Vec::new();
    }
    raw.into_iter()
        .enumerate()
        .filter_map(|(index, raw)| one(&at.item(index), raw))
        .collect()
}

fn one(at: &At, raw: raw::Reaction) -> Option<Reaction> {
    match raw {
        raw::Reaction {
            reload: Some(unit),
            signal: None,
            of: None,
            run: None,
            timeout: None,
        } => {
            let unit = at.maybe("reload", Some(values::unit(&unit.0)))?;
            Some(Reaction::Reload { unit })
        }
        raw::Reaction {
            reload: None,
            signal: Some(signal),
            of: Some(of),
            run: None,
            timeout: None,
        } => {
            let signal = at.maybe("signal", Some(values::signal(&signal.0)));
            let of = at.maybe("of", Some(values::signal_target(&of.0)));
            Some(Reaction::Signal {
                signal: signal?,
                of: of?,
            })
        }
        raw::Reaction {
            reload: None,
            signal: None,
            of: None,
            run: Some(argv),
            timeout,
        } => {
            let command = command(&at.key("run"), argv);
            let timeout = at.time(timeout, "timeout", SHORTEST..=LONGEST, REACTION_TIMEOUT);
            Some(Reaction::Run {
                command: command?,
                timeout,
            })
        }
        other => {
            at.refuse(mixed(&other));
            None
        }
    }
}

fn mixed(raw: &raw::Reaction) -> Wrong {
    let keys = [
        ("reload", raw.reload.is_some()),
        ("signal", raw.signal.is_some()),
        ("of", raw.of.is_some()),
        ("run", raw.run.is_some()),
        ("timeout", raw.timeout.is_some()),
    ];
    let given: Vec<&str> = keys
        .iter()
        .filter(|(_, given)| *given)
        .map(|(key, _)| *key)
        .collect();
    let found = match given.as_slice() {
        [] => "an empty map".to_owned(),
        [one] => format!("`{one}` alone"),
        several => format!("`{}` together", several.join("`, `")),
    };
    let wrong = Wrong::new(&found, FORMS);
    match given.as_slice() {
        ["signal"] => wrong.fix("say whom with `of:`"),
        ["reload", "timeout"] | ["signal", "of", "timeout"] => {
            wrong.fix("only `run` has a timeout of its own")
        }
        [] | [_] => wrong,
        _ => wrong.fix("write each reaction as a list item of its own"),
    }
}

/// Started without a shell, so the first word is the program itself.
fn command(at: &At, raw: Vec<raw::Text>) -> Option<Vec<String>> {
    let Some(program) = raw.first() else {
        at.refuse(Wrong::new(
            "an empty list",
            "a program's absolute path and its arguments",
        ));
        return None;
    };
    if raw.len() > MOST_ARGUMENTS {
        at.refuse(Wrong::new(
            &format!("{} words", raw.len()),
            format!("at most {MOST_ARGUMENTS}"),
        ));
        return None;
    }
    if !program.0.starts_with('/') {
        let wrong = Wrong::new(&quoted(&program.0), "a program's absolute path");
        at.item(0).refuse(if program.0.contains(' ') {
            wrong.fix("no shell reads this: each argument is a list item of its own")
        } else {
            wrong.fix("PATH is not searched; write it in full, such as /usr/bin/true")
        });
        return None;
    }
    if let Some(index) = raw.iter().position(|word| word.0.contains('\0')) {
        at.item(index)
            .refuse(Wrong::new("a NUL character", "words without it"));
        return None;
    }
    Some(raw.into_iter().map(|word| word.0).collect())
}
