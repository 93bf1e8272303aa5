//! The caller of one connection.
//!
//! In: who is there, or why nobody can tell; then each request's questions. Out: what the caller may have by the rules in force, and a record of
//! what it got. Decides once, and again when the rules change; a repeat takes no lock but this connection's own.
use super::Shared;
use super::audit::{Entry, Subject, Who, Why};
use super::facts::Facts;
use super::grant::Grant;
use super::metrics::Reason;
use super::receipt::Receipt;
use super::rules::{By, Decision};
use super::watch::Watch;
use super::words::clean;
use crate::caller::Denial;
use crate::config::{AccessTokens, IdTokens, Routes};
use crate::report::Causes;
use mtls_identity::UnixTime;
use prometheus_client::metrics::counter::Counter;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is granted or denied, for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What<'a> {
    /// With the scopes as asked, apart by commas or spaces; empty: the default ones.
    AccessToken {
        scopes: &'a str,
    },
    IdToken {
        audience: &'a str,
    },
    /// The X.509 identity's private key.
    Identity,
    /// A connection at an outbound route of the proxy.
    Route {
        name: &'a str,
    },
    /// Its trust bundles, which whoever may have the identity may have.
    Bundles,
    /// A token that says who holds the identity.
    JwtSvid {
        audience: &'a str,
    },
    /// Any request that came as a proxy's or a web page's.
    Disguised,
    /// Any request on a connection whose process has ended.
    HandedOn,
}

/// The caller of one connection.
pub(crate) struct Visitor {
    shared: Arc<Shared>,
    listener: &'static str,
    who: Result<Box<dyn Facts>, Arc<Denial>>,
    /// The requests of a connection come one after another: nobody waits here.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    decided: Option<Decided>,
    /// What is on record already, the newest last.
    noted: Vec<Noted>,
}

impl State {
    /// The last decision, whatever the rules in force are now; the first if there was none.
    fn last(&mut self, shared: &Shared, facts: &dyn Facts) -> &Decided {
        self.decided.get_or_insert_with(|| {
            let in_force = shared.rules();
            // Before: an end meanwhile is one more decision.
            let over = facts.life().is_over();
            Decided::new(in_force.version, over, in_force.rules.decide(facts))
        })
    }
}

struct Decided {
    version: u64,
    /// Whether that was known to be the end of the process or its unit's run.
    over: bool,
    grant: Arc<Grant>,
    by: By,
    hints: String,
}

struct Noted {
    kind: &'static str,
    value: String,
    why: Option<String>,
    entry: Arc<Entry>,
}

/// So many are kept at hand for one connection; a client that asks for more things in turn takes the record's lock.
const NOTED: usize = 8;
/// In bytes: longer than the longest usual audience or list of scopes, so that ten thousand connections keep little.
const LONGEST_NOTED: usize = 1024;
/// So many hints are told.
const HINTS: usize = 3;

impl Visitor {
    pub(super) fn new(
        shared: Arc<Shared>,
        listener: &'static str,
        who: Result<Box<dyn Facts>, Arc<Denial>>,
    ) -> Self {
        Self {
            shared,
            listener,
            who,
            state: Mutex::default(),
        }
    }

    /// Whose it is, where that can be told.
    pub(crate) fn user(&self) -> Option<u32> {
        self.who.as_ref().ok().map(|facts| facts.uid())
    }

    /// What this caller may have now; the error is for a caller whom nobody can tell from others. The first call of a connection may look
    /// things up, and read the caller's program if a rule wants its hash.
    pub(crate) fn grant(&self) -> Result<Arc<Grant>, Arc<Denial>> {
        let facts = self.who.as_deref().map_err(Arc::clone)?;
        Ok(Arc::clone(&self.decided(&mut self.state(), facts).grant))
    }

    /// The same, after a look whether its process and its unit's run still are: for what is handed out on a connection that is kept, where nobody
    /// may be waiting for their end. Costs two system calls at most. Whoever was handed the connection of a process that has ended is nobody's
    /// caller, whatever user that was.
    pub(crate) fn grant_after_a_look(&self) -> Result<Arc<Grant>, Arc<Denial>> {
        let grant = self.grant_of_connection()?;
        match self
            .who
            .as_deref()
            .map(|facts| (facts.life().is_process_gone(), facts.pid()))
        {
            Ok((true, Some(pid))) => Err(Arc::new(Denial::HandedOn { pid })),
            _ => Ok(grant),
        }
    }

    /// The same for one who wants the connection itself: what its process wrote before it ended is still to be passed on. What was granted to the user
    /// stays granted.
    pub(crate) fn grant_of_connection(&self) -> Result<Arc<Grant>, Arc<Denial>> {
        if let Ok(facts) = &self.who {
            facts.life().look();
        }
        self.grant()
    }

    /// Whether the last grant is settled: false where something that a rule asks for could not be looked up this time.
    pub(crate) fn is_settled(&self) -> bool {
        let decided = &self.state().decided;
        decided.as_ref().is_none_or(|decided| decided.version != 0)
    }

