//! What is wrong with a model: the name of the check that must find it.

/// The one sentence that a model breaks, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw(Option<&'static str>);

impl Flaw {
    /// Conforming.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Breaks the sentence of this check.
    pub const fn of(check: &'static str) -> Self {
        Self(Some(check))
    }

    /// Whether it is this one.
    pub fn is(self, check: &str) -> bool {
        self.0 == Some(check)
    }

    /// One of two things: the right one, and the wrong one if this is the flaw.
    pub(super) fn or<T>(self, check: &str, right: T, wrong: T) -> T {
        if self.is(check) { wrong } else { right }
    }
}
