//! Source `workload_api`: the SPIFFE Workload API of another agent, such as SPIRE's, at which mwid is a workload.
//!
//! In: where the API is, and the hint of the SVID that is wanted. Out: a report for each update, as soon as the agent sends it. Never writes, never
//! decides whether a candidate is good. Follows SPIFFE Workload API, sections 4 and 5.
use super::{Delivery, Origin, Report, SourceError};
use crate::backoff::Backoff;
use crate::config::Endpoint;
use crate::workload_client::{self, AnswerError, Client, ClientError, Svid, Updates};
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) const KIND: &str = "workload_api";

/// For the connection and the first update; an agent has its SVIDs at hand, or says why not.
const FIRST_UPDATE: Duration = Duration::from_secs(30);
/// After the first trouble; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

pub(super) fn start(socket: &Endpoint, hint: Option<&str>, origin: &Origin) {
    let Origin { stop, tasks, .. } = origin.clone();
    let agent = Agent {
        socket: socket.clone(),
        hint: hint.map(str::to_owned),
        origin: origin.clone(),
    };
    tasks.spawn(async move {
        tokio::select! {
            () = agent.follow() => {}
            () = stop.asked() => {}
        }
    });
}

struct Agent {
    socket: Endpoint,
    hint: Option<String>,
    origin: Origin,
}

impl Agent {
    /// Returns when nobody hears the reports any more.
    async fn follow(self) {
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
        loop {
            let lost = match self.open().await {
                Ok(updates) => self.report_all(updates, &mut backoff).await,
                Err(error) => Some(error),
            };
            let Some(error) = lost else { return };
            if self.report(Err(error)).await.is_err() {
                return;
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn open(&self) -> Result<Updates, ClientError> {
        let client = Client::open(self.socket.clone(), FIRST_UPDATE).await?;
        client.follow_x509().await
    }

    /// Until the stream ends, and why; none: nobody hears.
    async fn report_all(&self, mut updates: Updates, backoff: &mut Backoff) -> Option<ClientError> {
        loop {
            let update = match updates.next().await {
                Ok(svids) => {
                    backoff.reset();
                    Ok(svids)
                }
                // The next update may be good.
                Err(error) if goes_on(&error) => Err(error),
                Err(error) => return Some(error),
            };
            self.report(update).await.ok()?;
        }
    }

    async fn report(
        &self,
        update: Result<Vec<Svid>, ClientError>,
    ) -> Result<(), mpsc::error::SendError<Report>> {
        let report = match update {
            Ok(svids) => self.choose(svids),
            Err(error) => Report::Trouble(SourceError::WorkloadApi(error)),
        };
        self.origin.out.send(report).await
    }

    fn choose(&self, svids: Vec<Svid>) -> Report {
        match workload_client::pick(svids, self.hint.as_deref()) {
            Ok(svid) => Report::Delivery(Delivery {
                candidate: svid.candidate,
                kind: KIND,
                from: self.socket.to_string(),
                warning: None,
                seen_at: self.origin.now(),
                verdict: None,
                minter: None,
            }),
            Err(error) => Report::Trouble(SourceError::WorkloadApi(ClientError::Answer {
                endpoint: self.socket.clone(),
                source: error,
            })),
        }
    }
}

/// Whether the stream can bring more after this.
fn goes_on(error: &ClientError) -> bool {
    match error {
        ClientError::Answer { source, .. } => !matches!(source, AnswerError::Nothing),
        ClientError::Connect { .. } | ClientError::TimedOut { .. } | ClientError::Call { .. } => false,
    }
}
