//! A finding: what, why it matters, and what to do; as lines for a person or as JSON.
use serde::Serialize;

/// The order is the order of showing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// mwid cannot do what the configuration says.
    Error,
    /// It can, but somebody should look.
    Warning,
    /// Good to know.
    Note,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// A stable name for scripts.
    pub(super) id: &'static str,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) fix: String,
}

impl Finding {
    pub(super) fn new(severity: Severity, id: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity,
            id,
            what: what.into(),
            why: String::new(),
            fix: String::new(),
        }
    }

    pub(super) fn error(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, id, what)
    }

    pub(super) fn warning(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, id, what)
    }

    pub(super) fn note(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, id, what)
    }

    #[must_use]
    pub(super) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    #[must_use]
    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }
}

#[derive(Serialize)]
struct Report<'a> {
    configuration: &'a str,
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
}

fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|f| f.severity == severity).count()
}

pub(super) fn json(configuration: &str, findings: &[Finding]) -> String {
    let report = Report {
        configuration,
        errors: count(findings, Severity::Error),
        warnings: count(findings, Severity::Warning),
        findings,
    };
    // Only texts and numbers: they always have a JSON form.
    serde_json::to_string_pretty(&report).map_or_else(|_| String::new(), |text| text + "\n")
}

pub(super) fn words(configuration: &str, findings: &[Finding], colour: bool) -> String {
    let mut text = format!("configuration: {}\n", shown(configuration));
    for finding in findings {
        let (name, code) = match finding.severity {
            Severity::Error => ("error", "31"),
            Severity::Warning => ("warning", "33"),
            Severity::Note => ("note", "36"),
        };
        if colour {
            text += &format!("\x1b[1;{code}m{name}\x1b[0m: {}\n", shown(&finding.what));
        } else {
            text += &format!("{name}: {}\n", shown(&finding.what));
        }
        for (word, part) in [("why", &finding.why), ("fix", &finding.fix)] {
            if !part.is_empty() {
                text += &format!("  {word}: {}\n", shown(part));
            }
        }
    }
    let errors = count(findings, Severity::Error);
    let warnings = count(findings, Severity::Warning);
    text + &format!("{}, {}\n", counted(errors, "error"), counted(warnings, "warning"))
}

pub(super) fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A path may hold anything; a terminal gets no control characters from us.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_and_a_script_read_the_same() {
        let findings = [
            Finding::error("a_b", "x is\x1b[2J wrong")
                .why("because")
                .fix("do y"),
            Finding::note("c", "z"),
        ];
        assert_eq!(
            words("/a.yaml", &findings, false),
            "configuration: /a.yaml\nerror: x is\u{fffd}[2J wrong\n  why: because\n  fix: do y\nnote: z\n1 error, 0 warnings\n"
        );
        assert!(words("/a.yaml", &findings, true).contains("\n\x1b[1;31merror\x1b[0m: "));
        let value: serde_json::Value = serde_json::from_str(&json("/a.yaml", &findings)).unwrap();
        assert_eq!(value["configuration"], "/a.yaml");
        assert_eq!(value["errors"], 1);
        assert_eq!(value["findings"][0]["severity"], "error");
        assert_eq!(value["findings"][0]["id"], "a_b");
    }
}
