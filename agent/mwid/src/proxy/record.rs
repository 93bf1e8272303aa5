//! The record of connections: a line for each, and the newest refusal for the status. In: how connections ended, or why there was none. Out: log
//! lines (target `mwid::proxy`) and counters. Never more lines about strangers than can be read: what no line tells of is counted in the next.
use super::metrics::Counters;
use super::refusal::{End, Refusal};
use crate::config::Target;
use crate::health::status::{ErrorLine, timestamp};
use crate::report::Causes;
use mtls_identity::peer::NotAllowed;
use mtls_identity::{Clock, Peer};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many lines about refusals in so much time.
const MOST: u32 = 20;
const IN: Duration = Duration::from_secs(1);

/// What is written of one route.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) counters: Counters,
    clock: Clock,
    last: Mutex<Option<ErrorLine>>,
    /// Of a request.
    last_request: Mutex<Option<ErrorLine>>,
    lines: Mutex<Lines>,
    /// About clients that asked to resume: they crowd out none about refusals.
    lines_not_resumed: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

/// What is known of a connection.
pub(super) struct Facts<'a> {
    pub(super) route: &'a str,
    /// Of who connected; none on a Unix socket.
    pub(super) from: Option<SocketAddr>,
    /// Where it came to, as a load balancer says; none where none does.
    pub(super) to: Option<SocketAddr>,
    pub(super) since: Instant,
}

/// What a connection has moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    /// Plain bytes of the peer.
    pub(super) received: u64,
    /// Plain bytes for the peer.
    pub(super) sent: u64,
    /// Where requests are told apart.
    pub(super) requests: Option<u64>,
}

impl Record {
    pub(super) fn new(counters: Counters, clock: Clock) -> Self {
        Self {
            counters,
            clock,
            last: Mutex::default(),
            last_request: Mutex::default(),
            lines: Mutex::default(),
            lines_not_resumed: Mutex::default(),
        }
    }

