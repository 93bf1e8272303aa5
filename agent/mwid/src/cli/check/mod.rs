//! `mwid check`: the configuration in, findings out, on all that it names. Only looks: changes nothing, asks no daemon, and
//! nobody on the network but the metadata server, when the identity is to come from it.
//!
//! Exit code 1 when there is an error among the findings. Each subject is a file; what it finds is true for the user who runs it.

mod clock;
mod finding;
mod identity;
mod key_file;
mod listen;
mod looker;
mod names;
mod publish;
mod reactions;
mod runtime_dir;
mod second_daemon;
mod server;
mod settings;
mod source;

use super::{Exit, Failure, args, output};
use crate::app;
use crate::config::{self, Settings};
use crate::metadata::Server;
use finding::{Finding, Severity, counted, json, words};
use looker::Looker;
use std::path::Path;
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
    let findings = match load(args.config.as_deref()) {
        Ok(settings) => probe(&settings, now, &Looker::me(), app::metadata_server()),
        Err(error) => settings::refused(&error),
    };
    let text = if args.json {
        json(&findings)
    } else {
        words(&findings, output::colour())
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

/// As the daemon would: a named file must be there, the system's may be absent.
fn load(config: Option<&Path>) -> Result<Settings, config::ConfigError> {
    match config {
        Some(file) => config::load(file),
        None if Path::new(config::SYSTEM_FILE).exists() => config::load(Path::new(config::SYSTEM_FILE)),
        None => Ok(Settings::default()),
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
