//! The YAML library's and serde's errors in our words. In: an error and a key path. Out: found and wanted. Never the place.
use crate::config::error::{Problem, Wrong};
use crate::config::later;
use serde::de;
use serde_yaml::Error;

const RAISED: &str = "raised by mwid at this place";

/// An error whose only use is the place that the library adds to it.
pub(super) fn raised<E: de::Error>() -> E {
    E::custom(RAISED)
}

pub(super) fn is_raised(error: &Error) -> bool {
    error.to_string().contains(RAISED)
}

pub(super) fn key_of(path: &serde_path_to_error::Path) -> String {
    let text = path.to_string();
    if text == "." { String::new() } else { text }
}

/// serde's texts have a fixed form: `invalid type: FOUND, expected WANTED`.
pub(super) fn of(error: &Error, key: &str) -> Problem {
    let whole = error.to_string();
    let (kind, message) = split(&whole, error);
    let (found, wanted) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let wrong = match kind {
        Kind::UnknownKey => unknown_key(key, wanted),
        Kind::Value => Wrong::new(&plain(found), plain(wanted)),
        Kind::Syntax => syntax(message),
    };
    Problem {
        at: None,
        key: super::super::error::shown(key),
        wrong,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    UnknownKey,
    Value,
    Syntax,
}

/// Without the path before it and the place after it, which we tell in our own way.
fn split<'w>(whole: &'w str, error: &Error) -> (Kind, &'w str) {
    let place = error
        .location()
        .map(|l| format!(" at line {} column {}", l.line(), l.column()));
    let whole = place
        .and_then(|place| whole.strip_suffix(&place))
        .unwrap_or(whole);
    [
        ("unknown field ", Kind::UnknownKey),
        ("invalid type: ", Kind::Value),
        ("invalid value: ", Kind::Value),
        ("invalid length ", Kind::Value),
    ]
    .into_iter()
    .filter_map(|(mark, kind)| Some((whole.find(mark)?, mark, kind)))
    .min_by_key(|(position, ..)| *position)
    .map_or((Kind::Syntax, whole), |(position, mark, kind)| {
        (kind, &whole[position + mark.len()..])
    })
}

/// What is no YAML, or more of it than we follow. The library adds further places to its text; the first is enough.
fn syntax(message: &str) -> Wrong {
    match message {
        "recursion limit exceeded" => Wrong::new(
            "maps and lists nested too deep, or an anchor inside itself",
            "at most 127 levels",
        ),
        "repetition limit exceeded" => Wrong::new(
            "anchors that multiply without end",
            "a configuration of sane size",
        ),
        "unknown anchor" => Wrong::new(
            "an alias (`*name`) without its anchor",
            "an anchor (`&name`) before it",
        )
        .fix("quote the text if it only begins with an asterisk"),
        _ => {
            let short = message.split(" at line ").next().unwrap_or(message);
            Wrong::new(&format!("text that is not YAML ({short})"), "a YAML document")
                .fix("look at this line and the one before it: indentation, quotes, brackets, a space after each colon")
        }
    }
}

fn unknown_key(key: &str, known: &str) -> Wrong {
    if let Some(what) = later::serves(key) {
        return Wrong::new("a key of a later version of mwid", "only keys of this version")
            .fix(format!("remove it: this version does not serve {what} yet"));
    }
    let known = if known.is_empty() {
        "no keys here".to_owned()
    } else {
        known.to_owned()
    };
    Wrong::new("an unknown key", known).fix("correct the spelling or the indentation, or remove it")
}

/// serde's words for kinds of values, as a person who writes YAML knows them.
fn plain(text: &str) -> String {
    let words = [
        ("string \"", "\""),
        ("integer `", "the number `"),
        ("floating point `", "the number `"),
        ("boolean `", "the truth value `"),
        ("unit value", "nothing (null)"),
        ("a sequence", "a list"),
        ("sequence", "a list"),
        ("a boolean", "true or false"),
        ("map", "a map"),
    ];
    for (theirs, ours) in words {
        if let Some(rest) = text.strip_prefix(theirs) {
            return format!("{ours}{rest}");
        }
    }
    if text.starts_with("struct ") {
        return "a map (`key: value` lines)".to_owned();
    }
    text.to_owned()
}
