//! `mwid identity`.
use super::{Exit, Failure, args};

pub(super) fn run(_args: args::IdentityArgs) -> Result<(), Failure> {
    Err(Failure::new(Exit::Software, "`mwid identity` is not there yet"))
}
