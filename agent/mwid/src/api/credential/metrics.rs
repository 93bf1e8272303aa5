//! What the credential socket counts. In: what became of connections. Out: metrics. Never a label whose values callers choose.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts of this room. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let credential = registry.sub_registry_with_prefix("credential");
        credential.register(
            "requests",
            "Credentials that systemd asked for, by what became of it",
            self.requests.clone(),
        );
    }

    /// `outcome`: of a fixed set.
    pub(super) fn answered(&self, outcome: &'static str) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }
}
