//! A run in words: a table for people, JSON for programs.
use crate::checks::{Check, Finding, Level};
use crate::run::Line;
use serde_json::{Value, json};
use std::fmt::Write;

fn level(check: &Check) -> &'static str {
    match check.level {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
    }
}

fn result(line: &Line) -> (&'static str, &str) {
    match &line.outcome {
        Ok(seen) => ("pass", seen),
        Err(Finding::Fails(why)) => ("FAIL", why),
        Err(Finding::Skipped(why)) => ("skip", why),
    }
}

/// Text on one line that a terminal takes as text: what a server says is not ours.
fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(240)
        .collect()
}

fn place(check: &Check) -> String {
    format!("{}, {}", check.document, check.section)
}

/// One line a check, then the sum.
pub fn table(lines: &[Line]) -> String {
    let width = |of: &dyn Fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or_default();
    let id = width(&|line| line.check.id.len());
    let place_width = width(&|line| place(line.check).len());
    let mut out = String::new();
    for line in lines {
        let (word, detail) = result(line);
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "{:id$}  {:6}  {:place_width$}  {word}  {}: {}",
            line.check.id,
            level(line.check),
            place(line.check),
            line.check.says,
            tame(detail),
        );
    }
    let _ = writeln!(out, "\n{}", summary(lines));
    out
}

/// How many of each.
pub fn summary(lines: &[Line]) -> String {
    let count = |wanted: Level, failed: bool| {
        lines
            .iter()
            .filter(|line| line.check.level == wanted && !line.skipped() && line.failed() == failed)
            .count()
    };
    format!(
        "{} checks: MUST {} passed, {} failed; SHOULD {} passed, {} failed; {} skipped",
        lines.len(),
        count(Level::Must, false),
        count(Level::Must, true),
        count(Level::Should, false),
        count(Level::Should, true),
        lines.iter().filter(|line| line.skipped()).count(),
    )
}

/// The same for programs.
pub fn json(lines: &[Line]) -> Value {
    let checks: Vec<Value> = lines
        .iter()
        .map(|line| {
            let (word, detail) = result(line);
            json!({
                "id": line.check.id,
                "level": level(line.check),
                "document": line.check.document.to_string(),
                "section": line.check.section,
                "says": line.check.says,
                "result": word.to_lowercase(),
                "detail": tame(detail),
            })
        })
        .collect();
    json!({"checks": checks, "summary": summary(lines)})
}

/// The list of checks, without a server.
pub fn list<'a>(checks: impl Iterator<Item = &'a Check>) -> String {
    let mut out = String::new();
    for check in checks {
        let _ = writeln!(
            out,
            "{:28} {:6} {}: {}",
            check.id,
            level(check),
            place(check),
            check.says
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::all;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut names: Vec<&str> = all().map(|check| check.id).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count >= 80, "{count}");
    }

    #[test]
    fn what_a_server_says_stays_on_its_line() {
        let lines: Vec<Line> = all()
            .take(1)
            .map(|check| Line {
                check,
                outcome: Err(Finding::Fails("a\n\u{1b}[2Jb".to_owned())),
            })
            .collect();
        assert!(table(&lines).contains("a  [2Jb\n"));
        assert_eq!(json(&lines)["checks"][0]["result"], "fail");
    }
}
