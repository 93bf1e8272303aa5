//! What the gRPC servers count.
use super::status::Code;
use crate::http;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// The counters of all gRPC servers, by name of the listener (from the configuration, so bounded).
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    streams: Family<Labels, Gauge>,
    calls: Family<CallLabels, Counter>,
    over_share: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    listener: &'static str,
    code: &'static str,
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let grpc = registry.sub_registry_with_prefix("grpc");
        grpc.register("streams", "Calls that have not ended", self.streams.clone());
        grpc.register("calls", "Calls that ended, by status code", self.calls.clone());
        grpc.register(
            "over_share",
            "Calls refused because their user had its share of the streams",
            self.over_share.clone(),
        );
    }

    /// The counters of one server; its connections are counted with those of all servers.
    pub(crate) fn server(&self, name: &'static str, http: &http::Metrics) -> Server {
        let labels = Labels { listener: name };
        let calls = Code::all().map(|code| {
            let code = code.name().unwrap_or_default();
            let labels = CallLabels { listener: name, code };
            self.calls.get_or_create(&labels).clone()
        });
        Server {
            http: http.server(name),
            counters: Arc::new(Counters {
                streams: self.streams.get_or_create(&labels).clone(),
                calls: calls.collect(),
                over_share: self.over_share.get_or_create(&labels).clone(),
            }),
        }
    }
}

/// One server's counters, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(super) http: http::Server,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    streams: Gauge,
    /// By number of the code.
    calls: Vec<Counter>,
    over_share: Counter,
}

impl Server {
    pub(super) fn began(&self) {
        self.counters.streams.inc();
    }

    pub(super) fn ended(&self) {
        self.counters.streams.dec();
    }

    pub(super) fn answered(&self, code: Code) {
        if let Some(counter) = self.counters.calls.get(usize::from(code.number())) {
            counter.inc();
        }
    }

    pub(super) fn over_share(&self) {
        self.counters.over_share.inc();
    }
}

#[cfg(test)]
impl Server {
    pub(super) fn streams(&self) -> i64 {
        self.counters.streams.get()
    }

    pub(super) fn calls(&self, code: Code) -> u64 {
        self.counters.calls[usize::from(code.number())].get()
    }
}
