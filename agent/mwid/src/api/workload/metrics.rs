//! What the Workload API counts. In: each call, each stream, each message. Out: metrics and the numbers of the status. Never a label whose values
//! callers choose.
use super::method::Method;
use crate::grpc::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMethod {
    method: &'static str,
}

impl OfMethod {
    fn of(method: Method) -> Self {
        Self {
            method: method.name(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCode {
    method: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

/// What this room counts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    streams: Family<OfMethod, Gauge>,
    messages: Family<OfMethod, Counter>,
    refusals: Family<OfCode, Counter>,
    jwt_validations: Family<OfOutcome, Counter>,
    callers: Gauge,
    rotation_to_subscriber: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            streams: Family::default(),
            messages: Family::default(),
            refusals: Family::default(),
            jwt_validations: Family::default(),
            callers: Gauge::default(),
            rotation_to_subscriber: Histogram::new([
                0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
            ]),
        }
    }
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let workload = registry.sub_registry_with_prefix("workload");
        workload.register(
            "streams",
            "Open streams of the SPIFFE Workload API",
            self.streams.clone(),
        );
        workload.register(
            "messages",
            "Messages of the SPIFFE Workload API that were handed to their connection",
            self.messages.clone(),
        );
        workload.register(
            "refusals",
            "Calls that were refused and streams that were ended, by their status code",
            self.refusals.clone(),
        );
        workload.register(
            "jwt_validations",
            "JWT-SVIDs that were handed in to be validated: valid, or why not",
            self.jwt_validations.clone(),
        );
        workload.register("callers", "Connections with an open stream", self.callers.clone());
        workload.register_with_unit(
            "rotation_to_subscriber",
            "Time from the switch of the identity until a subscriber of the one before had its message handed to its connection",
            Unit::Seconds,
            self.rotation_to_subscriber.clone(),
        );
    }

    /// Counts that a call was refused, or a stream ended.
    pub(super) fn refused(&self, method: &'static str, status: &Status) {
        let code = status.code.to_string();
        self.refusals.get_or_create(&OfCode { method, code }).inc();
    }

    /// Counts what became of a JWT-SVID that was handed in.
    pub(super) fn validated(&self, outcome: &'static str) {
        self.jwt_validations.get_or_create(&OfOutcome { outcome }).inc();
    }

    pub(super) fn sent(&self, method: Method) {
        self.messages.get_or_create(&OfMethod::of(method)).inc();
    }

    pub(super) fn reached(&self, after: Duration) {
        self.rotation_to_subscriber.observe(after.as_secs_f64());
    }

    /// Of all methods.
    pub(super) fn streams(&self) -> u64 {
        let open = Method::ALL
            .into_iter()
            .map(|method| self.streams.get_or_create(&OfMethod::of(method)).get());
        u64::try_from(open.sum::<i64>()).unwrap_or(0)
    }

    pub(super) fn callers(&self) -> u64 {
        u64::try_from(self.callers.get()).unwrap_or(0)
    }

    /// One more stream of a connection that has so many.
    pub(super) fn opened(&self, method: Method, of_connection: &AtomicUsize) {
        self.streams.get_or_create(&OfMethod::of(method)).inc();
        if of_connection.fetch_add(1, Ordering::Relaxed) == 0 {
            self.callers.inc();
        }
    }

    pub(super) fn closed(&self, method: Method, of_connection: &AtomicUsize) {
        self.streams.get_or_create(&OfMethod::of(method)).dec();
        if of_connection.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.callers.dec();
        }
    }
}
