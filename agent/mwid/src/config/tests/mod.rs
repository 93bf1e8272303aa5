//! Wrong configurations and what we say of them; right ones and what they mean.

mod access;
mod agents;
mod doors;
mod files;
mod grants;
mod meaning;
mod proxy;
mod sds;
mod tokens;
mod values;
mod wrong;

use super::{ConfigError, Settings};
use std::path::Path;

fn parse(text: &str) -> Result<Settings, ConfigError> {
    super::parse(text, Path::new("f.yaml"))
}

fn right(text: &str) -> Settings {
    parse(text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"))
}

/// Each a config, and the lines of its error without `f.yaml:`.
#[track_caller]
fn refused(cases: &[(&str, &[&str])]) {
    for (text, lines) in cases {
        let error = match parse(text) {
            Ok(settings) => panic!("accepted as {settings:?}:\n{text}"),
            Err(error) => error.to_string(),
        };
        let wanted: Vec<String> = lines.iter().map(|line| format!("f.yaml:{line}")).collect();
        assert_eq!(error, wanted.join("\n"), "for:\n{text}");
        assert!(std::error::Error::source(&parse(text).unwrap_err()).is_none());
    }
}
