//! What the sources that ask Google's endpoints over the web have in common.
//!
//! In: a web client, a clock and a request. Out: what an OAuth 2.0 token endpoint (RFC 6749, 5), the Security Token Service (RFC 8693) or the
//! IAM Credentials API answered, as typed values. Tries a passing failure again, twice. Never shows a token, a key or a body.

pub(crate) mod answer;
pub(crate) mod claims;
pub(crate) mod error;
pub(crate) mod iam;
pub(crate) mod kept;
pub(crate) mod oauth;
mod send;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use error::EndpointError;

use crate::http::web;
use mtls_identity::Clock;
use mtls_identity::UnixTime;
use std::collections::BTreeSet;

/// The one scope that every API of Google Cloud takes: what IAM then lets the account do is the limit.
pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// What questions are asked with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) web: web::Client,
    pub(crate) clock: Clock,
}

impl Reach {
    /// A clock before 1970 or that is broken counts as 1970: then every token is too old, and none is served.
    pub(crate) fn now(&self) -> UnixTime {
        self.clock
            .current_time()
            .unwrap_or(UnixTime::since_unix_epoch(std::time::Duration::ZERO))
    }
}

/// The asked scopes, or the one that stands for all.
pub(crate) fn or_cloud_platform(scopes: &super::Scopes) -> BTreeSet<String> {
    match scopes {
        super::Scopes::Default => BTreeSet::from([CLOUD_PLATFORM.to_owned()]),
        super::Scopes::Exactly(scopes) => scopes.clone(),
    }
}

/// As OAuth writes a set of scopes (RFC 6749, 3.3).
pub(crate) fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
