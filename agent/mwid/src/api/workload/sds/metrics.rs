//! What the secret discovery service counts. In: each stream, each answer, each refusal of Envoy's. Out: metrics and the numbers of the status.
//! Never a label whose values callers choose.
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The three calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Delta,
    Fetch,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Stream, Self::Delta, Self::Fetch];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Delta => "delta",
            Self::Fetch => "fetch",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// What this room counts. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    streams: Family<OfKind, Gauge>,
    updates: Family<OfKind, Counter>,
    nacks: Family<OfKind, Counter>,
}

impl Default for Metrics {
    /// All are there from the start: a counter that appears with its first event shows no increase.
    fn default() -> Self {
        let metrics = Self {
            streams: Family::default(),
            updates: Family::default(),
            nacks: Family::default(),
        };
        for kind in Kind::ALL {
            let label = OfKind { kind: kind.word() };
            drop(metrics.updates.get_or_create(&label));
            if kind != Kind::Fetch {
                drop(metrics.streams.get_or_create(&label));
                drop(metrics.nacks.get_or_create(&label));
            }
        }
        metrics
    }
}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let sds = registry.sub_registry_with_prefix("sds");
        sds.register(
            "streams",
            "Open streams of Envoy's secret discovery service",
            self.streams.clone(),
        );
        sds.register(
            "updates",
            "Answers with secrets, or with the news that there are none, that were handed to their connection",
            self.updates.clone(),
        );
        sds.register(
            "nacks",
            "Answers that the client refused; the log says why",
            self.nacks.clone(),
        );
    }

    /// One more stream, until the guard is dropped.
    pub(super) fn opened(&self, kind: Kind) -> OpenStream {
        let streams = self.streams.get_or_create(&OfKind { kind: kind.word() }).clone();
        streams.inc();
        OpenStream(streams)
    }

    pub(super) fn updated(&self, kind: Kind) {
        self.updates.get_or_create(&OfKind { kind: kind.word() }).inc();
    }

    pub(super) fn refused(&self, kind: Kind) {
        self.nacks.get_or_create(&OfKind { kind: kind.word() }).inc();
    }

    /// Open streams of both kinds.
    pub(super) fn streams(&self) -> u64 {
        let open = [Kind::Stream, Kind::Delta]
            .map(|kind| self.streams.get_or_create(&OfKind { kind: kind.word() }).get());
        u64::try_from(open.iter().sum::<i64>()).unwrap_or(0)
    }

    /// Refusals of both kinds of stream.
    pub(super) fn nacks(&self) -> u64 {
        let nacks = [Kind::Stream, Kind::Delta]
            .map(|kind| self.nacks.get_or_create(&OfKind { kind: kind.word() }).get());
        nacks.iter().sum()
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}
