//! One reaction, checked as far as it can be before its time.
//!
//! In: a settled reaction. Out: the thing done, or why not. Never retries by itself.

use super::{Trigger, run, signal};
use crate::config::{Reaction, SignalTarget};
use crate::units::control::{UnitControl, UnitError};
use nix::sys::signal::Signal;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

/// A reaction that can be carried out.
#[derive(Clone, Debug)]
pub(in crate::publish) enum Action {
    Reload { unit: String },
    SignalUnit { signal: Signal, unit: String },
    SignalPidFile { signal: Signal, file: PathBuf },
    Run { command: Vec<String>, timeout: Duration },
}

/// Why a reaction did not work, or never can.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReactionError {
    #[error("there is no signal `{found}`; name one as HUP or SIGHUP")]
    UnknownSignal { found: String },
    #[error("`run` is empty; name a program by its whole path, then its arguments")]
    EmptyCommand,
    #[error("the program `{found}` is not a whole path; write it as /usr/local/bin/{found}")]
    RelativeCommand { found: String },
    #[error(transparent)]
    Unit(#[from] UnitError),
    #[error("cannot read the pid file {path}; is the service running, and does it write this file?", path = .path.display())]
    PidFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the pid file {path} does not hold one process number (from 2 up) in its only line", path = .path.display())]
    BadPid { path: PathBuf },
    #[error(
        "the pid file {path} belongs to user {owner}, who is neither root nor mwid nor the user {process_owner} of process {pid}; \
         whoever writes it would choose whom mwid signals",
        path = .path.display()
    )]
    PidFileOwner {
        path: PathBuf,
        owner: u32,
        pid: i32,
        process_owner: u32,
    },
    #[error("process {pid} of the pid file {path} cannot be signalled{fix}", path = .path.display(), fix = signal_fix(.source))]
    Signal {
        path: PathBuf,
        pid: i32,
        #[source]
        source: io::Error,
    },
    #[error("cannot start {program}", program = .program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot wait for {program}", program = .program.display())]
    Wait {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{program} did not end within {limit:?} and was killed with its process group; its output is in mwid's log", program = .program.display())]
    Timeout { program: PathBuf, limit: Duration },
    #[error("{program} ended with {status}; its output is in mwid's log", program = .program.display())]
    Failed {
        program: PathBuf,
        status: std::process::ExitStatus,
    },
}

fn signal_fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (mwid may signal its own user's processes only: use `signal: …, of: UNIT.service` with a polkit rule)"
        }
        io::ErrorKind::NotFound => " (no such process: a stale pid file?)",
        _ => "",
    }
}

impl Action {
    pub(in crate::publish) fn new(reaction: Reaction) -> Result<Self, ReactionError> {
        Ok(match reaction {
            Reaction::Reload { unit } => Self::Reload { unit },
            Reaction::Signal { signal, of } => {
                let signal = parse_signal(&signal)?;
                match of {
                    SignalTarget::Unit(unit) => Self::SignalUnit { signal, unit },
                    SignalTarget::PidFile(file) => Self::SignalPidFile { signal, file },
                }
            }
            Reaction::Run { command, timeout } => {
                match command.first() {
                    None => return Err(ReactionError::EmptyCommand),
                    Some(program) if !Path::new(program).is_absolute() => {
                        return Err(ReactionError::RelativeCommand {
                            found: program.clone(),
                        });
                    }
                    Some(_) => {}
                }
                Self::Run { command, timeout }
            }
        })
    }

    pub(super) async fn carry_out(
        &self,
        directory: &Path,
        trigger: &Trigger,
        units: &dyn UnitControl,
    ) -> Result<(), ReactionError> {
        match self {
            Self::Reload { unit } => match units.reload(unit).await {
                // It reads the new files when it starts: nothing is left to do.
                Err(UnitError::NotRunning { .. }) => {
                    tracing::info!(unit, "not running, so there is nothing to reload");
                    Ok(())
                }
                other => Ok(other?),
            },
            Self::SignalUnit { signal, unit } => match units.signal(unit, *signal as i32).await {
                Err(UnitError::NotRunning { .. }) => {
                    tracing::info!(unit, "not running, so there is nothing to signal");
                    Ok(())
                }
                other => Ok(other?),
            },
            Self::SignalPidFile { signal, file } => signal::send(file, *signal),
            Self::Run { command, timeout } => run::run(command, *timeout, directory, trigger).await,
        }
    }
}

fn parse_signal(name: &str) -> Result<Signal, ReactionError> {
    let unknown = || ReactionError::UnknownSignal {
        found: name.to_owned(),
    };
    let full = if name.starts_with("SIG") {
        name.to_owned()
    } else {
        format!("SIG{name}")
    };
    Signal::from_str(&full).map_err(|_| unknown())
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reload { unit } => write!(f, "reload {unit}"),
            Self::SignalUnit { signal, unit } => write!(f, "signal {signal} of {unit}"),
            Self::SignalPidFile { signal, file } => write!(f, "signal {signal} of {}", file.display()),
            // The program alone: arguments may hold what does not belong in a status or a metric.
            Self::Run { command, .. } => {
                write!(f, "run {}", command.first().map_or("", String::as_str))
            }
        }
    }
}
