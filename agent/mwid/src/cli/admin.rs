//! Questions to the running daemon. In: its admin socket and a path. Out: the answer, or a failure with the exit code that says
//! whose turn it is.
use super::{Exit, Failure};
use crate::http::client::{Answered, Ask, ClientError, ask};
use hyper::{Method, StatusCode};
use std::future::Future;
use std::path::Path;
use std::time::Duration;

/// Longer than the daemon lets a reload take.
const PATIENCE: Duration = Duration::from_secs(40);
/// A status is some kilobytes; bundles of many trust domains may be larger.
const LIMIT: usize = 16 << 20;

/// Runs one client command's talk.
pub(super) fn talk<T>(talk: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::System, "cannot start").because(error))?
        .block_on(talk)
}

/// Asks once. Whatever the daemon answers is an answer, but for a denial.
pub(super) async fn question(
    socket: &Path,
    method: Method,
    path: &str,
    accept: &'static str,
) -> Result<Answered, Failure> {
    match try_question(socket, method, path, accept, PATIENCE).await {
        Ok(answered) if answered.status == StatusCode::FORBIDDEN => {
            Err(Failure::new(Exit::Permission, text(&answered)))
        }
        Ok(answered) => Ok(answered),
        Err(error) => Err(no_answer(error)),
    }
}

/// Asks once, with the bare error.
pub(super) async fn try_question(
    socket: &Path,
    method: Method,
    path: &str,
    accept: &'static str,
    timeout: Duration,
) -> Result<Answered, ClientError> {
    ask(Ask {
        socket,
        method: &method,
        path,
        accept,
        headers: &[],
        timeout,
        limit: LIMIT,
    })
    .await
}

pub(super) fn read<T: serde::de::DeserializeOwned>(answered: &Answered) -> Result<T, Failure> {
    if answered.status != StatusCode::OK {
        let message = format!("the daemon answered {}: {}", answered.status, text(answered));
        return Err(Failure::new(Exit::Data, message));
    }
    serde_json::from_slice(&answered.body).map_err(|error| {
        let message = "the daemon's answer makes no sense here: is it of another version than this command?";
        Failure::new(Exit::Data, message).because(error)
    })
}

/// The answer's text, fit for a terminal.
pub(super) fn text(answered: &Answered) -> String {
    super::words::clean(String::from_utf8_lossy(&answered.body).trim_end())
}

pub(super) fn no_answer(error: ClientError) -> Failure {
    let exit = match &error {
        ClientError::NoSocket { .. } | ClientError::Refused { .. } => Exit::Unavailable,
        ClientError::Denied { .. } => Exit::Permission,
        ClientError::TimedOut { .. } => Exit::TryAgain,
        ClientError::Body { .. } => Exit::Data,
        ClientError::Connect { .. } | ClientError::Http { .. } => Exit::Io,
        ClientError::Path { .. } => Exit::Software,
    };
    Failure::new(exit, "the daemon cannot be asked").because(error)
}
