//! What holds at one moment. In: the time, the identity in force, the source's trouble. Out: a condition for the health board, and
//! when time alone would change it. Pure: never looks at a clock.
use super::moment::instant;
use crate::health::Condition;
use mtls_identity::{IdentitySnapshot, UnixTime};
use std::path::Path;
use std::time::Duration;

/// While a candidate waits for its time the clock is looked at this often, because clocks are set.
const LONGEST_WAIT_FOR_CANDIDATE: Duration = Duration::from_secs(60);

/// In its last second an identity's end is looked for this often: clocks tell whole seconds, and readiness has one.
const LAST_SECOND: Duration = Duration::from_millis(100);

/// Who the identity is and how long it lives.
pub(super) struct Life<'a> {
    pub(super) id: &'a str,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl<'a> Life<'a> {
    pub(super) fn of(identity: &'a IdentitySnapshot) -> Self {
        Self {
            id: identity.id().as_str(),
            not_before: identity.not_before(),
            not_after: identity.not_after(),
        }
    }

    /// `notAfter` belongs to the validity (RFC 5280, 4.1.2.5).
    fn is_over(&self, now: UnixTime) -> bool {
        now.as_secs() > self.not_after.as_secs()
    }

    /// From then on a missing rotation is worth a look: platforms rotate at half of the life.
    fn two_thirds(&self) -> u64 {
        let life = self.not_after.as_secs().saturating_sub(self.not_before.as_secs());
        self.not_before.as_secs().saturating_add(life / 3 * 2)
    }
}

pub(super) struct View<'a> {
    pub(super) now: UnixTime,
    /// False with `source: none`.
    pub(super) wanted: bool,
    pub(super) identity: Option<Life<'a>>,
    /// Why the source's newest candidate is not in force, or why there is none.
    pub(super) trouble: Option<&'a str>,
    pub(super) restored_from: Option<&'a Path>,
    pub(super) waiting_until: Option<UnixTime>,
}

impl View<'_> {
    pub(super) fn condition(&self) -> Condition {
        let why = self.trouble.map(|t| format!(": {t}")).unwrap_or_default();
        match &self.identity {
            None if !self.wanted => Condition::Ok,
            None if self.trouble.is_none() => {
                Condition::NotReady("no identity yet: the source has not answered".to_owned())
            }
            None => Condition::NotReady(format!("no identity yet{why}")),
            Some(life) if life.is_over(self.now) => Condition::NotReady(format!(
                "the identity {} expired at {}{why}",
                life.id,
                instant(life.not_after)
            )),
            Some(life) => self.alive(life, &why),
        }
    }

    fn alive(&self, life: &Life<'_>, why: &str) -> Condition {
        if let Some(directory) = self.restored_from {
            return Condition::Degraded(format!(
                "the identity was restored from {} and ends at {}; the source has not delivered one since{why}",
                directory.display(),
                instant(life.not_after)
            ));
        }
        if self.trouble.is_some() && self.now.as_secs() >= life.two_thirds() {
            return Condition::Degraded(format!(
                "the identity ends at {} and no new one came{why}",
                instant(life.not_after)
            ));
        }
        Condition::Ok
    }

    /// How long until time alone changes something.
    pub(super) fn wait(&self) -> Option<Duration> {
        let until = |at: u64| at.checked_sub(self.now.as_secs()).filter(|left| *left > 0);
        let end = self.identity.as_ref().and_then(|life| {
            until(life.not_after.as_secs().saturating_add(1)).map(|left| match left {
                1 => LAST_SECOND,
                more => Duration::from_secs(more - 1),
            })
        });
        let degraded = self
            .identity
            .as_ref()
            .filter(|_| self.trouble.is_some())
            .and_then(|life| until(life.two_thirds()))
            .map(Duration::from_secs);
        let candidate = self.waiting_until.map(|at| {
            let left = Duration::from_secs(at.as_secs().saturating_sub(self.now.as_secs()));
            left.clamp(LAST_SECOND, LONGEST_WAIT_FOR_CANDIDATE)
        });
        [end, degraded, candidate].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
