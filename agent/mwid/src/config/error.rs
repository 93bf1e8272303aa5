//! Why a configuration is refused: where, what was found, what is wanted, and what to do.
//!
//! Never shows a value that may be a secret: who reports a problem chooses the words of `found`.
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the configuration {} is {found}; name a regular file", path.display())]
    NotAFile { path: PathBuf, found: &'static str },
    #[error(
        "everybody may write the configuration {path} (mode {mode:04o}), and with it name commands that mwid runs; \
         take that away: chmod o-w {path}", path = path.display()
    )]
    WorldWritable { path: PathBuf, mode: u32 },
    #[error("the configuration {} is longer than {limit} bytes; this is no configuration of mwid", path.display())]
    TooLong { path: PathBuf, limit: usize },
    #[error("{}:{line}: the configuration is not UTF-8 (byte {byte:#04x}); save it as UTF-8", path.display())]
    NotUtf8 { path: PathBuf, line: usize, byte: u8 },
    #[error("{}", Listed { path, problems, more: *more })]
    Wrong {
        path: PathBuf,
        /// In the order of the file.
        problems: Vec<Problem>,
        /// How many further ones there are; a list is for a person.
        more: usize,
    },
}

/// A line and a column of the file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One thing that is wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: Option<Place>,
    /// Key path, `publish[0].key_mode`; empty for the file as a whole.
    pub(crate) key: String,
    pub(crate) wrong: Wrong,
}

/// What was found, what is wanted, and what to do when that is not plain from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) found: String,
    pub(crate) wanted: Cow<'static, str>,
    pub(crate) fix: Cow<'static, str>,
}

impl Wrong {
    /// Cuts and escapes what was found, which may come from anywhere.
    pub(super) fn new(found: &str, wanted: impl Into<Cow<'static, str>>) -> Self {
        Self {
            found: shown(found),
            wanted: wanted.into(),
            fix: Cow::Borrowed(""),
        }
    }

    #[must_use]
    pub(super) fn fix(mut self, fix: impl Into<Cow<'static, str>>) -> Self {
        self.fix = fix.into();
        self
    }
}

/// No control characters and no more than a line's worth.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 120;
    let mut short: String = text
        .chars()
        .take(MOST)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.at {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "found {}; wanted {}", self.wrong.found, self.wrong.wanted)?;
        if !self.wrong.fix.is_empty() {
            write!(f, "; {}", self.wrong.fix)?;
        }
        Ok(())
    }
}

struct Listed<'a> {
    path: &'a PathBuf,
    problems: &'a [Problem],
    more: usize,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let colon = if problem.at.is_some() { ":" } else { ": " };
            write!(f, "{}{colon}{problem}", self.path.display())?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}
