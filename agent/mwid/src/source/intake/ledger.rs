//! What intake tells the world. In: what happened. Out: log lines (a repeated one once), metrics, the source's status.
//! Never decides, never holds key bytes.
use super::From;
use super::moment::instant;
use crate::health::Condition;
use crate::health::status::timestamp;
use crate::health::status::{ErrorLine, SourceStatus};
use crate::report::Causes;
use crate::source::{Metrics, SourceError, dev_ca};
use mtls_identity::{IdentitySnapshot, Refusal, UnixTime};
use std::error::Error;
use std::path::Path;
use tokio::sync::watch;

pub(super) struct Ledger {
    metrics: Metrics,
    status: SourceStatus,
    seen: watch::Sender<SourceStatus>,
    /// Why the source gave no candidate, until it does.
    trouble: Option<ErrorLine>,
    /// What the source said beside the last candidate.
    warning: Option<ErrorLine>,
    /// What the last refusal was about, to log a repeated one once.
    refused: Option<String>,
    condition: Option<Condition>,
}

impl Ledger {
    pub(super) fn new(metrics: Metrics) -> (Self, watch::Receiver<SourceStatus>) {
        let (seen, receiver) = watch::channel(SourceStatus::default());
        let ledger = Self {
            metrics,
            status: SourceStatus::default(),
            seen,
            trouble: None,
            warning: None,
            refused: None,
            condition: None,
        };
        (ledger, receiver)
    }

    /// A new source: what the last one said no longer counts. Refusals are counted on.
    pub(super) fn begin(&mut self, kind: &str) {
        tracing::info!(source = kind, "source started");
        self.status = SourceStatus {
            kind: kind.to_owned(),
            for_development: kind == dev_ca::KIND,
            refusals: self.status.refusals,
            restored_from: self.status.restored_from.take(),
            ..SourceStatus::default()
        };
        self.trouble = None;
        self.warning = None;
        self.refused = None;
    }

    pub(super) fn answered(&mut self, origin: &From, at: UnixTime, warning: Option<&SourceError>) {
        self.metrics.candidates.inc();
        self.metrics.last_answer.set(at.as_secs().cast_signed());
        self.status.last_answer = Some(timestamp(at));
        if let From::Source { kind, from } = origin {
            (*kind).clone_into(&mut self.status.kind);
            self.status.for_development = *kind == dev_ca::KIND;
            self.status.from = Some(from.clone());
        }
        if self.trouble.take().is_some() {
            tracing::info!(%origin, "the source answers again");
        }
        let text = warning.map(|w| Causes(w).to_string());
        if self.warning.as_ref().map(|known| &known.text) != text.as_ref() {
            if let Some(text) = &text {
                tracing::warn!(%origin, "{text}");
            }
            self.warning = text.map(|text| line(at, text));
        }
    }

    pub(super) fn trouble(&mut self, error: &SourceError, at: UnixTime) {
        self.metrics.trouble(error.reason());
        let text = Causes(error).to_string();
        if self.trouble.as_ref().is_some_and(|known| known.text == text) {
            tracing::debug!("{text}");
            return;
        }
        tracing::warn!(reason = error.reason(), "{text}");
        self.trouble = Some(line(at, text));
    }

    pub(super) fn tried(&mut self, tried: Vec<String>) {
        self.status.tried = tried;
    }

    pub(super) fn refused(&mut self, refusal: &Refusal, origin: &From, at: UnixTime) {
        self.metrics.refused(refusal.reason());
        self.status.refusals += 1;
        let text = format!("the candidate of {origin} was refused: {}", Causes(refusal));
        let about = format!("{origin} {}", about(refusal));
        if self.refused.as_ref() == Some(&about) {
            tracing::debug!("{text}");
            return;
        }
        tracing::warn!(reason = refusal.reason(), "{text}");
        self.refused = Some(about);
        self.status.refused = Some(line(at, text));
    }

