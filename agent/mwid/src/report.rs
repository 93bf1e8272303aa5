//! Errors in words: the error and all its causes on one line, once.
use std::error::Error;
use std::fmt;

/// In: an error whose text does not repeat its source. Out: `what: why: because`. Never logs by itself.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(e) = cause {
            write!(f, ": {e}")?;
            cause = e.source();
        }
        Ok(())
    }
}
