//! Wrong configurations and what we say of them; right ones and what they mean.

mod files;
mod meaning;
mod wrong;

use super::{ConfigError, Settings};
use std::path::Path;

fn parse(text: &str) -> Result<Settings, ConfigError> {
    super::parse(text, Path::new("f.yaml"))
}

fn right(text: &str) -> Settings {
    parse(text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"))
}