    pub(super) fn ended(&self, facts: &Facts<'_>, peer: &Peer, moved: Moved, end: &End) {
        let reason = end.reason();
        self.counters.ended(reason);
        // Building the line costs more than the rest of this: not where nobody reads it.
        if !tracing::enabled!(target: "mwid::proxy", tracing::Level::INFO) {
            return;
        }
        tracing::info!(
            target: "mwid::proxy",
            route = facts.route,
            peer = %peer.id(),
            serial = peer.serial(),
            from = facts.from.map(tracing::field::display),
            received = moved.received,
            sent = moved.sent,
            requests = moved.requests,
            duration_ms = u64::try_from(facts.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            reason,
            detail = end.detail(),
            "connection ended"
        );
    }

    pub(super) fn refused(&self, facts: &Facts<'_>, peer: Option<&Peer>, refusal: &Refusal) {
        let reason = refusal.reason();
        self.counters.refused(reason);
        let text = Causes(refusal).to_string();
        self.keep(&self.last, reason, &text);
        let Some(left_out) = self.lines().say(Instant::now()) else {
            return;
        };
        tracing::warn!(
            target: "mwid::proxy",
            route = facts.route,
            peer = peer.map(|peer| tracing::field::display(peer.id())),
            serial = peer.map(Peer::serial),
            from = facts.from.map(tracing::field::display),
            duration_ms = u64::try_from(facts.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            reason,
            left_out = (left_out > 0).then_some(left_out),
            "connection refused: {text}"
        );
    }

    /// A client that asked to resume a session: what it gets is a full handshake, in which it has to show its certificate.
    pub(super) fn not_resumed(&self, facts: &Facts<'_>) {
        self.counters.not_resumed.inc();
        let lines = self.lines_not_resumed.lock();
        let said = lines.unwrap_or_else(PoisonError::into_inner).say(Instant::now());
        let Some(left_out) = said else { return };
        tracing::info!(
            target: "mwid::proxy",
            route = facts.route,
            from = facts.from.map(tracing::field::display),
            reason = "resumption",
            left_out = (left_out > 0).then_some(left_out),
            "resumption refused: the session is none of ours, for there are none; a full handshake is done"
        );
    }

    /// A target that failed; the connection goes on to the next one.
    pub(super) fn passed_over(
        &self,
        facts: &Facts<'_>,
        target: &Target,
        peer: Option<&Peer>,
        refusal: &Refusal,
    ) {
        let reason = refusal.reason();
        self.counters.passed_over(reason);
        let Some(left_out) = self.lines().say(Instant::now()) else {
            return;
        };
        tracing::warn!(
            target: "mwid::proxy",
            route = facts.route,
            to = %target,
            peer = peer.map(|peer| tracing::field::display(peer.id())),
            serial = peer.map(Peer::serial),
            reason,
            left_out = (left_out > 0).then_some(left_out),
            "the next target is tried: {}",
            Causes(refusal)
        );
    }

    /// A peer that was let in by `dry_run` alone.
    pub(super) fn would_refuse(&self, facts: &Facts<'_>, peer: &Peer, why: &NotAllowed) {
        let reason = why.reason();
        self.counters.would_refuse(reason);
        let Some(left_out) = self.lines().say(Instant::now()) else {
            return;
        };
        tracing::warn!(
            target: "mwid::proxy",
            route = facts.route,
            peer = %peer.id(),
            serial = peer.serial(),
            from = facts.from.map(tracing::field::display),
            reason,
            left_out = (left_out > 0).then_some(left_out),
            "dry run: without dry_run this connection would be refused: {why}"
        );
    }

    /// A peer whose live connections `dry_run` alone keeps.
    pub(super) fn would_end(&self, route: &str, peer: &Peer, why: &NotAllowed) {
        let reason = why.reason();
        self.counters.would_refuse(reason);
        let Some(left_out) = self.lines().say(Instant::now()) else {
            return;
        };
        tracing::warn!(
            target: "mwid::proxy",
            route,
            peer = %peer.id(),
            serial = peer.serial(),
            reason,
            left_out = (left_out > 0).then_some(left_out),
            "dry run: without dry_run the connections of this peer would be ended: {why}"
        );
    }

    fn keep(&self, last: &Mutex<Option<ErrorLine>>, reason: &str, text: &str) {
        let at = self.clock.current_time().map(timestamp).unwrap_or_default();
        let text = format!("{reason}: {text}");
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(ErrorLine { at, text });
    }

    /// A request that we refused. What it was is the peer's to choose, and not told.
    pub(super) fn unfit(&self, route: &str, peer: &Peer, reason: &'static str, text: &str) {
        self.counters.unfit(reason);
        self.keep(&self.last_request, reason, text);
        let Some(left_out) = self.lines().say(Instant::now()) else {
            return;
        };
        tracing::warn!(
            target: "mwid::proxy",
            route,
            peer = %peer.id(),
            serial = peer.serial(),
            reason,
            left_out = (left_out > 0).then_some(left_out),
            "request refused: {text}"
        );
    }

    /// A request that the application did not answer.
    pub(super) fn no_answer(&self, route: &str, reason: &'static str, text: &str) {
        self.counters.no_answer(reason);
        self.keep(&self.last_request, reason, text);
        let Some(left_out) = self.lines().say(Instant::now()) else {
            return;
        };
        tracing::warn!(
            target: "mwid::proxy",
            route,
            reason,
            left_out = (left_out > 0).then_some(left_out),
            "no answer from the application: {text}"
        );
    }

    pub(super) fn last_refusal(&self) -> Option<ErrorLine> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn last_request(&self) -> Option<ErrorLine> {
        let last = self.last_request.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// With a number, write a line; so many were left out before it.
    fn say(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now >= since + IN) {
            self.since = Some(now);
            self.written = 0;
        }
        if self.written == MOST {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_has_few_lines_and_all_are_counted() {
        let mut lines = Lines::default();
        let said = (0..1000).filter(|_| lines.say(Instant::now()).is_some()).count();
        assert_eq!(said, MOST as usize);
        tokio::time::advance(IN).await;
        assert_eq!(lines.say(Instant::now()), Some(1000 - u64::from(MOST)));
        assert_eq!(lines.say(Instant::now()), Some(0));
    }
}
