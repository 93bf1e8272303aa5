//! `mwid reload`.
use super::{Exit, Failure, args};

pub(super) fn run(_args: args::ReloadArgs) -> Result<(), Failure> {
    Err(Failure::new(Exit::Software, "`mwid reload` is not there yet"))
}
