//! What a server loop counts.
use super::pace::Phase;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// The counters of all server loops, by name of the listener (from the configuration, so bounded).
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    open: Family<Labels, Gauge>,
    accepted: Family<Labels, Counter>,
    full: Family<Labels, Counter>,
    over_share: Family<Labels, Counter>,
    accept_errors: Family<Labels, Counter>,
    timeouts: Family<TimeoutLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeoutLabels {
    listener: &'static str,
    during: &'static str,
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let http = registry.sub_registry_with_prefix("http");
        http.register("connections", "Open connections", self.open.clone());
        http.register(
            "connections_accepted",
            "Accepted connections",
            self.accepted.clone(),
        );
        http.register("full", "Times that all connections were taken", self.full.clone());
        http.register(
            "over_share",
            "Connections closed at once because their user had its share of the places",
            self.over_share.clone(),
        );
        http.register("accept_errors", "Failed accepts", self.accept_errors.clone());
        http.register(
            "timeouts",
            "Connections closed because their time was over",
            self.timeouts.clone(),
        );
    }

    /// The counters of one server loop.
    pub(crate) fn server(&self, name: &'static str) -> Server {
        let labels = Labels { listener: name };
        Server(Arc::new(Counters {
            name,
            open: self.open.get_or_create(&labels).clone(),
            accepted: self.accepted.get_or_create(&labels).clone(),
            full: self.full.get_or_create(&labels).clone(),
            over_share: self.over_share.get_or_create(&labels).clone(),
            accept_errors: self.accept_errors.get_or_create(&labels).clone(),
            timeouts: ["header", "request", "idle"].map(|during| {
                let labels = TimeoutLabels {
                    listener: name,
                    during,
                };
                self.timeouts.get_or_create(&labels).clone()
            }),
        }))
    }
}

/// One server loop's counters, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct Server(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    name: &'static str,
    open: Gauge,
    accepted: Counter,
    full: Counter,
    over_share: Counter,
    accept_errors: Counter,
    timeouts: [Counter; 3],
}

impl Server {
    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    /// Counts a connection as open until the guard is dropped.
    pub(crate) fn opened(&self) -> Open {
        self.0.accepted.inc();
        self.0.open.inc();
        Open(self.clone())
    }

    /// Counts; true when it is worth a warning (the 1st, 2nd, 4th, 8th … time, so that a flood cannot fill the log).
    pub(super) fn filled_up(&self) -> bool {
        (self.0.full.inc() + 1).is_power_of_two()
    }

    pub(super) fn over_share(&self) {
        self.0.over_share.inc();
    }

    pub(super) fn accept_failed(&self) {
        self.0.accept_errors.inc();
    }

    pub(crate) fn timed_out(&self, phase: Phase) {
        let [header, request, idle] = &self.0.timeouts;
        match phase {
            Phase::Header => header.inc(),
            Phase::Serving => request.inc(),
            Phase::Idle => idle.inc(),
        };
    }
}

#[cfg(test)]
impl Server {
    pub(super) fn accept_failures(&self) -> u64 {
        self.0.accept_errors.get()
    }

    pub(crate) fn open(&self) -> i64 {
        self.0.open.get()
    }

    pub(super) fn refused(&self) -> u64 {
        self.0.over_share.get()
    }

    pub(super) fn fills(&self) -> u64 {
        self.0.full.get()
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Server);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.dec();
    }
}
