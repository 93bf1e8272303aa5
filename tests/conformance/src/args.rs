//! The command line.
use clap::{Parser, Subcommand};
use spiffe_conformance::endpoint::Endpoint;
use spiffe_conformance::options::{Denied, Options, Rotation, SdsNames, Times};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Checks a SPIFFE Workload API endpoint against the standards, one sentence a line.
#[derive(Debug, Parser)]
#[command(name = "conformance", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints every check with its source.
    List,
    /// Serves the model, conforming or broken, to try the suite on.
    Model(Model),
    /// Asks each method once and prints what it told, for --deny-uid.
    #[command(hide = true)]
    AskDenied(AskDenied),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The endpoint: unix:///path/to/socket or tcp://IP:port.
    #[arg(long, env = "SPIFFE_ENDPOINT_SOCKET")]
    socket: Option<Endpoint>,
    /// Look at Envoy's SDS on the same socket too.
    #[arg(long)]
    sds: bool,
    /// The SDS name of the caller's certificate.
    #[arg(long, default_value = "default", value_name = "NAME")]
    sds_default: String,
    /// The SDS name of the roots of its trust domain.
    #[arg(long, default_value = "ROOTCA", value_name = "NAME")]
    sds_root: String,
    /// The SDS name of the roots of all trust domains; empty: there is none.
    #[arg(long, default_value = "ALL", value_name = "NAME")]
    sds_all: String,
    /// The audience of the JWT-SVIDs that are asked for.
    #[arg(long, default_value = "spiffe-conformance", value_name = "AUDIENCE")]
    jwt_audience: String,
    /// A file with a JWT-SVID of this server, for that audience, that has expired.
    #[arg(long, value_name = "FILE")]
    expired_jwt: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only these checks or groups, as in `--only x509 --only leaf.path`.
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) only: Vec<String>,
    /// A shell command that makes the server rotate its identities.
    #[arg(long, value_name = "COMMAND", conflicts_with = "await_rotation")]
    rotate_cmd: Option<String>,
    /// Wait for identities that rotate by themselves.
    #[arg(long)]
    await_rotation: bool,
    /// A uid that has no identity here, to be denied (needs root).
    #[arg(long, value_name = "UID", conflicts_with = "denied_socket")]
    deny_uid: Option<u32>,
    /// A socket at which this caller has no identity.
    #[arg(long, value_name = "ENDPOINT")]
    denied_socket: Option<Endpoint>,
    /// Run the suite as this uid (needs root).
    #[arg(long, value_name = "UID", conflicts_with = "deny_uid")]
    pub(crate) run_as: Option<u32>,
    /// Seconds to wait for an answer.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    patience: u64,
    /// Seconds to wait for an update after a rotation.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    rotation_patience: u64,
    /// Milliseconds to listen for answers that should not come.
    #[arg(long, default_value_t = 700, value_name = "MILLISECONDS")]
    quiet: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Model {
    /// Where to serve.
    #[arg(long)]
    pub(crate) socket: Endpoint,
    /// The check whose sentence the model breaks.
    #[arg(long = "break", value_name = "CHECK")]
    pub(crate) broken: Option<String>,
    /// Rotate every so many seconds; 0: never.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub(crate) rotate_every: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AskDenied {
    #[arg(long)]
    pub(crate) socket: Endpoint,
    #[arg(long)]
    pub(crate) jwt_audience: String,
}

impl Run {
    /// What the library wants to know.
    pub(crate) fn options(self) -> Result<Options, String> {
        let endpoint = self
            .socket
            .ok_or("which socket? --socket unix:///path, or SPIFFE_ENDPOINT_SOCKET")?;
        let expired_jwt = self
            .expired_jwt
            .map(|file| {
                std::fs::read_to_string(&file)
                    .map(|token| token.trim().to_owned())
                    .map_err(|why| format!("{}: {why}", file.display()))
            })
            .transpose()?;
        Ok(Options {
            endpoint,
            sds: self.sds.then_some(SdsNames {
                default: self.sds_default,
                root: self.sds_root,
                all: self.sds_all,
            }),
            audience: self.jwt_audience,
            expired_jwt,
            denied: match (self.deny_uid, self.denied_socket) {
                (Some(uid), _) => Denied::As(uid),
                (None, Some(endpoint)) => Denied::At(endpoint),
                (None, None) => Denied::NoWay,
            },
            rotation: match (self.rotate_cmd, self.await_rotation) {
                (Some(command), _) => Rotation::Command(command),
                (None, true) => Rotation::Await,
                (None, false) => Rotation::NoWay,
            },
            times: Times {
                patience: Duration::from_secs(self.patience),
                quiet: Duration::from_millis(self.quiet),
                rotation: Duration::from_secs(self.rotation_patience),
                ..Times::default()
            },
        })
    }
}

/// The arguments without `--run-as UID` or `--run-as=UID`.
pub(crate) fn without_run_as(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut kept = vec![];
    let mut skip = false;
    for argument in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        match argument.to_str() {
            Some("--run-as") => skip = true,
            Some(text) if text.starts_with("--run-as=") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn run_as_is_said_once() {
        let words = |all: &[&str]| all.iter().map(OsString::from).collect::<Vec<_>>();
        let all = words(&["--sds", "--run-as", "7", "--json", "--run-as=8"]);
        assert_eq!(without_run_as(all), words(&["--sds", "--json"]));
    }
}
