//! `POST /reload`: passes the wish on to the wiring and tells what came of it. Never reads a configuration itself.
use super::{Inputs, answers};
use crate::caller::Caller;
use crate::http::reply::{self, Reply};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

/// A wish for a reload, on its way to the wiring.
#[derive(Debug)]
pub(crate) struct ReloadRequest {
    /// Where to tell what came of it. Nobody may be listening any more.
    pub(crate) reply: oneshot::Sender<ReloadAnswer>,
}

/// What changed, one line each (none: nothing), or why nothing did.
pub(crate) type ReloadAnswer = Result<Vec<String>, ReloadRefusal>;

/// Why the old configuration stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReloadRefusal {
    /// The new configuration is wrong; the whole text of the error, with all causes.
    #[error("{0}")]
    Invalid(String),
    /// The new configuration is right but cannot be put in force (a port in use); the whole text.
    #[error("{0}")]
    Failed(String),
    #[error("a reload is running already: wait for it and try again")]
    Busy,
}

/// How long the wiring may take. Under [`crate::http::Limits::request`], so that the caller hears of it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn reload(inputs: &Inputs, caller: Caller, headers: &HeaderMap) -> Reply {
    tracing::info!(
        pid = caller.pid,
        uid = caller.uid,
        gid = caller.gid,
        "reload asked for at the admin socket"
    );
    let (reply, answer) = oneshot::channel();
    let json = answers::wants_json(headers);
    match inputs.reload.try_send(ReloadRequest { reply }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return refusal(&ReloadRefusal::Busy, json),
        Err(TrySendError::Closed(_)) => {
            return tell(StatusCode::SERVICE_UNAVAILABLE, "mwid is stopping", json);
        }
    }
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(changes))) => changed(&changes, json),
        Ok(Ok(Err(why))) => refusal(&why, json),
        Ok(Err(_dropped)) => tell(StatusCode::SERVICE_UNAVAILABLE, "mwid is stopping", json),
        Err(_elapsed) => {
            let text = "the reload still runs; `mwid status` and the log will say what came of it";
            tell(StatusCode::GATEWAY_TIMEOUT, text, json)
        }
    }
}

fn changed(changes: &[String], json: bool) -> Reply {
    if json {
        return reply::json(StatusCode::OK, &serde_json::json!({ "changed": changes }));
    }
    if changes.is_empty() {
        return reply::text(StatusCode::OK, "nothing changed\n");
    }
    let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
    reply::text(StatusCode::OK, lines)
}

fn refusal(why: &ReloadRefusal, json: bool) -> Reply {
    let status = match why {
        ReloadRefusal::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ReloadRefusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ReloadRefusal::Busy => StatusCode::CONFLICT,
    };
    tell(status, &why.to_string(), json)
}

fn tell(status: StatusCode, text: &str, json: bool) -> Reply {
    if json {
        reply::json(status, &serde_json::json!({ "error": text }))
    } else {
        reply::text(status, format!("{text}\n"))
    }
}
