//! `mwid demo`.
use super::{Exit, Failure, args};

pub(super) fn run(_args: args::DemoArgs) -> Result<(), Failure> {
    Err(Failure::new(Exit::Software, "`mwid demo` is not there yet"))
}
