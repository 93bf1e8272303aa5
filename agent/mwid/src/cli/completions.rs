//! `mwid completions`: a shell's name in, its completion script out.
use super::{Failure, args, output};
use clap::CommandFactory;

pub(super) fn run(args: &args::CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "mwid", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}
