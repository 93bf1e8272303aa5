//! What this room counts. In: what the cache did. Out: metrics. Never a label whose values others choose.
use super::TokenError;
use mtls_identity::UnixTime;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// `access`, `id`, `account`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fetch {
    kind: &'static str,
    /// `ok`, or a failure's reason.
    outcome: &'static str,
}

/// The cache and its source in numbers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    fetches: Family<Fetch, Counter>,
    took: Histogram,
    hits: Counter,
    misses: Counter,
    entries: Family<Kind, Gauge>,
    bytes: Family<Kind, Gauge>,
    evictions: Family<Kind, Counter>,
    default_expiry: Gauge,
    /// All fetches, for the status.
    asked: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            fetches: Family::default(),
            took: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            hits: Counter::default(),
            misses: Counter::default(),
            entries: Family::default(),
            bytes: Family::default(),
            evictions: Family::default(),
            default_expiry: Gauge::default(),
            asked: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let token = registry.sub_registry_with_prefix("token");
        token.register(
            "fetches",
            "Questions to the source of tokens, by what was asked for and how it ended",
            self.fetches.clone(),
        );
        token.register(
            "fetch_duration_seconds",
            "How long questions to the source of tokens took",
            self.took.clone(),
        );
        token.register(
            "cache_hits",
            "Questions that were answered from the cache",
            self.hits.clone(),
        );
        token.register(
            "cache_misses",
            "Questions that had to wait for the source, or were refused",
            self.misses.clone(),
        );
        token.register("cache_entries", "Questions in the cache", self.entries.clone());
        token.register(
            "cache_bytes",
            "Memory of the cache, in bytes, as it counts it",
            self.bytes.clone(),
        );
        token.register(
            "cache_evictions",
            "Questions that were pushed out of a full cache",
            self.evictions.clone(),
        );
        token.register(
            "default_expiry_timestamp_seconds",
            "When the default access token expires, in Unix time; 0: there is none",
            self.default_expiry.clone(),
        );
    }

    pub(super) fn hit(&self) {
        self.hits.inc();
    }

    pub(super) fn missed(&self) {
        self.misses.inc();
    }

    pub(super) fn fetched(&self, kind: &'static str, error: Option<&TokenError>, took: Duration) {
        let outcome = error.map_or("ok", TokenError::reason);
        self.fetches.get_or_create(&Fetch { kind, outcome }).inc();
        self.took.observe(took.as_secs_f64());
        self.asked.inc();
    }

    pub(super) fn evicted(&self, kind: &'static str, count: u64) {
        if count > 0 {
            self.evictions.get_or_create(&Kind { kind }).inc_by(count);
        }
    }

    pub(super) fn holds(&self, kind: &'static str, entries: usize, bytes: usize) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.entries.get_or_create(&Kind { kind }).set(number(entries));
        self.bytes.get_or_create(&Kind { kind }).set(number(bytes));
    }

    pub(super) fn default_until(&self, expires_at: Option<UnixTime>) {
        let at = expires_at.map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
        self.default_expiry.set(at);
    }

    pub(super) fn fetches(&self) -> u64 {
        self.asked.get()
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.get()
    }
}
