//! `mwid run`.
use super::{Exit, Failure, args};

pub(super) fn run(_args: args::RunArgs) -> Result<(), Failure> {
    Err(Failure::new(Exit::Software, "`mwid run` is not there yet"))
}
