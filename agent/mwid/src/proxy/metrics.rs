//! What the proxy counts, by route and reason. In: what happens. Out: metrics. Labels are names of the configuration and words of our own, so there
//! are never more of them than a person wrote.
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters of all routes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    open: Family<Labels, Gauge>,
    accepted: Family<Labels, Counter>,
    handshakes: Family<ReasonLabels, Counter>,
    passed_over: Family<ReasonLabels, Counter>,
    ended: Family<ReasonLabels, Counter>,
    would_refuse: Family<ReasonLabels, Counter>,
    bytes: Family<BytesLabels, Counter>,
    accept_errors: Family<Labels, Counter>,
    not_resumed: Family<Labels, Counter>,
    full: Family<FullLabels, Counter>,
    requests: Family<ClassLabels, Counter>,
    no_answers: Family<ReasonLabels, Counter>,
    unfit: Family<ReasonLabels, Counter>,
    target_up: Family<TargetLabels, Gauge>,
    stale_addresses: Family<TargetLabels, Counter>,
}

/// One target of one route, as the file has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TargetLabels {
    pub(super) route: Arc<str>,
    pub(super) target: Arc<str>,
}

impl TargetLabels {
    pub(super) fn new(route: &str, target: &str) -> Self {
        Self {
            route: route.into(),
            target: target.into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    route: Arc<str>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BytesLabels {
    route: Arc<str>,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FullLabels {
    route: Arc<str>,
    of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    route: Arc<str>,
    class: &'static str,
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let proxy = registry.sub_registry_with_prefix("proxy");
        proxy.register("connections", "Open connections", self.open.clone());
        proxy.register(
            "connections_accepted",
            "Accepted connections",
            self.accepted.clone(),
        );
        proxy.register(
            "handshakes",
            "Connections that were made (reason ok) or refused, by reason",
            self.handshakes.clone(),
        );
        proxy.register(
            "targets_passed_over",
            "Handshakes with a target that failed where the connection went on to the next one, by reason",
            self.passed_over.clone(),
        );
        proxy.register(
            "connections_ended",
            "Connections that were made and have ended, by reason",
            self.ended.clone(),
        );
        proxy.register(
            "dry_run_refusals",
            "Peers that were let in by dry_run alone, by reason",
            self.would_refuse.clone(),
        );
        proxy.register(
            "bytes",
            "Plain bytes, received from peers and sent to them",
            self.bytes.clone(),
        );
        self.register_http(proxy);
        proxy.register("accept_errors", "Failed accepts", self.accept_errors.clone());
        proxy.register(
            "resumptions_refused",
            "Clients that asked to resume a session and got a full handshake instead",
            self.not_resumed.clone(),
        );
        proxy.register(
            "full",
            "Times that all places for connections or handshakes were taken",
            self.full.clone(),
        );
        proxy.register(
            "target_up",
            "1: connections go to this target; 0: it is set aside",
            self.target_up.clone(),
        );
        proxy.register(
            "stale_addresses",
            "Dials by the addresses of an earlier look-up, for want of an answer",
            self.stale_addresses.clone(),
        );
    }

    fn register_http(&self, proxy: &mut Registry) {
        proxy.register(
            "http_requests",
            "Requests that were answered, by class of the answer's status; 5xx has our own of no_answers too",
            self.requests.clone(),
        );
        proxy.register(
            "http_no_answers",
            "Requests without an answer from the application, by reason",
            self.no_answers.clone(),
        );
        proxy.register(
            "http_refusals",
            "Requests that we refused, by reason",
            self.unfit.clone(),
        );
    }

    pub(super) fn target_up(&self, labels: &TargetLabels, up: bool) {
        self.target_up.get_or_create(labels).set(i64::from(up));
    }

    /// It is no target any more.
    pub(super) fn no_target(&self, labels: &TargetLabels) {
        self.target_up.remove(labels);
        self.stale_addresses.remove(labels);
    }

    pub(super) fn stale_addresses(&self, labels: &TargetLabels) {
        self.stale_addresses.get_or_create(labels).inc();
    }

    /// The counters of one route.
    pub(super) fn route(&self, name: &str) -> Counters {
        let route: Arc<str> = name.into();
        let labels = Labels {
            route: Arc::clone(&route),
        };
        let bytes = |direction| {
            let labels = BytesLabels {
                route: Arc::clone(&route),
                direction,
            };
            self.bytes.get_or_create(&labels).clone()
        };
        let full = |of| {
            let labels = FullLabels {
                route: Arc::clone(&route),
                of,
            };
            self.full.get_or_create(&labels).clone()
        };
        Counters {
            open: self.open.get_or_create(&labels).clone(),
            accepted: self.accepted.get_or_create(&labels).clone(),
            received: bytes("received"),
            sent: bytes("sent"),
            accept_errors: self.accept_errors.get_or_create(&labels).clone(),
            not_resumed: self.not_resumed.get_or_create(&labels).clone(),
            full_connections: full("connections"),
            full_handshakes: full("handshakes"),
            made: self
                .handshakes
                .get_or_create(&ReasonLabels {
                    route: Arc::clone(&route),
                    reason: "ok",
                })
                .clone(),
            refusals: AtomicU64::new(0),
            answers: OnceLock::new(),
            no_answers: AtomicU64::new(0),
            unfit: AtomicU64::new(0),
            all: self.clone(),
            route,
        }
    }
}

/// One route's counters; those of the usual course are looked up once.
#[derive(Debug)]
pub(super) struct Counters {
    route: Arc<str>,
    all: Metrics,
    pub(super) open: Gauge,
    pub(super) accepted: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    pub(super) made: Counter,
    accept_errors: Counter,
    pub(super) not_resumed: Counter,
    full_connections: Counter,
    full_handshakes: Counter,
    refusals: AtomicU64,
    /// By class, from 1xx to 5xx. Only where requests are told apart.
    answers: OnceLock<[Counter; CLASSES.len()]>,
    no_answers: AtomicU64,
    unfit: AtomicU64,
}

impl Counters {
    fn labels(&self, reason: &'static str) -> ReasonLabels {
        ReasonLabels {
            route: Arc::clone(&self.route),
            reason,
        }
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        self.all.handshakes.get_or_create(&self.labels(reason)).inc();
    }

    pub(super) fn passed_over(&self, reason: &'static str) {
        self.all.passed_over.get_or_create(&self.labels(reason)).inc();
    }

    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self, reason: &'static str) {
        self.all.ended.get_or_create(&self.labels(reason)).inc();
    }

    pub(super) fn would_refuse(&self, reason: &'static str) {
        self.all.would_refuse.get_or_create(&self.labels(reason)).inc();
    }

    /// A request has the head of its answer.
    pub(super) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.classes()[class].inc();
    }

    fn classes(&self) -> &[Counter; CLASSES.len()] {
        self.answers.get_or_init(|| {
            CLASSES.map(|class| {
                let route = Arc::clone(&self.route);
                let labels = ClassLabels { route, class };
                self.all.requests.get_or_create(&labels).clone()
            })
        })
    }

    /// So many of each class, from 1xx to 5xx.
    pub(super) fn answers(&self) -> [u64; CLASSES.len()] {
        self.classes().each_ref().map(Counter::get)
    }

    pub(super) fn no_answers(&self) -> u64 {
        self.no_answers.load(Ordering::Relaxed)
    }

    pub(super) fn unfit_requests(&self) -> u64 {
        self.unfit.load(Ordering::Relaxed)
    }

    /// A request that we refused.
    pub(super) fn unfit(&self, reason: &'static str) {
        self.unfit.fetch_add(1, Ordering::Relaxed);
        self.all.unfit.get_or_create(&self.labels(reason)).inc();
    }

    pub(super) fn no_answer(&self, reason: &'static str) {
        self.no_answers.fetch_add(1, Ordering::Relaxed);
        self.all.no_answers.get_or_create(&self.labels(reason)).inc();
    }

    pub(super) fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// Counts; true when it is worth a warning (the 1st, 2nd, 4th, 8th … time, so that a flood cannot fill the log).
    pub(super) fn connections_full(&self) -> bool {
        (self.full_connections.inc() + 1).is_power_of_two()
    }

    /// As [`Counters::connections_full`].
    pub(super) fn handshakes_full(&self) -> bool {
        (self.full_handshakes.inc() + 1).is_power_of_two()
    }
}

/// Counts a connection as open until it is dropped.
pub(super) struct Open(Gauge);

impl Open {
    pub(super) fn new(counters: &Counters) -> Self {
        counters.accepted.inc();
        counters.open.inc();
        Self(counters.open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
