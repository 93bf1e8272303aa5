//! `mwid check`: the configuration in, findings out, on all that it names. Only looks: changes nothing, asks no daemon, and
//! nobody on the network but the metadata server, when the identity or the tokens are to come from it, or the machine is a VM of Google's.
//! An identity that another agent is to give is asked for there.
//!
//! Exit code 1 when there is an error among the findings. Each subject is a file; what it finds is true for the user who runs it.

mod access;
mod agent;
mod clock;
mod credentials;
mod finding;
mod identity;
mod key_file;
mod listen;
mod looker;
mod metadata_open;
mod names;
mod publish;
mod reactions;
mod route_doors;
mod routes;
mod rules;
mod runtime_dir;
mod second_daemon;
mod server;
mod settings;
mod source;
mod tokens;

use super::{Exit, Failure, args, output};
use crate::app;
use crate::config::{self, Settings};
use crate::metadata::Server;
use finding::{Finding, Severity, counted, json, words};
use looker::Looker;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What the probes look at.
struct Scene<'a> {
    settings: &'a Settings,
    now: SystemTime,
    looker: &'a Looker,
    /// The platform's metadata server.
    server: Server,
    /// Whether a daemon of this runtime directory runs, so that what it holds is no trouble.
    daemon_runs: bool,
}

pub(super) fn run(args: &args::CheckArgs) -> Result<(), Failure> {
    #[expect(clippy::disallowed_methods, reason = "the clock of this command is made here")]
    let now = SystemTime::now();
    let judged = Judged::find(args.config.as_deref(), std::env::var_os("MWID_RUNTIME_DIR"));
    let findings = match judged.load() {
        Ok(settings) => {
            let server = app::metadata_server(&settings.metadata);
            probe(&settings, now, &Looker::me(), server)
        }
        Err(error) => settings::refused(&error),
    };
    let text = if args.json {
        json(&judged.to_string(), &findings)
    } else {
        words(&judged.to_string(), &findings, output::colour())
    };
    output::data(&text)?;
    match findings.iter().filter(|f| f.severity == Severity::Error).count() {
        0 => Ok(()),
        errors => Err(Failure::new(
            Exit::Findings,
            format!("check found {}", counted(errors, "error")),
        )),
    }
}

/// Which configuration is judged: of the daemon that the other commands ask, too.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    File(PathBuf),
    /// Of the daemon in this runtime directory, whose file nobody named.
    RuntimeDir(PathBuf),
    /// There is no file.
    Defaults,
}

impl Judged {
    fn find(config: Option<&Path>, runtime_dir: Option<OsString>) -> Self {
        match (config, runtime_dir.filter(|dir| !dir.is_empty())) {
            (Some(file), _) => Self::File(file.to_owned()),
            (None, Some(dir)) => Self::RuntimeDir(dir.into()),
            (None, None) if Path::new(config::SYSTEM_FILE).exists() => Self::File(config::SYSTEM_FILE.into()),
            (None, None) => Self::Defaults,
        }
    }

    fn load(&self) -> Result<Settings, config::ConfigError> {
        match self {
            Self::File(file) => config::load(file),
            Self::RuntimeDir(dir) => Ok(Settings::in_runtime_dir(dir)),
            Self::Defaults => Ok(Settings::default()),
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::RuntimeDir(dir) => write!(
                f,
                "the defaults in {} (MWID_RUNTIME_DIR; to judge a file, name it with --config)",
                dir.display()
            ),
            Self::Defaults => write!(f, "the defaults ({} is not there)", config::SYSTEM_FILE),
        }
    }
}

/// Everything, the worst first.
fn probe(settings: &Settings, now: SystemTime, looker: &Looker, server: Server) -> Vec<Finding> {
    let daemon = second_daemon::look(&settings.runtime_dir);
    let scene = Scene {
        settings,
        now,
        looker,
        server,
        daemon_runs: daemon.runs,
    };
    let mut findings = daemon.findings;
    for subject in [
        settings::probe,
        looker::probe,
        clock::probe,
        source::probe,
        tokens::probe,
        access::probe,
        route_doors::probe,
        metadata_open::probe,
        runtime_dir::probe,
        publish::probe,
        names::probe,
        reactions::probe,
        listen::probe,
    ] {
        findings.extend(subject(&scene));
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

#[cfg(test)]
mod tests;
