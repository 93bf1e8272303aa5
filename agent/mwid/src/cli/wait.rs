//! `mwid wait`.
use super::{Exit, Failure, args};

pub(super) fn run(_args: args::WaitArgs) -> Result<(), Failure> {
    Err(Failure::new(Exit::Software, "`mwid wait` is not there yet"))
}
