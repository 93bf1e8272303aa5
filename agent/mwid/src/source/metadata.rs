//! Source `metadata`: the metadata server's documents over HTTP.
//!
//! In: the server's address and how often to ask. Out: a report for each round of questions. Never writes, never decides whether a
//! candidate is good.
use super::poll::{self, Pace, Question};
use super::{Delivery, Origin, Report, SourceError};
use crate::metadata::{Client, MetadataError, certificates};
use std::net::SocketAddr;

pub(super) const KIND: &str = "metadata";

pub(super) fn start(server: SocketAddr, pace: Pace, origin: &Origin) {
    let question = Documents {
        client: Client::new(server),
        origin: origin.clone(),
    };
    poll::start(question, pace, origin);
}

struct Documents {
    client: Client,
    origin: Origin,
}

impl Question for Documents {
    async fn ask(&mut self) -> Report {
        let reading = certificates::read(&self.client).await;
        report(KIND, self.client.server(), reading, &self.origin)
    }
}

/// What a server said, by either of its doors.
pub(super) fn report(
    kind: &'static str,
    server: SocketAddr,
    reading: Result<certificates::Reading, MetadataError>,
    origin: &Origin,
) -> Report {
    match reading {
        Ok(reading) => Report::Delivery(Delivery {
            candidate: reading.candidate,
            kind,
            from: server.to_string(),
            warning: reading.trouble.map(|status| SourceError::ConfigStatus {
                from: server.to_string(),
                status,
            }),
            seen_at: origin.now(),
            verdict: None,
            minter: None,
        }),
        Err(error) => Report::Trouble(SourceError::Metadata(error)),
    }
}
