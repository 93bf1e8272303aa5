//! What the mirror counts. In: what was asked and answered. Out: metrics. Never a label whose values others choose.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the mirror does, in numbers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Metrics {
    requests: Family<[(&'static str, &'static str); 1], Counter>,
    pub(super) hits: Counter,
    pub(super) stale: Counter,
    pub(super) waiting: Gauge,
    pub(super) polls: Gauge,
}

impl Metrics {
    /// Registers everything that is counted here.
    pub(in super::super) fn register(&self, registry: &mut Registry) {
        let platform = registry.sub_registry_with_prefix("platform");
        platform.register(
            "requests",
            "Questions to the platform's metadata server on behalf of callers",
            self.requests.clone(),
        );
        platform.register(
            "cache_hits",
            "Answers out of what the platform said a moment ago, without asking it",
            self.hits.clone(),
        );
        platform.register(
            "stale_answers",
            "Answers out of what the platform said before, because it is slow or away",
            self.stale.clone(),
        );
        platform.register("waiting", "Callers who wait for a change", self.waiting.clone());
        platform.register(
            "polls",
            "Questions to the platform that wait for a change",
            self.polls.clone(),
        );
    }

    pub(super) fn asked(&self, outcome: &'static str) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    #[cfg(test)]
    pub(super) fn asked_with(&self, outcome: &'static str) -> u64 {
        self.requests.get_or_create(&[("outcome", outcome)]).get()
    }
}

/// Counts as long as it lives.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn in_(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
