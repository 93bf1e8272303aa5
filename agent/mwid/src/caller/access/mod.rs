//! Who may have what: the access rules in force, each connection's caller, and the record of what was granted and denied.
//!
//! In: settled rules; connections; what became of their requests. Out: grants, and a record in the log, the status and the metrics. Never grants
//! what no rule names, never lets a caller choose what is written about it.
mod audience;
mod audit;
mod error;
mod facts;
mod grant;
mod metrics;
mod receipt;
mod rules;
#[cfg(test)]
mod tests;
mod visitor;
mod watch;
mod words;

pub(crate) use error::RulesError;
pub(crate) use grant::{Grant, Refusal};
pub(crate) use metrics::Metrics;
pub(crate) use receipt::Receipt;
pub(crate) use rules::Rules;
pub(crate) use visitor::{Visitor, What};
pub(crate) use watch::Watch;

use super::{Attestor, Denial};
use crate::config::AccessRule;
use crate::health::status::CallersStatus;
use crate::http::{Holder, Stream};
use audit::Audit;
use facts::{Facts, ForUnit};
use mtls_identity::Clock;
use prometheus_client::metrics::counter::Counter;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch as news;

/// The rules in force. Cheap to clone; all clones see a reload.
#[derive(Clone)]
pub(crate) struct Access(Arc<Shared>);

/// What all connections share. A request that repeats another touches `version` and its own line of the record alone.
struct Shared {
    /// The version of the rules in force: 1 and up.
    version: AtomicU64,
    /// The same for those who wait for the next. Requests look at `version`: to read this one takes a lock that all share.
    changes: news::Sender<u64>,
    rules: RwLock<Arc<InForce>>,
    attestor: Attestor,
    metrics: Metrics,
    /// One for each kind of grant.
    grants: [Counter; 6],
    audit: Audit,
}

struct InForce {
    version: u64,
    rules: Rules,
}

/// All callers who cannot be told from others share the places of one who is nobody: no user has the number (uid_t)-1.
const STRANGERS: Holder = Holder {
    uid: u32::MAX,
    trusted: false,
};

impl Shared {
    /// Takes a lock for as long as it takes to count a reference.
    fn rules(&self) -> Arc<InForce> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

impl Access {
    pub(crate) fn new(rules: Rules, metrics: Metrics, clock: Clock) -> Self {
        Self::with(Attestor::new(), rules, metrics, clock)
    }

    /// On a machine whose units' runs are told in this directory.
    #[cfg(test)]
    pub(crate) fn with_units_at(
        directory: &std::path::Path,
        rules: Rules,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        Self::with(Attestor::with_units_at(directory), rules, metrics, clock)
    }

    fn with(attestor: Attestor, rules: Rules, metrics: Metrics, clock: Clock) -> Self {
        let version = 1;
        Self(Arc::new(Shared {
            version: AtomicU64::new(version),
            changes: news::Sender::new(version),
            rules: RwLock::new(Arc::new(InForce { version, rules })),
            attestor,
            grants: What::KINDS.map(|kind| metrics.grants(kind)),
            metrics,
            audit: Audit::new(clock),
        }))
    }

    /// Looks up the names of users and groups, which may block. At the start a missing name is said and its rule matches nobody (`strict`
    /// false); at a reload it is an error.
    pub(crate) fn prepare(rules: &[AccessRule], strict: bool) -> Result<Rules, RulesError> {
        rules::compile(rules, strict, own_uid())
    }

    /// Puts other rules in force. Connections that are open are decided anew at their next request, and long streams at once.
    pub(crate) fn replace(&self, rules: Rules) {
        let mut in_force = self.0.rules.write().unwrap_or_else(PoisonError::into_inner);
        let version = in_force.version + 1;
        *in_force = Arc::new(InForce { version, rules });
        // While the lock is held, so that who sees the version finds these rules or later ones.
        self.0.version.store(version, Ordering::Release);
        self.0.changes.send_replace(version);
    }

    /// Meets a connection: who is there, and whose share of the places it takes. `listener` names the door in the record.
    pub(crate) fn meet(&self, stream: &Stream, listener: &'static str) -> (Visitor, Option<Holder>) {
        let evidence = self.0.attestor.evidence(stream);
        self.met(
            evidence.map(|evidence| Box::new(evidence) as Box<dyn Facts>),
            listener,
        )
    }

    /// Meets the service manager, which connects for the start of `unit`: what that unit may have by the rules, and not what root may.
    pub(crate) fn meet_for_unit(&self, stream: &Stream, unit: &str, listener: &'static str) -> Visitor {
        let evidence = self.0.attestor.evidence(stream);
        let proven = evidence.and_then(|evidence| ForUnit::prove(evidence, unit));
        self.met(proven.map(|facts| Box::new(facts) as Box<dyn Facts>), listener)
            .0
    }

    fn met(&self, who: Result<Box<dyn Facts>, Denial>, listener: &'static str) -> (Visitor, Option<Holder>) {
        let who = who.map_err(Arc::new);
        let holder = who.as_ref().map_or(STRANGERS, |facts| {
            let uid = facts.uid();
            Holder {
                uid,
                trusted: uid == 0 || uid == own_uid(),
            }
        });
        let denial = who.as_ref().err().cloned();
        let visitor = Visitor::new(Arc::clone(&self.0), listener, who);
        if let Some(denial) = denial {
            visitor.came_unattested(&denial);
        }
        (visitor, Some(holder))
    }

    /// Whether rules decide who may use the proxy's routes: as soon as one of them names routes, whom none lets in may not.
    pub(crate) fn decides_routes(&self) -> bool {
        self.0.rules().rules.name_routes()
    }

    pub(crate) fn status(&self) -> CallersStatus {
        let shared = &self.0;
        CallersStatus {
            rules: shared.rules().rules.count(),
            grants: shared.grants.iter().map(Counter::get).sum(),
            denials: shared.audit.denials(),
            recent: shared.audit.recent(),
        }
    }
}

/// No rules: nobody but root and mwid's own user has anything.
impl Default for Access {
    fn default() -> Self {
        let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
        Self::new(Rules::none(own_uid()), Metrics::default(), clock)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}
