//! One answer of the platform, fit to be remembered and passed on. In: the answer as it came. Out: status, type, ETag and body, without what callers
//! may not have. Never keeps another header, and wipes its body with its last holder.
use super::key::{Form, Key};
use super::path::{self, Kind};
use super::tree::{self, TreeError};
use crate::metadata::Answer;
use crate::token_server::words;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue};
use std::ops::Range;
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) content_type: HeaderValue,
    pub(super) etag: Option<HeaderValue>,
    body: Arc<Zeroizing<Vec<u8>>>,
    /// Where a tree wants our accounts.
    pub(super) accounts_at: Option<usize>,
    /// Where a tree tells the platform's universe domain.
    pub(super) universe_at: Option<Range<usize>>,
    /// The X.509 identity's private key is, or may be, in it.
    pub(super) holds_identity: bool,
}

/// A body that a reply shares.
struct Shared(Arc<Zeroizing<Vec<u8>>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Said {
    pub(super) fn of(key: &Key, answer: Answer) -> Result<Self, TreeError> {
        let Answer {
            status,
            mut headers,
            body,
        } = answer;
        let mut said = Self {
            status,
            content_type: headers.remove(CONTENT_TYPE).unwrap_or(words::HTML),
            etag: headers.remove(ETAG),
            body: Arc::new(body),
            accounts_at: None,
            universe_at: None,
            holds_identity: path::kind(&key.path) == Kind::Identity,
        };
        // Whatever the platform calls its success: what has the shape of a tree is one.
        if let Form::Tree { identity } = key.form
            && status.is_success()
        {
            let pruned = tree::prune(&said.body, &key.names(), identity)?;
            said.content_type = words::JSON;
            said.body = Arc::new(pruned.body);
            said.accounts_at = pruned.accounts_at;
            said.universe_at = pruned.universe_at;
            said.holds_identity |= pruned.holds_identity;
        }
        Ok(said)
    }

    /// A value, not a refusal or a redirect.
    pub(super) fn is_value(&self) -> bool {
        self.status == StatusCode::OK
    }

    /// What is told again while the platform is away: a value, that a directory is one, or that there is no such key.
    pub(super) fn stands_in(&self) -> bool {
        self.is_value() || matches!(self.status, StatusCode::MOVED_PERMANENTLY | StatusCode::NOT_FOUND)
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body for a reply, not copied.
    pub(super) fn shared(&self) -> Bytes {
        bytes(Arc::clone(&self.body))
    }

    /// The ETag as a text that a question can hold.
    pub(super) fn tag(&self) -> Option<&str> {
        let etag = self.etag.as_ref()?.to_str().ok()?;
        super::query::is_etag(etag).then_some(etag)
    }
}

/// Wiped when the last of them goes.
pub(super) fn bytes(body: Arc<Zeroizing<Vec<u8>>>) -> Bytes {
    Bytes::from_owner(Shared(body))
}
