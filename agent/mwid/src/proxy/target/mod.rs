//! The targets of a route. In: the list of the file, what came of each dial. Out: a connection to one of them, or why there is none.
//!
//! New connections go to the target that is up and has the least open ones of this route, and by turns where that is even. TCP sessions are long and of
//! different lengths, so that taking turns alone leaves a target that came back empty, and heaps sessions up at another; the count evens that out by
//! itself. A target whose dial fails (on outbound routes also: whose handshake fails, or who is somebody else) is set aside and comes last from then on.
//! `look` sees when it is back; the connection itself goes on to the next one, for nothing of it was sent yet. Those that are set aside are tried all the same when no other one answers.
mod attempts;
mod dial;
mod eyeballs;
mod look;
mod member;
mod names;

pub(super) use attempts::Attempts;
pub(super) use look::look_after;
pub(super) use member::Chosen;
pub(super) use names::Resolver;

use super::refusal::Refusal;
use super::route::Shared;
use crate::config::{RouteSettings, Target};
use crate::health::status::TargetStatus;
use crate::http::Stream;
use member::Member;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// The targets of one route.
pub(super) struct Targets {
    /// Never empty.
    members: Vec<Arc<Member>>,
    turn: AtomicUsize,
}

impl Targets {
    /// Those of `before` that stay keep their health.
    pub(super) fn new(settings: &RouteSettings, shared: &Shared, before: Option<&Self>) -> Self {
        let stays = |target: &Target| {
            let before = before?.members.iter();
            before
                .into_iter()
                .find(|member| member.target == *target)
                .cloned()
        };
        let members = settings.targets.iter();
        let members = members
            .map(|target| stays(target).unwrap_or_else(|| Member::new(&settings.name, target, shared)));
        Self {
            members: members.collect(),
            turn: AtomicUsize::new(0),
        }
    }

    /// In the order in which a new connection tries them.
    fn order(&self) -> Vec<Arc<Member>> {
        let mut order = self.members.clone();
        if order.len() > 1 {
            let first = self.turn.fetch_add(1, Ordering::Relaxed) % order.len();
            order.rotate_left(first);
            // Stable: those that are even stay by turns.
            order.sort_by_cached_key(|member| (!member.is_up(), member.open()));
        }
        order
    }

    /// They are those of a route in force from now on.
    pub(super) fn show(&self) {
        self.members.iter().for_each(|member| member.show());
    }

    /// They are no longer, but for those that are among `others`.
    pub(super) fn hide_but(&self, others: Option<&Self>) {
        let stays = |member: &Arc<Member>| {
            others.is_some_and(|others| others.members.iter().any(|other| Arc::ptr_eq(other, member)))
        };
        let gone = self.members.iter().filter(|member| !stays(member));
        gone.for_each(|member| member.hide());
    }

    pub(super) fn status(&self) -> Vec<TargetStatus> {
        self.members.iter().map(|member| member.status()).collect()
    }
}

async fn connect(member: &Member, within: Duration) -> Result<Stream, Refusal> {
    let connecting = dial::connect(&member.target, member.name.as_ref());
    let Ok((connected, stale)) = timeout(within, connecting).await else {
        return Err(Refusal::ConnectTimeout {
            target: member.target.to_string(),
            after: within,
        });
    };
    if stale {
        member.uses_old_addresses();
    }
    connected
}

/// Connects to one target alone, for a look from outside.
pub(super) async fn try_one(target: &Target, within: Duration) -> Result<Stream, Refusal> {
    let name = match target {
        Target::Name { host, .. } => Some(Resolver::system().name(host)),
        Target::Tcp(_) | Target::Unix(_) => None,
    };
    match timeout(within, dial::connect(target, name.as_ref())).await {
        Ok((connected, _)) => connected,
        Err(_elapsed) => Err(Refusal::ConnectTimeout {
            target: target.to_string(),
            after: within,
        }),
    }
}
