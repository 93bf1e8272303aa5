//! What one stream was asked and told: the xDS rules, without a socket.
//!
//! In: requests, and the secrets of the newest generation. Out: what is to be answered now, what is to be logged, and why a stream has to end.
//! Never waits, never answers the same thing twice unless it is asked again, so that a client that refuses an answer (NACK) is left
//! alone until there is another.
//!
//! Source: Envoy's xDS protocol, "Basic Protocol Overview" to "Incremental xDS".
mod bounds;
pub(super) mod delta;
pub(super) mod sotw;
#[cfg(test)]
mod tests;

pub(super) use bounds::{MOST_NAMES, MOST_WORDS};

use super::secrets::{Missing, Secret};
use crate::proto::envoy::config::core::v3::Node;
use std::sync::Arc;

/// All that there is, in xDS's own word.
const WILDCARD: &str = "*";

/// What is to be answered now.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of the generation.
    pub(super) version: Arc<str>,
    pub(super) nonce: String,
    /// By name.
    pub(super) found: Vec<(Arc<str>, Arc<Secret>)>,
    pub(super) missing: Vec<(Arc<str>, Missing)>,
    /// Known to the client, and no more there or no more asked for.
    pub(super) removed: Vec<Arc<str>>,
}

impl Answer {
    /// Of what was found.
    pub(super) fn names(&self) -> Vec<&str> {
        self.found.iter().map(|(name, _)| &**name).collect()
    }
}

/// An answer that the client could not use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nack {
    /// Of the refused answer.
    pub(super) version: Arc<str>,
    /// In the client's words.
    pub(super) reason: String,
}

/// What a request led to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) nack: Option<Nack>,
    pub(super) answer: Option<Answer>,
}

impl From<Option<Answer>> for Outcome {
    fn from(answer: Option<Answer>) -> Self {
        Self { nack: None, answer }
    }
}

/// Why a stream has to end. Each text is told to the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("type_url is {found}, and this service has {wanted} alone", wanted = super::wire::SECRET_TYPE)]
    WrongType { found: String },
    #[error(
        "{found} names asked for, and at most {limit} are answered on one stream; ask for the rest on another"
    )]
    TooManyNames { found: usize, limit: usize },
    #[error("a name of {found} bytes, and at most {limit} are allowed")]
    NameTooLong { found: usize, limit: usize },
    #[error("names of {found} bytes in all, and at most {limit} are kept for one stream")]
    NamesTooLong { found: usize, limit: usize },
    #[error("{name}: {missing}")]
    Never { name: Arc<str>, missing: Missing },
}

/// In the node's metadata, true or false: how Envoys of SPIRE ask for plain roots.
pub(super) const PLAIN: &str = "disable_spiffe_cert_validation";

/// The form of secrets that the node asked for, as far as it said anything.
pub(super) fn plain_wanted(node: &Node) -> bool {
    use prost_types::value::Kind;
    let metadata = node.metadata.as_ref();
    let said = metadata.and_then(|metadata| metadata.fields.get(PLAIN));
    match said.and_then(|value| value.kind.as_ref()) {
        Some(Kind::BoolValue(plain)) => *plain,
        // As people write booleans in YAML that a template filled in.
        Some(Kind::StringValue(text)) => ["1", "t", "T", "true", "True", "TRUE"].contains(&text.as_str()),
        _ => false,
    }
}

/// A reason that others wrote, short enough to be logged.
fn shortened(reason: &str) -> String {
    const MOST: usize = 512;
    match reason.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &reason[..end]),
        None => reason.to_owned(),
    }
}

/// A stream that asks for nothing but what can never be given is told so and ended; what may come is waited for.
fn refuse_hopeless(answer: &Answer, subscribed: usize) -> Result<(), Refusal> {
    let for_good = answer.missing.iter().filter(|(_, missing)| missing.is_for_good());
    match answer.missing.first() {
        Some((name, missing)) if for_good.count() == subscribed => Err(Refusal::Never {
            name: Arc::clone(name),
            missing: missing.clone(),
        }),
        _ => Ok(()),
    }
}