    /// Whether nothing more can be told of the caller on this connection, and perhaps on another one, because the kernel had no room when it came or
    /// its process has ended: such a connection is best closed after its caller was told to come again.
    pub(crate) fn is_spent(&self) -> bool {
        match &self.who {
            Ok(facts) => facts.life().is_process_gone() || facts.is_out_of_reach() && !self.is_settled(),
            Err(denial) => denial.may_pass(),
        }
    }

    /// Tells the process that connected from every other since the boot, also from a later one of its number; none where that cannot be told.
    pub(crate) fn process_key(&self) -> Option<(i32, u64)> {
        self.who.as_ref().ok().and_then(|facts| facts.process_key())
    }

    /// Tells when what this caller may have is to be asked for again: for answers that take long, so that nobody keeps what was taken
    /// from him.
    pub(crate) fn watch(&self) -> Watch {
        let life = self.who.as_ref().ok().map(|facts| Arc::clone(facts.life()));
        Watch::new(self.shared.changes.subscribe(), life)
    }

    /// Puts a grant on record. Costs next to nothing when it repeats.
    pub(crate) fn granted(&self, what: What<'_>) {
        self.note(what, None, self.shared.audit.now());
    }

    /// The same, for who has just looked at the clock. None: the decision does not hold until the rules change.
    pub(crate) fn granted_at(&self, what: What<'_>, now: UnixTime) -> Option<Receipt> {
        let entry = self.note(what, None, now.as_secs());
        let state = self.state();
        let decided = state.decided.as_ref()?;
        (decided.version != 0 && !decided.over).then(|| Receipt::new(decided.version, entry))
    }

    /// Grants the same once more and puts it on record, if nothing has changed since. Takes no lock, and does not look whether the caller's process
    /// still is. False: nothing was granted, ask anew.
    pub(crate) fn granted_again(&self, receipt: &Receipt, now: UnixTime) -> bool {
        let Ok(facts) = &self.who else {
            return false;
        };
        let version = self.shared.version.load(Ordering::Acquire);
        let Some(entry) = receipt.entry(version).filter(|_| !facts.life().is_over()) else {
            return false;
        };
        self.shared.audit.note_at(entry, facts.pid(), now.as_secs());
        true
    }

    /// Puts a denial on record, with the reason that the caller is told.
    pub(crate) fn denied(&self, what: What<'_>, why: &str) {
        self.note(what, Some(why), self.shared.audit.now());
    }

