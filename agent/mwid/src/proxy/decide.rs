//! Decides those who are here again. In: rules, roots and routes that changed, a clock that was set, the end of a peer's certificate. Out: a word to exactly
//! those who may no longer. What is cheap, rules and times, is asked of all before the first chain is looked at, which is as dear as in a handshake.
use super::DRAIN;
use super::peers::{Ends, Known, NONE};
use super::route::{Decision, Named, Route, Rules, Shared};
use crate::clock::ClockJumps;
use crate::config::{RouteSettings, Side};
use mtls_identity::tls::{NoLonger, Redecide, RootsTaken};
use mtls_identity::{Peer, Reader, TrustBundles, UnixTime};
use rustls::crypto::CryptoProvider;
use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// So long it is decided before the others of this thread have their turn.
const TURN: Duration = Duration::from_millis(1);
/// The longest sleep: a clock that runs slow or fast is heard of by then.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What it takes to decide again, for all routes.
pub(super) struct Again {
    /// One for all, so that an issuer is read once.
    redecide: Redecide,
    pub(super) ends: Arc<Ends>,
    /// Routes that are gone, while connections of theirs may go on.
    draining: Mutex<Vec<Arc<Named>>>,
    /// How often nothing was left to be decided.
    #[cfg(test)]
    pub(super) rests: std::sync::atomic::AtomicU64,
}

impl Again {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self {
            redecide: Redecide::new(provider),
            ends: Arc::default(),
            draining: Mutex::default(),
            #[cfg(test)]
            rests: std::sync::atomic::AtomicU64::default(),
        }
    }

    /// Goes on deciding about the connections of a route that is gone, until [`Again::is_over`].
    pub(super) fn drains(&self, named: &Arc<Named>) {
        self.draining().push(Arc::clone(named));
    }

    pub(super) fn is_over(&self, named: &Arc<Named>) {
        self.draining().retain(|other| !Arc::ptr_eq(other, named));
    }

    /// The rules of a name that is in use again: they hold for those too who came by it before.
    pub(super) fn put_in_force(&self, settings: &RouteSettings, rules: &Arc<Rules>) {
        let inbound = settings.side == Side::Inbound;
        let is_it = |named: &&Arc<Named>| named.name == settings.name && named.is_inbound == inbound;
        for named in self.draining().iter().filter(is_it) {
            named.put_in_force(Arc::clone(rules));
        }
    }

    /// Nothing in here panics half way.
    fn draining(&self) -> MutexGuard<'_, Vec<Arc<Named>>> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides again whenever something changed, until mwid has stopped and the last connections had their time. Nobody waits for this: it ends with the
/// process.
pub(super) fn whenever_it_changes(
    shared: Arc<Shared>,
    routes: watch::Receiver<Vec<Arc<Route>>>,
    jumps: ClockJumps,
    stop: CancellationToken,
) {
    let changes = Changes {
        reader: shared.reader.clone(),
        routes,
        jumps,
    };
    tokio::spawn(async move {
        let drained = async {
            stop.cancelled().await;
            sleep(DRAIN).await;
        };
        tokio::select! {
            () = drained => {}
            never = decide(shared, changes) => match never {},
        }
    });
}

/// A peer who is here, and by which route.
pub(super) type Here = (Arc<Named>, Arc<Known>);

/// Of one generation.
#[derive(Default)]
pub(super) struct Roots {
    pub(super) generation: u64,
    pub(super) bundles: TrustBundles,
}

impl Roots {
    fn now(shared: &Shared) -> Self {
        shared
            .reader
            .current()
            .map_or_else(Self::default, |identity| Self {
                generation: identity.generation(),
                bundles: identity.bundles().clone(),
            })
    }
}

struct Changes {
    routes: watch::Receiver<Vec<Arc<Route>>>,
    reader: Reader,
    jumps: ClockJumps,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Rules,
    Roots,
    Clock,
    /// A peer's certificate is over.
    End,
}

impl Changes {
    /// Returns with the next one; can be cancelled without loss. Whoever tells of one kind may be gone, as when mwid stops; the others are told of still.
    async fn next(&mut self, shared: &Shared) -> Change {
        tokio::select! {
            Ok(()) = self.routes.changed() => Change::Rules,
            Some(_) = self.reader.changed() => Change::Roots,
            () = self.jumps.next() => Change::Clock,
            () = an_end(shared) => Change::End,
        }
    }
}

/// Returns when the first certificate is over whose end is waited for.
async fn an_end(shared: &Shared) {
    let ends = &shared.again.ends;
    loop {
        let left = ends.first().zip(shared.clock.current_time());
        // One more second: until the last one is over.
        let left = left.map(|(first, now)| (first.as_secs() + 1).saturating_sub(now.as_secs()));
        match left {
            Some(0) => return,
            Some(left) => tokio::select! {
                () = sleep(Duration::from_secs(left).min(LONGEST)) => {}
                () = ends.earlier() => {}
            },
            None => ends.earlier().await,
        }
    }
}

