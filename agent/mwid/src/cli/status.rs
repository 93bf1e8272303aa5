//! `mwid status`.
use super::{Exit, Failure, args};

pub(super) fn run(_args: args::StatusArgs) -> Result<(), Failure> {
    Err(Failure::new(Exit::Software, "`mwid status` is not there yet"))
}