    fn decided<'a>(&self, state: &'a mut State, facts: &dyn Facts) -> &'a Decided {
        let version = self.shared.version.load(Ordering::Acquire);
        let over = facts.life().is_over();
        let holds = |decided: &Decided| decided.version == version && decided.over == over;
        if !state.decided.as_ref().is_some_and(holds) {
            if state.decided.is_some() {
                // The evidence may be old.
                facts.life().look();
            }
            state.noted.clear();
            state.decided = None;
        }
        state.last(&self.shared, facts)
    }

    /// `now` in seconds.
    fn note(&self, what: What<'_>, why: Option<&str>, now: u64) -> Arc<Entry> {
        let mut state = self.state();
        let pid = self.who.as_ref().ok().and_then(|facts| facts.pid());
        let (kind, value) = (what.kind(), what.value());
        let is_it = |noted: &Noted| {
            noted.kind == kind
                && noted.value == value
                && noted.why.as_deref() == why
                && !noted.entry.is_forgotten()
        };
        if let Some(noted) = state.noted.iter().rev().find(|noted| is_it(noted)) {
            self.shared.audit.note_at(&noted.entry, pid, now);
            return Arc::clone(&noted.entry);
        }
        let entry = self.entry(&mut state, what, why);
        self.shared.audit.note_at(&entry, pid, now);
        // What a caller wrote at length is not kept for it: it takes the record's lock again.
        if value.len() > LONGEST_NOTED || why.is_some_and(|why| why.len() > LONGEST_NOTED) {
            return entry;
        }
        if state.noted.len() == NOTED {
            state.noted.remove(0);
        }
        state.noted.push(Noted {
            kind,
            value: value.to_owned(),
            why: why.map(str::to_owned),
            entry: Arc::clone(&entry),
        });
        entry
    }

    fn entry(&self, state: &mut State, what: What<'_>, why: Option<&str>) -> Arc<Entry> {
        let metrics = &self.shared.metrics;
        let facts = match &self.who {
            Ok(facts) => facts.as_ref(),
            Err(denial) => {
                let counter = metrics.denials(what.kind(), Reason::Unattested);
                return self.unattested(denial, what.to_string(), counter);
            }
        };
        // The decision that the answer was made by, also when the rules have changed meanwhile.
        let decided = state.last(&self.shared, facts);
        let counter = match why {
            None => metrics.grants(what.kind()),
            Some(_) => metrics.denials(what.kind(), decided.reason(what)),
        };
        let subject = Subject {
            who: Who::Attested {
                uid: facts.uid(),
                gid: facts.gid(),
                // Two services of one user are two callers. One whose unit cannot be told is a third.
                unit: facts.unit().ok().flatten().map(clean),
            },
            listener: self.listener,
            what: what.to_string(),
            denied: why.map(|why| Why {
                text: clean(why),
                hints: decided.hints.clone(),
            }),
            rule: clean(&decided.by.to_string()),
        };
        self.shared.audit.entry(subject, None, counter)
    }

    /// Puts on record that somebody came whom nobody can tell from others.
    pub(super) fn came_unattested(&self, denial: &Denial) {
        let counter = self.shared.metrics.unattested(denial.kind());
        let entry = self.unattested(denial, "connection".to_owned(), counter);
        self.shared.audit.note(&entry, None);
    }

    fn unattested(&self, denial: &Denial, what: String, counter: Counter) -> Arc<Entry> {
        let subject = Subject {
            who: Who::Unattested(denial.kind()),
            listener: self.listener,
            what,
            // The kind says it. The text may name a process, and each would be another line.
            denied: Some(Why {
                text: denial.kind().to_owned(),
                hints: String::new(),
            }),
            rule: By::Nothing.to_string(),
        };
        let detail = clean(&Causes(denial).to_string());
        self.shared.audit.entry(subject, Some(detail), counter)
    }

    /// Nothing in here panics half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decided {
    fn new(version: u64, over: bool, decision: Decision) -> Self {
        let more = decision.hints.len().saturating_sub(HINTS);
        let mut hints: Vec<String> = decision
            .hints
            .iter()
            .take(HINTS)
            .map(|hint| clean(&hint.to_string()))
            .collect();
        if more > 0 {
            hints.push(format!("{more} more rules could not be told"));
        }
        Self {
            // No version of the rules is 0: what could not be looked up this time is tried again.
            version: if decision.lasting { version } else { 0 },
            over,
            grant: Arc::new(decision.grant),
            by: decision.by,
            hints: hints.join("; "),
        }
    }

    fn reason(&self, what: What<'_>) -> Reason {
        let grant = &*self.grant;
        let (none, allowed, otherwise) = match what {
            What::AccessToken { scopes } => {
                let asked: BTreeSet<String> = scopes
                    .split([',', ' '])
                    .filter(|scope| !scope.is_empty())
                    .map(str::to_owned)
                    .collect();
                let none = grant.access_tokens == AccessTokens::None;
                (none, grant.scopes_for(&asked).is_ok(), Reason::Scopes)
            }
            What::IdToken { audience } => {
                let none = grant.id_tokens == IdTokens::None;
                (none, grant.audience_allowed(audience).is_ok(), Reason::Audience)
            }
            What::Identity | What::Bundles | What::JwtSvid { .. } => {
                (!grant.identity, grant.identity, Reason::Other)
            }
            What::Route { name } => {
                let none = grant.routes == Routes::None;
                (none, grant.route_allowed(name).is_ok(), Reason::Route)
            }
            What::Disguised | What::HandedOn => (false, true, Reason::Other),
        };
        match (none, allowed) {
            (_, true) => Reason::Other,
            (true, false) if self.by == By::Nothing => Reason::NoRule,
            (true, false) => Reason::NotGranted,
            (false, false) => otherwise,
        }
    }
}

impl<'a> What<'a> {
    /// The labels of metrics, of what can be granted.
    pub(super) const KINDS: [&'static str; 6] = [
        "access_token",
        "id_token",
        "identity",
        "bundles",
        "jwt_svid",
        "route",
    ];

    fn kind(self) -> &'static str {
        match self {
            Self::AccessToken { .. } => "access_token",
            Self::IdToken { .. } => "id_token",
            Self::Identity => "identity",
            Self::Route { .. } => "route",
            Self::Bundles => "bundles",
            Self::JwtSvid { .. } => "jwt_svid",
            Self::Disguised => "disguised",
            Self::HandedOn => "handed_on",
        }
    }

    /// What makes two of a kind differ.
    fn value(self) -> &'a str {
        match self {
            Self::AccessToken { scopes: text }
            | Self::IdToken { audience: text }
            | Self::Route { name: text }
            | Self::JwtSvid { audience: text } => text,
            Self::Identity | Self::Bundles | Self::Disguised | Self::HandedOn => "",
        }
    }
}

/// In words for the record: what a caller wrote is cleaned.
impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessToken { scopes: "" } => f.write_str("access token"),
            Self::AccessToken { scopes } => write!(f, "access token with {}", clean(scopes)),
            Self::IdToken { audience } => write!(f, "ID token for {}", clean(audience)),
            Self::Identity => f.write_str("X.509 identity"),
            Self::Route { name } => write!(f, "route {name}"),
            Self::Bundles => f.write_str("trust bundles"),
            Self::JwtSvid { audience } => write!(f, "JWT-SVID for {}", clean(audience)),
            Self::Disguised => f.write_str("request in disguise"),
            Self::HandedOn => f.write_str("request on a connection that was handed on"),
        }
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Visitor {
    pub(super) fn state_size(&self) -> usize {
        self.state().noted.len()
    }
}
