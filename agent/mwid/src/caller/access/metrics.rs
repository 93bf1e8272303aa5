//! The room's counters. In: what was granted and denied. Out: metrics. Never a label whose values callers choose.
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counts of this room. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    grants: Family<Labels<1>, Counter>,
    denials: Family<Labels<2>, Counter>,
    unattested: Family<Labels<1>, Counter>,
}

/// Why something was denied, of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// Nobody can tell who asks.
    Unattested,
    /// No rule matches.
    NoRule,
    /// Rules match, and grant nothing of this kind.
    NotGranted,
    /// They grant other scopes.
    Scopes,
    /// They grant other audiences.
    Audience,
    /// They grant other routes.
    Route,
    /// The rules grant it; something else stands against it.
    Other,
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Self::Unattested => "unattested",
            Self::NoRule => "no_rule",
            Self::NotGranted => "not_granted",
            Self::Scopes => "scopes",
            Self::Audience => "audience",
            Self::Route => "route",
            Self::Other => "other",
        }
    }
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let access = registry.sub_registry_with_prefix("access");
        access.register(
            "grants",
            "Requests that the access rules granted",
            self.grants.clone(),
        );
        access.register(
            "denials",
            "Requests that the access rules denied",
            self.denials.clone(),
        );
        access.register(
            "attestation_failures",
            "Connections of callers who could not be told from others",
            self.unattested.clone(),
        );
    }

    /// The counter of these grants, to be kept: looking it up takes a lock that all share.
    pub(super) fn grants(&self, what: &'static str) -> Counter {
        self.grants.get_or_create(&[("what", what)]).clone()
    }

    pub(super) fn denials(&self, what: &'static str, reason: Reason) -> Counter {
        self.denials
            .get_or_create(&[("what", what), ("reason", reason.label())])
            .clone()
    }

    pub(super) fn unattested(&self, kind: &'static str) -> Counter {
        self.unattested.get_or_create(&[("kind", kind)]).clone()
    }
}
