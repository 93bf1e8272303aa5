//! The guest agent's `config_status`. In: JSON of a shape that is not written down. Out: healthy or not, and in which words.
//! Never a reason to refuse a candidate by itself.
use std::fmt;

/// The most of a problem's text that is kept.
const LONGEST: usize = 300;

/// What the platform reports about the configuration of the identity.
///
/// The file is opaque JSON that the metadata server hands out (`instance/gce-workload-certificates/config-status`). It is healthy
/// when every member whose name ends in `Errors` and that is an object is empty, and `status`, if it is there, is `OK` in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigStatus {
    problems: Vec<String>,
}

impl ConfigStatus {
    /// From the file, or from the metadata server's own answer. What is no JSON object is a problem of its own.
    pub fn parse(bytes: &[u8]) -> Self {
        let members = match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(serde_json::Value::Object(members)) => members,
            Ok(_) => return Self::of("it is not a JSON object"),
            Err(_) => return Self::of("it is not JSON"),
        };
        let problems = members
            .iter()
            .filter(|(name, value)| match value {
                serde_json::Value::Object(errors) => name.ends_with("Errors") && !errors.is_empty(),
                serde_json::Value::String(status) => *name == "status" && !status.eq_ignore_ascii_case("ok"),
                _ => false,
            })
            .map(|(name, value)| format!("{name}: {value}").chars().take(LONGEST).collect())
            .collect();
        Self { problems }
    }

    fn of(problem: &str) -> Self {
        Self {
            problems: vec![problem.to_owned()],
        }
    }

    /// Whether the platform reports no problem.
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems, each `member: value` and shortened.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_healthy() {
            f.write_str("OK")
        } else {
            f.write_str(&self.problems.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigStatus;

    #[test]
    fn healthy_and_not() {
        for (text, problems) in [
            (r#"{"partnerMetadataConfigsErrors": {}}"#, 0),
            (r#"{"status":"Ok","metadataAttributesErrors":{}}"#, 0),
            (
                r#"{"status":"OK","somethingErrors":"not an object","other":{"a":1}}"#,
                0,
            ),
            (r#"{"status":"FAILED"}"#, 1),
            (
                r#"{"status":"NO","partnerMetadataConfigsErrors":{"pool":"not found"}}"#,
                2,
            ),
            ("", 1),
            ("[]", 1),
        ] {
            let status = ConfigStatus::parse(text.as_bytes());
            assert_eq!(status.problems().len(), problems, "{text}: {status}");
            assert_eq!(status.is_healthy(), problems == 0, "{text}");
        }
    }

    #[test]
    fn a_problem_is_shortened_and_holds_no_line_break() {
        let text = format!(r#"{{"xErrors":{{"a":"{}\n"}}}}"#, "y".repeat(5000));
        let shown = ConfigStatus::parse(text.as_bytes()).to_string();
        assert!(shown.len() <= 300 && !shown.contains('\n'), "{shown}");
    }
}