async fn decide(shared: Arc<Shared>, mut changes: Changes) -> std::convert::Infallible {
    // Whose chains are to be looked at still. What changes meanwhile is heard at once: a rule need not wait for chains.
    let mut chains = Vec::new();
    let mut roots = Roots::default();
    loop {
        #[cfg(test)]
        if chains.is_empty() {
            shared
                .again
                .rests
                .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        let change = tokio::select! {
            biased;
            change = changes.next(&shared) => change,
            () = look_at(&mut chains, &shared), if !chains.is_empty() => continue,
        };
        let all = all(&changes.routes.borrow_and_update(), &shared);
        let held = decide_by_rules(&all, &shared).await;
        // Rules and ends change nothing of what roots say.
        if matches!(change, Change::Roots | Change::Clock) {
            let new = Roots::now(&shared);
            chains = match change {
                Change::Roots => concerned(held, &roots, &new).await,
                // The look that each is owed now is not to be saved by another change.
                _ => held
                    .into_iter()
                    .inspect(|(_, known)| known.is_vouched_by(NONE))
                    .collect(),
            };
            // The last is looked at first: whoever sends many certificates, to make this dear, waits for the others.
            chains.sort_by_cached_key(|(_, known)| Reverse(known.peer.chain().len()));
            roots = new;
        }
    }
}

/// Those whose chains are to be looked at: who was vouched for under the roots before, and lost none, is as before.
pub(super) async fn concerned(held: Vec<Here>, before: &Roots, now: &Roots) -> Vec<Here> {
    let taken = RootsTaken::between(&before.bundles, &now.bundles);
    let mut concerned = Vec::new();
    let mut since = Instant::now();
    for (named, known) in held {
        // With `close_expired` the end of a root counts too.
        let holds = !named.rules().close_expired
            && known.was_vouched_by(before.generation)
            && !taken.may_concern(&known.peer);
        if holds {
            known.is_vouched_by(now.generation);
        } else {
            concerned.push((named, known));
        }
        if since.elapsed() >= TURN {
            tokio::task::yield_now().await;
            since = Instant::now();
        }
    }
    concerned
}

fn all(routes: &[Arc<Route>], shared: &Shared) -> Vec<Arc<Named>> {
    let in_force = routes.iter().map(|route| Arc::clone(&route.named));
    let draining = shared.again.draining();
    in_force.chain(draining.iter().cloned()).collect()
}

/// Sends those away whom rules and times of now do not let in, and returns the others.
async fn decide_by_rules(all: &[Arc<Named>], shared: &Shared) -> Vec<Here> {
    let mut held = Vec::new();
    let mut since = Instant::now();
    let now = shared.clock.current_time();
    shared.again.ends.forget();
    for named in all {
        let rules = named.rules();
        for known in named.peers.here() {
            match by_rules(&rules, &known.peer, now) {
                Ok(decision) => {
                    named.tell(&known, &decision);
                    if rules.close_expired {
                        shared.again.ends.add(known.peer.not_after());
                    }
                    held.push((Arc::clone(named), known));
                }
                Err(why) => named.peers.send_away(&known, why),
            }
            if since.elapsed() >= TURN {
                tokio::task::yield_now().await;
                since = Instant::now();
            }
        }
    }
    held
}

fn by_rules(rules: &Rules, peer: &Peer, now: Option<UnixTime>) -> Result<Decision, NoLonger> {
    if rules.close_expired && now.is_some_and(|now| now > peer.not_after()) {
        return Err(NoLonger::Valid {
            id: peer.id().clone(),
            not_after: peer.not_after(),
        });
    }
    Ok(rules.decide(peer)?)
}

/// Sends those of these away whom the roots of now do not vouch for. Cancelled, it goes on where it was.
async fn look_at(chains: &mut Vec<Here>, shared: &Shared) {
    while !chains.is_empty() {
        let since = Instant::now();
        while since.elapsed() < TURN
            && let Some((named, known)) = chains.pop()
        {
            named.look_at_chain(&known, shared);
        }
        tokio::task::yield_now().await;
    }
}

impl Named {
    /// Decides one who is here, by all there is; it is sent away if it may no longer.
    pub(super) fn decide_again(&self, known: &Arc<Known>, shared: &Shared) {
        match by_rules(&self.rules(), &known.peer, shared.clock.current_time()) {
            Ok(_) => self.look_at_chain(known, shared),
            Err(why) => self.peers.send_away(known, why),
        }
    }

    fn look_at_chain(&self, known: &Arc<Known>, shared: &Shared) {
        let (Some(identity), Some(now)) = (shared.reader.current(), shared.clock.current_time()) else {
            // Without roots there is nothing to decide by; new handshakes fail, live connections go on.
            return;
        };
        let redecide = shared.again.redecide.clone();
        let redecide = redecide.closing_expired(self.rules().close_expired);
        match redecide.trust(&known.peer, identity.bundles(), now) {
            Ok(()) => known.is_vouched_by(identity.generation()),
            Err(why) => self.peers.send_away(known, why),
        }
    }

    /// Of one whom `dry_run` alone keeps here: once, and again when there is another reason.
    fn tell(&self, known: &Known, decision: &Decision) {
        let tolerated = match decision {
            Decision::Allowed => None,
            Decision::Tolerated(why) => Some(why),
        };
        if known.is_news(tolerated)
            && let Some(why) = tolerated
        {
            self.record.would_end(&self.name, &known.peer, why);
        }
    }
}
