//! The question on its way. In: settings and a path. Out: what the daemon said, or a failure whose exit code says whose turn it is.
use super::Told;
use crate::cli::{Exit, Failure, admin, daemon};
use crate::config::{Address, Settings};
use crate::http::body::wiped;
use crate::http::client::{self, Ask};
use crate::metadata::{self, MetadataError, Question};
use hyper::Method;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Longer than a slow platform takes and the daemon waits for it.
const PATIENCE: Duration = Duration::from_secs(40);
const LIMIT: usize = 1 << 20;

/// Where the daemon's metadata-compatible API is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here the kernel tells the daemon most about who asks.
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Place {
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let metadata = &settings.metadata;
        let further = metadata.listen.iter().find_map(|address| match address {
            Address::Unix(path) => Some(path),
            _ => None,
        });
        metadata
            .socket
            .as_ref()
            .map(|socket| &socket.path)
            .or(further)
            .map(|path| Self::Unix(path.clone()))
            .or_else(|| daemon::metadata_address(settings).map(Self::Tcp))
            .ok_or_else(|| {
                Failure::new(
                    Exit::Unavailable,
                    "this daemon serves no tokens at a place that is known: set api.metadata.socket or api.metadata.listen",
                )
            })
    }
}

pub(super) async fn ask(place: &Place, path: &str) -> Result<Told, Failure> {
    match place {
        Place::Unix(socket) => {
            let answered = client::ask(Ask {
                socket,
                method: &Method::GET,
                path: &format!("/computeMetadata/v1/{path}"),
                accept: "*/*",
                headers: &[("metadata-flavor", "Google")],
                timeout: PATIENCE,
                limit: LIMIT,
            })
            .await
            .map_err(admin::no_answer)?;
            Ok(Told {
                status: answered.status,
                body: wiped(answered.body),
            })
        }
        Place::Tcp(address) => {
            let question = Question {
                within: PATIENCE,
                ..Question::get(path)
            };
            let answer = metadata::Client::new(*address)
                .ask(question)
                .await
                .map_err(|error| no_answer(*address, error))?;
            Ok(Told {
                status: answer.status,
                body: answer.body,
            })
        }
    }
}

/// In words about the daemon, not about the platform.
fn no_answer(address: SocketAddr, error: MetadataError) -> Failure {
    let at = format!("{address} (api.metadata.listen)");
    match error {
        MetadataError::Connect { source, .. } => Failure::new(
            Exit::Unavailable,
            format!("cannot connect to {at}: mwid does not run, or with another configuration"),
        )
        .because(source),
        MetadataError::NoConnection { .. } | MetadataError::TimedOut { .. } => {
            Failure::new(Exit::TryAgain, format!("no answer in time at {at}"))
        }
        MetadataError::NotMetadata { .. } => {
            Failure::new(Exit::Data, format!("somebody else answers at {at}, not mwid"))
        }
        other => Failure::new(Exit::Io, format!("the talk at {at} broke off")).because(other),
    }
}
