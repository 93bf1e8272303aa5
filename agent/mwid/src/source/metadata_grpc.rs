//! Source `metadata_grpc`: the metadata server's gRPC service, which Google's newer guest agents ask.
//!
//! In: the server's address and how often to ask. Out: a report for each round of questions. Never writes, never decides whether a
//! candidate is good.
use super::metadata::report;
use super::poll::{self, Pace, Question};
use super::{Origin, Report};
use crate::metadata::grpc;
use std::net::SocketAddr;

pub(super) const KIND: &str = "metadata_grpc";

pub(super) fn start(server: SocketAddr, pace: Pace, origin: &Origin) {
    let question = Service {
        server,
        origin: origin.clone(),
    };
    poll::start(question, pace, origin);
}

struct Service {
    server: SocketAddr,
    origin: Origin,
}

impl Question for Service {
    async fn ask(&mut self) -> Report {
        report(KIND, self.server, grpc::read(self.server).await, &self.origin)
    }
}
