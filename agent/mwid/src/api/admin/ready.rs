//! Readiness, decided anew for each question. In: the board, the identity, the time. Out: yes or no, with reasons. Never cached.
use super::Inputs;
use crate::health::Condition;
use mtls_identity::UnixTime;
use serde::{Deserialize, Serialize};

/// Whether the daemon is good enough to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Readiness {
    pub(crate) ready: bool,
    /// `part: reason`, for each part that does not work.
    pub(crate) reasons: Vec<String>,
    /// `part: reason`, for each part that works but should be looked at.
    pub(crate) degraded: Vec<String>,
}

impl Readiness {
    pub(super) fn now(inputs: &Inputs) -> Self {
        let (mut reasons, mut degraded) = (Vec::new(), Vec::new());
        for (part, condition) in inputs.board.conditions() {
            match condition {
                Condition::Ok => {}
                Condition::Degraded(why) => degraded.push(format!("{part}: {why}")),
                Condition::NotReady(why) => reasons.push(format!("{part}: {why}")),
            }
        }
        // Time passes also while the part that watches it hangs.
        if reasons.is_empty()
            && let Some(identity) = inputs.identity.current()
            && is_over(identity.not_after(), inputs)
        {
            reasons.push(format!(
                "identity: expired at {}",
                crate::health::status::timestamp(identity.not_after())
            ));
        }
        Self {
            ready: reasons.is_empty(),
            reasons,
            degraded,
        }
    }

    /// One reason a line.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if self.ready {
            text.push_str("ready\n");
        }
        for reason in &self.reasons {
            text.push_str(&format!("{reason}\n"));
        }
        for reason in &self.degraded {
            text.push_str(&format!("degraded: {reason}\n"));
        }
        text
    }
}

/// A clock that cannot tell the time proves nothing valid.
pub(super) fn is_over(not_after: UnixTime, inputs: &Inputs) -> bool {
    inputs.clock.current_time().is_none_or(|now| now > not_after)
}
