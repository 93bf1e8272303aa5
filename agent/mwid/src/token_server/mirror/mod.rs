//! The instance's own data: asked of the platform for the callers, and remembered.
//!
//! In: a path of the metadata tree that is not ours, its query, and what the caller may have. Out: the platform's answer, or the last one while the
//! platform is away. Never a private key for a caller without `identity`, never a token.
use crate::caller::Grant;
use crate::http::reply::Reply;
use crate::metadata;
use crate::shutdown::Shutdown;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// How long a request may wait for a change. The server's own limit for a request has to be longer.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What the platform said.
pub(super) struct Mirror {}

/// What this room counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {}

impl Metrics {
    /// Registers everything that this room counts.
    pub(super) fn register(&self, _registry: &mut prometheus_client::registry::Registry) {
        todo!()
    }
}

/// One question, already known to be well formed: the path holds no `%`, no empty, `.` or `..` segment.
pub(super) struct Wish<'a> {
    /// Below `/computeMetadata/v1/`, as it came (a final slash is kept).
    pub(super) path: &'a str,
    /// As it came, without `?`.
    pub(super) query: &'a str,
    /// As it came, for the Location of a redirect.
    pub(super) host: &'a str,
}

/// For the record, among a reply's extensions: it was about the X.509 identity's private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrivateKey {
    /// The reply holds it.
    Given,
    /// The caller asked for it and may not have it, for this reason.
    Denied(&'static str),
}

impl Mirror {
    pub(super) fn new(
        _platform: Option<metadata::Client>,
        _metrics: Metrics,
        _shutdown: &Shutdown,
    ) -> Arc<Self> {
        todo!()
    }

    /// The answer, in the metadata server's words and headers. `accounts` is what a whole tree shows below `instance/service-accounts/` in place of
    /// the platform's (`{"default": {"aliases": …, "email": …, "scopes": …}, …}`); it is asked for only when a tree needs it, and with none the
    /// tree has no such member.
    pub(super) async fn answer(
        &self,
        _wish: Wish<'_>,
        _grant: &Grant,
        _accounts: impl Future<Output = Option<Value>> + Send,
    ) -> Reply {
        todo!()
    }

    /// One value as text, trimmed; none where the platform has none.
    pub(super) async fn value(&self, _path: &str) -> Option<String> {
        todo!()
    }
}
