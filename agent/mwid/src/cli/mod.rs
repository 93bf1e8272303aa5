//! The command line: arguments in, one command run, an exit code out. Only dispatches; each command is a file.
//!
//! Standard output is data, standard error is talk. Exit codes follow sysexits (see [`failure::Exit`]).

mod admin;
mod args;
mod check;
mod completions;
mod daemon;
mod demo;
mod env;
mod exec;
mod failure;
mod fetch;
mod identity;
mod man;
mod output;
mod reload;
mod run;
mod status;
mod token;
mod wait;
mod words;

pub(crate) use failure::{Exit, Failure};

use clap::Parser;
use std::process::ExitCode;

/// The door of the program.
pub(crate) fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    match dispatch(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::talk(&format!("mwid: {}", crate::report::Causes(&failure)));
            failure.exit().into()
        }
    }
}

fn dispatch(command: args::Command) -> Result<(), Failure> {
    use args::Command as C;
    match command {
        C::Run(args) => run::run(args),
        C::Demo(args) => demo::run(&args),
        C::Check(args) => check::run(&args),
        C::Status(args) => status::run(&args),
        C::Identity(args) => identity::run(&args),
        C::Token(args) => token::run(&args),
        C::Fetch(args) => fetch::run(&args),
        C::Validate(args) => fetch::validate(&args),
        C::Wait(args) => wait::run(&args),
        C::Reload(args) => reload::run(&args),
        C::Env(args) => env::run(&args),
        C::Exec(args) => exec::run(&args),
        C::Completions(args) => completions::run(&args),
        C::Man => man::run(),
    }
}

/// What clap has to say: help and version are data and no failure, all else is a wrong use (64, where clap says 2).
fn usage(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() {
        Exit::Usage.into()
    } else {
        ExitCode::SUCCESS
    };
    match error.print() {
        Ok(()) => code,
        Err(_closed) if !error.use_stderr() => code,
        Err(_closed) => Exit::Usage.into(),
    }
}
