//! What the server counts. In: each answer. Out: counters with few labels.
use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

use super::mirror;

/// What was asked for, as far as metrics tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Not let in, or not there.
    None,
    Root,
    Token,
    Identity,
    /// Of an account, but no token.
    Account,
    /// The instance's own data.
    Metadata,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Root => "root",
            Self::Token => "token",
            Self::Identity => "identity",
            Self::Account => "account",
            Self::Metadata => "metadata",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    code: u16,
}

/// What this room counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    /// The one that is counted most, looked up once.
    cached: Counter,
    waits: Histogram,
    pub(super) mirror: mirror::Metrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = Family::<Labels, Counter>::default();
        let labels = Labels {
            kind: Kind::Token.word(),
            code: StatusCode::OK.as_u16(),
        };
        let cached = requests.get_or_create(&labels).clone();
        Self {
            requests,
            cached,
            waits: Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0]),
            mirror: mirror::Metrics::default(),
        }
    }
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let server = registry.sub_registry_with_prefix("token_server");
        server.register(
            "requests",
            "Answers of the metadata-compatible API by what was asked for",
            self.requests.clone(),
        );
        server.register_with_unit(
            "token_wait",
            "Time of answers with tokens that were not at hand",
            Unit::Seconds,
            self.waits.clone(),
        );
        self.mirror.register(server);
    }

    pub(super) fn answered(&self, kind: Kind, code: StatusCode) {
        if kind == Kind::Token && code == StatusCode::OK {
            self.cached.inc();
            return;
        }
        let labels = Labels {
            kind: kind.word(),
            code: code.as_u16(),
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// A token had to be fetched.
    pub(super) fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }

    #[cfg(test)]
    pub(super) fn count(&self, kind: Kind, code: u16) -> u64 {
        let kind = kind.word();
        self.requests.get_or_create(&Labels { kind, code }).get()
    }
}