    pub(super) fn in_force(
        &mut self,
        identity: &IdentitySnapshot,
        origin: &From,
        older: Option<&IdentitySnapshot>,
    ) {
        tracing::info!(
            spiffe_id = identity.id().as_str(),
            generation = identity.generation(),
            serial = identity.serial(),
            not_after = %instant(identity.not_after()),
            %origin,
            "identity in force"
        );
        if let Some(newer) = older {
            tracing::warn!(
                serial = newer.serial(),
                "the source went back to an identity that began earlier than the one before"
            );
        }
        self.metrics.generation.set(identity.generation().cast_signed());
        self.metrics
            .not_after
            .set(identity.not_after().as_secs().cast_signed());
        self.unchanged(origin);
    }

    /// The same identity, proven for another time.
    pub(super) fn retimed(&mut self, identity: &IdentitySnapshot, origin: &From) {
        tracing::info!(
            generation = identity.generation(),
            not_after = %instant(identity.not_after()),
            %origin,
            "the identity in force ends at another time, for another root vouches for it"
        );
        self.metrics
            .not_after
            .set(identity.not_after().as_secs().cast_signed());
        self.unchanged(origin);
    }

    pub(super) fn unchanged(&mut self, origin: &From) {
        self.refused = None;
        self.status.refused = None;
        self.status.restored_from = match origin {
            From::Source { .. } => None,
            From::Restored(directory) => Some(directory.clone()),
        };
    }

    pub(super) fn cleared(&mut self, identity: &IdentitySnapshot, why: &str) {
        tracing::warn!(
            spiffe_id = identity.id().as_str(),
            generation = identity.generation(),
            "the identity is no longer served: {why}"
        );
        self.metrics.generation.set(0);
        self.metrics.not_after.set(0);
        self.status.restored_from = None;
    }

    pub(super) fn not_restored(directory: &Path, error: &dyn Error) {
        tracing::info!(directory = %directory.display(), "nothing to restore: {}", Causes(error));
    }

    pub(super) fn not_restored_dev(directory: &Path) {
        tracing::warn!(
            directory = %directory.display(),
            "not restored: what was last published is for development, and the source is not dev_ca"
        );
    }

    /// Logs a turn for the worse or the better, once.
    pub(super) fn condition(&mut self, condition: &Condition) {
        if self.condition.as_ref() == Some(condition) {
            return;
        }
        match condition {
            // At the start that is the order of things; a source in trouble changes the condition, and that is a warning.
            Condition::NotReady(why) if self.condition.is_none() => {
                tracing::info!("identity is not ready yet: {why}");
            }
            Condition::Ok => tracing::info!("identity is ready"),
            Condition::Degraded(why) => tracing::warn!("identity is ready, but {why}"),
            Condition::NotReady(why) => tracing::warn!("identity is not ready: {why}"),
        }
        self.condition = Some(condition.clone());
    }

    /// Lets readers of the status see it.
    pub(super) fn publish(&mut self) {
        self.status.trouble = self.trouble.as_ref().or(self.warning.as_ref()).cloned();
        self.seen.send_replace(self.status.clone());
    }

    /// Why the source's newest candidate is not in force, why there is none, or why there may be none next time.
    pub(super) fn why(&self) -> Option<&str> {
        self.trouble
            .as_ref()
            .or(self.status.refused.as_ref())
            .or(self.warning.as_ref())
            .map(|line| line.text.as_str())
    }

    pub(super) fn restored_from(&self) -> Option<&Path> {
        self.status.restored_from.as_deref()
    }
}

/// What a refusal is about, without the time of the check, which differs poll after poll.
fn about(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Expired { not_after: when, .. }
        | Refusal::RootExpired { not_after: when, .. }
        | Refusal::NotYetValid { not_before: when, .. } => {
            format!("{} {}", refusal.reason(), when.as_secs())
        }
        other => Causes(other).to_string(),
    }
}

fn line(at: UnixTime, text: String) -> ErrorLine {
    ErrorLine {
        at: timestamp(at),
        text,
    }
}
