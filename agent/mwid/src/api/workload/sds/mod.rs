//! Envoy's secret discovery service, SDS v3: the identity as secrets that Envoy asks for by name.
//!
//! In: calls of `envoy.service.secret.v3.SecretDiscoveryService` at the socket of the Workload API, whose subscribers, callers and refusals these
//! are; the names in force. Out: for each name its secret, and each rotation of it. Follows Envoy's xDS protocol, both kinds of stream and the
//! single question. Never gives a caller what its rules do not grant, never merges the bundles of two trust domains, never encodes a
//! secret for one stream alone, never answers a refusal (NACK) with the same again.
mod feed;
mod fetch;
mod kind;
mod metrics;
mod names;
mod record;
mod secrets;
mod session;
mod shelf;
#[cfg(test)]
mod testing;
mod wire;

pub(crate) use metrics::Metrics;

use super::connection::Connection;
use super::guest::Guest;
use super::hub::Now;
use super::refusal;
use crate::config::SdsSettings;
use crate::grpc::{Answer, Call, Status};
use crate::health::status::SdsStatus;
use crate::proto::sds_methods as paths;
use feed::Feed;
use record::Record;
use secrets::{Form, Secrets};
use session::delta::Delta;
use session::sotw::Sotw;
use shelf::Shelf;
use std::sync::Arc;
use tokio::sync::watch;

/// Where all of its paths begin.
const SERVICE: &str = "/envoy.service.secret.v3.SecretDiscoveryService/";

/// What all connections share.
pub(super) struct Sds {
    names: watch::Sender<Arc<SdsSettings>>,
    shelf: Shelf,
    record: Record,
    metrics: Metrics,
}

impl Sds {
    pub(super) fn new(names: SdsSettings, metrics: Metrics) -> Self {
        Self {
            names: watch::Sender::new(Arc::new(names)),
            shelf: Shelf::default(),
            record: Record::default(),
            metrics,
        }
    }

    /// Other names, or another form, from now on: streams are told what differs for them.
    pub(super) fn rename(&self, names: SdsSettings) {
        self.names.send_if_modified(|in_force| {
            let differ = **in_force != names;
            if differ {
                *in_force = Arc::new(names);
            }
            differ
        });
    }

    /// Whether a path is of this service.
    pub(super) fn is_at(path: &str) -> bool {
        path.starts_with(SERVICE)
    }

    /// Whether there is a method at this path.
    pub(super) fn knows(path: &str) -> bool {
        [paths::STREAM_SECRETS, paths::DELTA_SECRETS, paths::FETCH_SECRETS].contains(&path)
    }

    pub(super) async fn call<G: Guest>(connection: Arc<Connection<G>>, call: Call) -> Answer {
        let answer = match call.path() {
            paths::STREAM_SECRETS => Feed::<Sotw, G>::begin(connection, call),
            paths::DELTA_SECRETS => Feed::<Delta, G>::begin(connection, call),
            paths::FETCH_SECRETS => fetch::one(&connection, call).await,
            _ => Err(refusal::unimplemented("mwid has no such method here")),
        };
        answer.unwrap_or_else(Answer::Status)
    }

    pub(super) fn status(&self) -> SdsStatus {
        SdsStatus {
            streams: self.metrics.streams(),
            nacks: self.metrics.nacks(),
        }
    }

    /// The secrets of what holds now, for a node that wants plain roots or not; none while there is no identity. The error is a settled no.
    fn secrets(
        &self,
        now: &Now,
        names: &Arc<SdsSettings>,
        plain: bool,
    ) -> Result<Option<Arc<Secrets>>, Status> {
        let form = if plain || !names.spiffe_validator {
            Form::Plain
        } else {
            Form::Spiffe
        };
        match now {
            Now::Alive(edition) => Ok(Some(self.shelf.take(&edition.identity, names, form))),
            // An Envoy that waits has its secrets as soon as there are some.
            Now::Waiting | Now::Expired(_) => Ok(None),
            Now::Unwanted => refusal::no_identity(now).map_or(Ok(None), Err),
        }
    }
}

#[cfg(test)]
impl Sds {
    /// What a client gets that asks once for these names.
    pub(super) fn once<G: Guest>(connection: &Arc<Connection<G>>, names: &[&str]) -> crate::grpc::Dated {
        let request = crate::proto::envoy::service::discovery::v3::DiscoveryRequest {
            resource_names: names.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        };
        fetch::make(connection, &request).unwrap()
    }
}
