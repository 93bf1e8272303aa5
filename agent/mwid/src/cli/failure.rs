//! How a command fails: in, what went wrong and why; out, one message and an exit code. Never prints by itself.
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Exit codes, after BSD's `sysexits.h`, so that scripts and systemd's `RestartPreventExitStatus=` can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// `check` found an error; nothing is wrong with the command itself.
    Findings = 1,
    /// `EX_USAGE`: the command line is wrong.
    Usage = 64,
    /// `EX_DATAERR`: the daemon answered with something that makes no sense.
    Data = 65,
    /// `EX_UNAVAILABLE`: no daemon there, or it cannot do that.
    Unavailable = 69,
    /// `EX_SOFTWARE`: our own fault.
    Software = 70,
    /// `EX_OSERR`: the system refused something ordinary.
    System = 71,
    /// `EX_IOERR`: reading or writing failed.
    Io = 74,
    /// `EX_TEMPFAIL`: not now; trying again may help.
    TryAgain = 75,
    /// `EX_NOPERM`: not permitted to this user.
    Permission = 77,
    /// `EX_CONFIG`: the configuration is wrong.
    Config = 78,
    /// A command that `exec` cannot start (as shells say it).
    CannotExecute = 126,
    /// A command that `exec` cannot find (as shells say it).
    NotFound = 127,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failed command. `cli::main` prints it once with all its causes.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// `message` says what failed and what to do; the cause, if any, is added with [`Failure::because`].
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            cause: None,
        }
    }

    /// Adds why. The message must not repeat it.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_cause_once() {
        let failure = Failure::new(Exit::Unavailable, "no daemon answers at /x").because(fmt::Error);
        let cause = fmt::Error.to_string();
        assert_eq!(
            crate::report::Causes(&failure).to_string(),
            format!("no daemon answers at /x: {cause}")
        );
        assert_eq!(failure.exit() as u8, 69);
    }
}
