//! The room's counters. In: what intake did. Out: metrics. Never a label whose values others choose.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters by reason, out of a small fixed set of reasons.
type ByReason = Family<[(&'static str, &'static str); 1], Counter>;

/// What the identity and its source do, in numbers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(super) generation: Gauge,
    pub(super) not_after: Gauge,
    pub(super) last_answer: Gauge,
    pub(super) candidates: Counter,
    refusals: ByReason,
    troubles: ByReason,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "identity_generation",
            "Generation of the identity in force; 0: none",
            metrics.generation.clone(),
        );
        registry.register(
            "identity_not_after_timestamp_seconds",
            "When the identity in force expires, in Unix time; 0: there is none",
            metrics.not_after.clone(),
        );
        registry.register(
            "source_last_answer_timestamp_seconds",
            "When the source last delivered something readable, in Unix time; 0: never",
            metrics.last_answer.clone(),
        );
        registry.register(
            "source_candidates",
            "Candidates that the source delivered",
            metrics.candidates.clone(),
        );
        registry.register(
            "source_refusals",
            "Candidates that were refused",
            metrics.refusals.clone(),
        );
        registry.register(
            "source_troubles",
            "Times that the source reported trouble instead of a candidate",
            metrics.troubles.clone(),
        );
        metrics
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    pub(super) fn trouble(&self, reason: &'static str) {
        self.troubles.get_or_create(&[("reason", reason)]).inc();
    }

    #[cfg(test)]
    pub(super) fn refusals_for(&self, reason: &'static str) -> u64 {
        self.refusals.get_or_create(&[("reason", reason)]).get()
    }
}
