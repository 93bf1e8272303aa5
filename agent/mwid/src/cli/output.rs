//! The two ways out: data to standard output, talk to standard error. Never mixes them.
use super::{Exit, Failure};
use std::io::{ErrorKind, IsTerminal, Write};

/// Writes data. A reader that went away (`mwid status | head -1`) is no failure.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    more(text).map(drop)
}

/// Writes data of which more may follow. False when the reader went away: nobody wants the rest.
pub(super) fn more(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Io, "cannot write to standard output").because(error)),
    }
}

/// Writes a line to a person. When even standard error is closed there is nobody left to tell.
pub(super) fn talk(line: &str) {
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "{line}"));
}

/// Whether standard output may be coloured: a terminal that is not dumb, and no `NO_COLOR` (<https://no-color.org>).
pub(super) fn colour() -> bool {
    may_colour(
        std::io::stdout().is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
        std::env::var_os("TERM").as_deref(),
    )
}

fn may_colour(terminal: bool, no_color: Option<&std::ffi::OsStr>, term: Option<&std::ffi::OsStr>) -> bool {
    terminal && no_color.is_none_or(std::ffi::OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_on_a_terminal_that_wants_it() {
        assert!(may_colour(true, None, Some("xterm".as_ref())));
        assert!(
            may_colour(true, Some("".as_ref()), None),
            "an empty NO_COLOR is not set"
        );
        assert!(!may_colour(false, None, None));
        assert!(!may_colour(true, Some("1".as_ref()), None));
        assert!(!may_colour(true, None, Some("dumb".as_ref())));
    }
}
