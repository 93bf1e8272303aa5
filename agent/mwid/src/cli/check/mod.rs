//! `mwid check`.
use super::{Exit, Failure, args};

pub(super) fn run(_args: &args::CheckArgs) -> Result<(), Failure> {
    Err(Failure::new(Exit::Software, "`mwid check` is not there yet"))
}
