//! A line as text for people, or as JSON for machines.
use super::line::Line;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::Level;

/// `2026-01-02T03:04:05.678Z  WARN message key=value`. The room is named on debug lines only, where it helps.
pub(super) fn text(line: &Line, at: Timestamp, colour: bool) -> String {
    let (on, off) = if colour {
        (paint(line.level), "\x1b[0m")
    } else {
        ("", "")
    };
    let room = match line.level {
        Level::DEBUG | Level::TRACE => format!("{}: ", line.target),
        _ => String::new(),
    };
    format!(
        "{at:.3} {on}{:>5}{off} {room}{}\n",
        line.level.as_str(),
        line.sentence()
    )
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// One object a line. Fields stand beside the message; the four names of our own win.
pub(super) fn json(line: &Line, at: Timestamp) -> String {
    let mut object: Map<String, Value> = line
        .fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    for (name, value) in [
        ("time", format!("{at:.3}")),
        ("level", line.level.as_str().to_lowercase()),
        ("target", line.target.to_owned()),
        ("message", line.message.clone()),
    ] {
        object.insert(name.to_owned(), value.into());
    }
    format!("{}\n", Value::Object(object))
}
