//! The instance's own data: asked of the platform for the callers, and remembered.
//!
//! In: a path of the metadata tree that is not ours, its query, and what the caller may have. Out: the platform's answer, or the last one while the
//! platform is away. Never a private key for a caller without `identity`, never a token.
use crate::caller::Grant;
use crate::http::reply::Reply;
use crate::metadata;
use crate::shutdown::Shutdown;
use std::sync::Arc;

/// What the platform said.
pub(super) struct Mirror {}

/// One question, already known to be well formed: the path holds no `%`, no empty, `.` or `..` segment.
pub(super) struct Wish<'a> {
    /// Below `/computeMetadata/v1/`, as it came (a final slash is kept).
    pub(super) path: &'a str,
    /// As it came, without `?`.
    pub(super) query: &'a str,
    /// As it came, for the Location of a redirect.
    pub(super) host: &'a str,
}

impl Mirror {
    pub(super) fn new(_platform: Option<metadata::Client>, _shutdown: &Shutdown) -> Arc<Self> {
        todo!()
    }

    /// The answer, in the metadata server's words and headers.
    pub(super) async fn answer(&self, _wish: Wish<'_>, _grant: &Grant) -> Reply {
        todo!()
    }

    /// One value as text, trimmed; none where the platform has none.
    pub(super) async fn value(&self, _path: &str) -> Option<String> {
        todo!()
    }
}
