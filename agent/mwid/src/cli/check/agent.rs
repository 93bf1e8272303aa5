//! What another agent has for this user at its Workload API, asked once.
use super::{Finding, Scene, identity};
use crate::config::Endpoint;
use crate::report::Causes;
use crate::workload_client::{self, Client, ClientError, Svid};
use std::time::Duration;

/// An agent has its SVIDs at hand.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) fn probe(scene: &Scene<'_>, socket: &Endpoint, hint: Option<&str>) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = match runtime {
        Ok(runtime) => runtime.block_on(ask(socket, hint)),
        Err(source) => Err(ClientError::Connect {
            endpoint: socket.clone(),
            source,
        }),
    };
    match asked {
        Ok(svid) => identity::judge(scene, &format!("the agent at {socket}"), &svid.candidate),
        Err(error) => vec![refused(&error)],
    }
}

async fn ask(socket: &Endpoint, hint: Option<&str>) -> Result<Svid, ClientError> {
    let svids = Client::open(socket.clone(), WITHIN).await?.x509().await?;
    workload_client::pick(svids, hint).map_err(|source| ClientError::Answer {
        endpoint: socket.clone(),
        source,
    })
}

fn refused(error: &ClientError) -> Finding {
    let (id, fix) = match error.reason() {
        "unreachable" | "timed_out" => (
            "agent_unreachable",
            "start the agent, or correct identity.source.workload_api.socket; the daemon's user must be let to its socket",
        ),
        "denied" => (
            "agent_denies",
            "register mwid at the agent: it attests the daemon's user, which need not be the one who runs this command",
        ),
        "unavailable" => (
            "agent_not_ready",
            "check again in a moment, and look at the agent's own health",
        ),
        "no_such_hint" => (
            "agent_has_no_such_hint",
            "correct identity.source.workload_api.hint, or the agent's entry",
        ),
        _ => ("agent_broken", "compare with: mwid fetch x509 --socket"),
    };
    Finding::error(id, Causes(error).to_string())
        .why("until it delivers, mwid is not ready and serves no identity")
        .fix(fix)
}
