//! The metrics of publishing.
//!
//! In: what happened. Out: numbers for Prometheus. Labels are the configured directories and reactions, so their number is
//! bounded by the configuration.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Cheap to clone; all clones count into the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(super) rotation_to_publish: Histogram,
    pub(super) failures: Family<ByDirectory, Counter>,
    pub(super) generation: Family<ByDirectory, Gauge>,
    pub(super) reactions: Family<ByReaction, Counter>,
    pub(super) reaction_failures: Family<ByReaction, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByDirectory {
    pub(super) directory: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByReaction {
    pub(super) directory: String,
    pub(super) reaction: String,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            // 0.5 ms to 16 s.
            rotation_to_publish: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            failures: Family::default(),
            generation: Family::default(),
            reactions: Family::default(),
            reaction_failures: Family::default(),
        }
    }

    /// To a registry whose prefix is `mwid`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "rotation_to_publish",
            "From a new generation in the store to the switch of a published directory",
            Unit::Seconds,
            self.rotation_to_publish.clone(),
        );
        registry.register(
            "publish_failures",
            "Publishes that failed and are tried again",
            self.failures.clone(),
        );
        registry.register(
            "published_generation",
            "The generation that a directory shows",
            self.generation.clone(),
        );
        registry.register(
            "reactions",
            "Reactions that were carried out",
            self.reactions.clone(),
        );
        registry.register(
            "reaction_failures",
            "Reactions that failed, each try",
            self.reaction_failures.clone(),
        );
    }
}
