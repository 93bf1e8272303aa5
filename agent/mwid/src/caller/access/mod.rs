//! Who may have what: the access rules in force, each connection's caller, and the record of what was granted and denied.
mod audience;
mod grant;
mod words;

pub(crate) use grant::{Grant, Refusal};

use super::Denial;
use crate::config::AccessRule;
use crate::health::status::CallersStatus;
use crate::http::{Holder, Stream};
use mtls_identity::Clock;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// The rules in force. Cheap to clone; all clones see a reload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {}

/// Rules whose names are looked up, ready to be put in force.
#[derive(Debug)]
pub(crate) struct Rules {}

/// Why rules cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    #[error("access[{index}].who.user: there is no user {name}; create it or correct the name")]
    NoUser { index: usize, name: String },
}

/// What is granted or denied, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What<'a> {
    /// With the scopes as asked; empty: the default ones.
    AccessToken {
        scopes: &'a str,
    },
    IdToken {
        audience: &'a str,
    },
    /// The X.509 identity's private key.
    Identity,
}

/// The caller of one connection. Decides once, and again when the rules change.
pub(crate) struct Visitor {}

impl Visitor {
    /// What this caller may have now; the error is for a caller whom nobody can tell from others, or who has gone.
    pub(crate) fn grant(&self) -> Result<Arc<Grant>, Arc<Denial>> {
        todo!()
    }

    /// Puts a grant on record. Costs next to nothing when it repeats.
    pub(crate) fn granted(&self, _what: What<'_>) {
        todo!()
    }

    /// Puts a denial on record, with the reason that the caller is told.
    pub(crate) fn denied(&self, _what: What<'_>, _why: &str) {
        todo!()
    }
}

/// Counts of this room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, _registry: &mut Registry) {
        todo!()
    }
}

impl Access {
    pub(crate) fn new(_rules: Rules, _metrics: Metrics, _clock: Clock) -> Self {
        todo!()
    }

    /// Looks up the names of users and groups. At the start a missing name is said and its rule matches nobody (`strict` false); at a reload it
    /// is an error.
    pub(crate) fn prepare(_rules: &[AccessRule], _strict: bool) -> Result<Rules, RulesError> {
        todo!()
    }

    /// Puts other rules in force. Connections that are open are decided anew at their next request.
    pub(crate) fn replace(&self, _rules: Rules) {
        todo!()
    }

    /// Meets a connection: who is there, and whose share of the places it takes. `listener` names the door in the record.
    pub(crate) fn meet(&self, _stream: &Stream, _listener: &'static str) -> (Visitor, Option<Holder>) {
        todo!()
    }

    pub(crate) fn status(&self) -> CallersStatus {
        CallersStatus::default()
    }
}
