//! The agent that is asked. In: the command line, the environment. Out: an open connection; or a failure whose exit code says whose turn it is.
use crate::cli::{Exit, Failure, admin, args, daemon};
use crate::config::Endpoint;
use crate::grpc::Code;
use crate::grpc::client::CallError;
use crate::workload_client::{Client, ClientError};
use std::ffi::OsString;

/// The variable of SPIFFE Workload Endpoint, section 4.
const VARIABLE: &str = "SPIFFE_ENDPOINT_SOCKET";

/// Opens a connection and asks.
pub(super) fn ask<T>(
    at: &args::WorkloadAt,
    asked: impl AsyncFnOnce(Client) -> Result<T, ClientError>,
) -> Result<T, Failure> {
    let endpoint = endpoint(at, std::env::var_os(VARIABLE))?;
    admin::talk(async {
        let asked = async { asked(Client::open(endpoint, at.timeout).await?).await };
        asked.await.map_err(failure)
    })
}

/// `--socket`, then the daemon that `--config` names, then the variable, then the daemon that other commands would ask.
fn endpoint(at: &args::WorkloadAt, variable: Option<OsString>) -> Result<Endpoint, Failure> {
    if let Some(socket) = &at.socket {
        return Endpoint::parse(socket)
            .map_err(|e| Failure::new(Exit::Usage, "--socket is wrong").because(e));
    }
    if at.at.config.is_none()
        && let Some(variable) = variable.filter(|text| !text.is_empty())
    {
        let text = variable.to_string_lossy();
        return Endpoint::parse(&text)
            .map_err(|e| Failure::new(Exit::Usage, format!("{VARIABLE} is wrong")).because(e));
    }
    let settings = daemon::settings(&at.at)?;
    let known = daemon::workload_endpoint(&settings).ok_or_else(|| {
        Failure::new(
            Exit::Unavailable,
            "this daemon serves no Workload API at a place that is known: set api.workload.socket, or say --socket",
        )
    })?;
    Endpoint::parse(&known).map_err(|e| Failure::new(Exit::Software, "the daemon's place is none").because(e))
}

fn failure(error: ClientError) -> Failure {
    let exit = match &error {
        ClientError::Connect { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Exit::Permission
        }
        ClientError::Connect { .. } => Exit::Unavailable,
        ClientError::TimedOut { .. } => Exit::TryAgain,
        ClientError::Answer { .. } => Exit::Data,
        ClientError::Call { source, .. } => match source {
            CallError::Refused(status) => of_code(status.code),
            CallError::NotGrpc { .. } => Exit::Unavailable,
            CallError::Http(_) => Exit::Io,
            CallError::Request { .. } => Exit::Software,
            CallError::NoStatus | CallError::NoMessage | CallError::MoreMessages | CallError::Message(_) => {
                Exit::Data
            }
        },
    };
    Failure::new(exit, "the Workload API was asked in vain").because(error)
}

fn of_code(code: Code) -> Exit {
    match code {
        Code::PERMISSION_DENIED | Code::UNAUTHENTICATED => Exit::Permission,
        Code::UNAVAILABLE | Code::DEADLINE_EXCEEDED | Code::RESOURCE_EXHAUSTED | Code::CANCELLED => {
            Exit::TryAgain
        }
        Code::INVALID_ARGUMENT => Exit::Data,
        _ => Exit::Unavailable,
    }
}

#[cfg(test)]
mod agent_tests {
    use super::*;
    use crate::cli::args::{At, WorkloadAt};
    use std::time::Duration;

    #[test]
    fn the_agent_is_the_one_that_was_said_the_clearest() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("a.yaml");
        std::fs::write(&config, "runtime_dir: /run/one\n").unwrap();
        let at = |socket: Option<&str>, config| WorkloadAt {
            at: At { config },
            socket: socket.map(str::to_owned),
            timeout: Duration::from_secs(1),
        };
        let variable = || Some(OsString::from("unix:///run/spire.sock"));
        let found = |at: &WorkloadAt, variable| endpoint(at, variable).unwrap().to_string();
        let said = at(Some("tcp://127.0.0.1:1"), Some(config.clone()));
        assert_eq!(found(&said, variable()), "tcp://127.0.0.1:1");
        let named = at(None, Some(config));
        assert_eq!(found(&named, variable()), "unix:///run/one/workload.sock");
        assert_eq!(found(&at(None, None), variable()), "unix:///run/spire.sock");
        let wrong = endpoint(&at(None, None), Some("http://x".into())).unwrap_err();
        assert_eq!(wrong.exit(), Exit::Usage);
        let wrong = endpoint(&at(Some("x"), None), None).unwrap_err();
        assert_eq!(wrong.exit(), Exit::Usage);
    }
}
