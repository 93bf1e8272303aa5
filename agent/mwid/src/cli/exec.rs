//! `mwid exec -- CMD`: becomes the command, in the environment that `mwid env` prints. Never returns when it succeeds.
use super::{Exit, Failure, args, env};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(super) fn run(args: &args::ExecArgs) -> Result<(), Failure> {
    let variables = env::variables(&args.at)?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::new(
            Exit::Usage,
            "no command was given; write `mwid exec -- CMD`",
        ));
    };
    env::say_what_wins(&variables);
    let error = Command::new(program).args(rest).envs(variables).exec();
    let exit = if error.kind() == ErrorKind::NotFound {
        Exit::NotFound
    } else {
        Exit::CannotExecute
    };
    Err(Failure::new(exit, format!("cannot run {}", program.display())).because(error))
}
