//! One route as it is in force. In: its settings. Out: what a connection at it needs. What belongs to the name (counters, peers, rules) lives on when the
//! settings change; what belongs to the settings (TLS config, limits) is made anew.
use super::ProxyError;
use super::copiers::Copiers;
use super::decide::Again;
use super::give_back::Memory;
use super::metrics::Metrics;
use super::offers;
use super::peers::Peers;
use super::places::{First, Turns};
use super::record::Record;
use super::shares::Shares;
use super::target::{Resolver, Targets};
use crate::caller::Access;
use crate::config::{RouteSettings, Side, Target};
use mtls_identity::peer::NotAllowed;
use mtls_identity::tls::{TlsConfigError, TlsOptions, client_config, server_config};
use mtls_identity::{Clock, Peer, PeerPolicy, Reader};
use pki_types::ServerName;
use rustls::crypto::CryptoProvider;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// So many refused peers are waited for at a time; the others are closed as they are.
const MOST_PARTINGS: usize = 64;

/// What all routes share.
pub(super) struct Shared {
    pub(super) reader: Reader,
    pub(super) clock: Clock,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) access: Access,
    pub(super) metrics: Metrics,
    pub(super) names: Resolver,
    /// Told when a target goes down.
    pub(super) down: Arc<Notify>,
    pub(super) memory: Memory,
    pub(super) again: Again,
    pub(super) copiers: Copiers,
}

/// A route in force.
pub(super) struct Route {
    pub(super) settings: RouteSettings,
    pub(super) shared: Arc<Shared>,
    pub(super) named: Arc<Named>,
    /// Its own, whatever is in force under its name.
    pub(super) rules: Arc<Rules>,
    /// Set when it is about to end, or its name to lead elsewhere.
    retired: AtomicBool,
    pub(super) tls: Config,
    pub(super) targets: Targets,
    /// Of connections; those that say nothing stay at theirs until others need it.
    pub(super) slots: Arc<Turns>,
    /// Of connections to the application beyond one for each client connection, which HTTP alone has.
    pub(super) apps: Arc<Turns>,
    /// Of handshakes in flight.
    pub(super) turns: Arc<Turns>,
    /// Whose the connections of an outbound route are.
    pub(super) shares: Arc<Shares>,
    /// Asks those to come again that speak HTTP here: the route is gone, goes elsewhere, or mwid stops.
    pub(super) leave: CancellationToken,
    /// Places for those who were refused and get to read why. Apart from the others, so that strangers take none of theirs.
    pub(super) partings: Semaphore,
}

/// The TLS side's config.
pub(super) enum Config {
    Server(Arc<rustls::ServerConfig>),
    Client(Arc<rustls::ClientConfig>),
}

/// What belongs to a route's name.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) is_inbound: bool,
    pub(super) record: Record,
    pub(super) peers: Arc<Peers>,
    rules: RwLock<Arc<Rules>>,
    /// Ends all its connections.
    pub(super) over: CancellationToken,
}

/// Whom a route lets in. By default nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) peers: PeerPolicy,
    pub(super) dry_run: bool,
    pub(super) close_expired: bool,
}

/// What came of a decision.
pub(super) enum Decision {
    Allowed,
    /// Only because of `dry_run`.
    Tolerated(NotAllowed),
}

impl Route {
    /// A route by these settings. `before` is the one of the same name that is in force.
    pub(super) fn new(
        settings: RouteSettings,
        shared: &Arc<Shared>,
        before: Option<&Self>,
    ) -> Result<Self, ProxyError> {
        let rules = Arc::new(Rules::of(&settings));
        let named = before.map_or_else(
            || Named::new(&settings, shared, &rules),
            |before| Arc::clone(&before.named),
        );
        // Limits that change count those who are here; not before they are in force.
        let (slots, apps, turns, shares) = before.map_or_else(
            || {
                let (all, per_user) = bounds(&settings);
                let slots = Turns::new(settings.max_connections, First::Oldest);
                let turns = Turns::new(settings.max_handshakes, First::Newest);
                let apps = Turns::new(settings.max_connections, First::Oldest);
                (slots, apps, turns, Shares::new(all, per_user))
            },
            |before| {
                let (slots, turns) = (Arc::clone(&before.slots), Arc::clone(&before.turns));
                let apps = Arc::clone(&before.apps);
                (slots, apps, turns, Arc::clone(&before.shares))
            },
        );
        let leave = before.filter(|before| lead_alike(&settings, &before.settings));
        let leave = leave.map(|before| before.leave.clone()).unwrap_or_default();
        Ok(Self {
            tls: config(&settings, shared)?,
            targets: Targets::new(&settings, shared, before.map(|before| &before.targets)),
            shared: Arc::clone(shared),
            settings,
            named,
            rules,
            retired: AtomicBool::new(false),
            slots,
            apps,
            turns,
            shares,
            leave,
            partings: Semaphore::new(MOST_PARTINGS),
        })
    }

    /// Puts its rules and limits in force.
    pub(super) fn put_in_force(&self) {
        self.named.put_in_force(Arc::clone(&self.rules));
        self.shared.again.put_in_force(&self.settings, &self.rules);
        self.slots.resize(self.settings.max_connections);
        self.apps.resize(self.settings.max_connections);
        self.turns.resize(self.settings.max_handshakes);
        let (all, per_user) = bounds(&self.settings);
        self.shares.resize(all, per_user);
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether that is this route, changed or not. One of the other side has other peers, whatever its name.
    pub(super) fn goes_on_as(&self, settings: &RouteSettings) -> bool {
        self.settings.name == settings.name && self.is_inbound() == (settings.side == Side::Inbound)
    }

    /// Whether requests go where they went before.
    pub(super) fn leads_as(&self, before: &Self) -> bool {
        lead_alike(&self.settings, &before.settings)
    }

    /// Nobody who comes from now on is let in here.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Decides a peer who came by this route: by its rules, and by those that are in force under its name meanwhile. So nobody comes in under older ones
    /// alone, nor gets under newer ones to where an older route leads.
    pub(super) fn decide(&self, peer: &Peer) -> Result<Decision, NotAllowed> {
        let own = self.rules.decide(peer)?;
        let in_force = self.named.rules();
        if Arc::ptr_eq(&in_force, &self.rules) {
            return Ok(own);
        }
        let also = in_force.decide(peer)?;
        Ok(match own {
            Decision::Allowed => also,
            Decision::Tolerated(_) => own,
        })
    }

    pub(super) fn is_inbound(&self) -> bool {
        self.settings.side == Side::Inbound
    }

    /// A place for a connection; waits for it when all are taken.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        if let Some(slot) = self.slots.free() {
            return Ok(slot);
        }
        if self.named.record.counters.connections_full() {
            tracing::warn!(
                route = self.name(),
                "all connections (max_connections) are taken, new ones wait"
            );
        }
        self.slots.wait(Instant::now()).await
    }

    /// A place for the handshake of a connection that came then; waits for it when all are taken.
    pub(super) async fn place(&self, since: Instant) -> Result<OwnedSemaphorePermit, AcquireError> {
        if let Some(place) = self.turns.free() {
            return Ok(place);
        }
        if self.named.record.counters.handshakes_full() {
            tracing::warn!(
                route = self.name(),
                "all handshakes (max_handshakes) are taken, new ones wait"
            );
        }
        self.turns.wait(since).await
    }
}

/// How many connections there may be, and how many of one user.
fn bounds(settings: &RouteSettings) -> (usize, usize) {
    let per_user = match settings.side {
        // Its clients are no users of this machine.
        Side::Inbound => settings.max_connections,
        Side::Outbound { per_user, .. } => per_user,
    };
    (settings.max_connections, per_user)
}

fn lead_alike(one: &RouteSettings, other: &RouteSettings) -> bool {
    one.targets == other.targets && one.http == other.http && one.side == other.side
}

fn config(settings: &RouteSettings, shared: &Shared) -> Result<Config, ProxyError> {
    let (reader, provider) = (shared.reader.clone(), Arc::clone(&shared.provider));
    let clock = Clock::clone(&shared.clock);
    match settings.side {
        Side::Inbound => {
            let options = options(settings, provider, clock).on_asked_to_resume(offers::asked);
            let config = server_config(reader, &options);
            config
                .map(Config::Server)
                .map_err(|source| no_tls(settings, source))
        }
        Side::Outbound { .. } => client(settings, reader, provider, clock).map(Config::Client),
    }
}

fn options(settings: &RouteSettings, provider: Arc<CryptoProvider>, clock: Clock) -> TlsOptions {
    TlsOptions::new(provider, clock)
        .with_alpn(settings.alpn.iter().map(String::as_bytes))
        .with_tls12(settings.tls12)
}

fn no_tls(settings: &RouteSettings, source: TlsConfigError) -> ProxyError {
    ProxyError::Tls {
        route: settings.name.clone(),
        source,
    }
}

/// The config of an outbound route.
pub(super) fn client(
    settings: &RouteSettings,
    reader: Reader,
    provider: Arc<CryptoProvider>,
    clock: Clock,
) -> Result<Arc<rustls::ClientConfig>, ProxyError> {
    let config = client_config(reader, &options(settings, provider, clock));
    config.map_err(|source| no_tls(settings, source))
}

/// The name that an outbound route sends to a target.
pub(super) fn server_name(settings: &RouteSettings, target: &Target) -> ServerName<'static> {
    let said = match &settings.side {
        Side::Outbound { server_name, .. } => server_name.as_deref(),
        Side::Inbound => None,
    };
    let name = said.or(match target {
        Target::Name { host, .. } => Some(host.as_str()),
        Target::Tcp(_) | Target::Unix(_) => None,
    });
    // rustls wants a name. An address is never sent (RFC 6066, section 3), and neither is compared with the certificate.
    let nobody = || ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    name.unwrap_or_else(nobody)
}

impl Named {
    fn new(settings: &RouteSettings, shared: &Shared, rules: &Arc<Rules>) -> Arc<Self> {
        let over = CancellationToken::new();
        let named = Self {
            name: settings.name.clone(),
            is_inbound: settings.side == Side::Inbound,
            record: Record::new(shared.metrics.route(&settings.name), Clock::clone(&shared.clock)),
            peers: Peers::new(over.clone(), Arc::clone(&shared.again.ends)),
            rules: RwLock::default(),
            over,
        };
        named.put_in_force(Arc::clone(rules));
        Arc::new(named)
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts rules in force; those who are here have to be decided anew.
    pub(super) fn put_in_force(&self, rules: Arc<Rules>) {
        self.peers.watch_ends(rules.close_expired);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }
}

impl Rules {
    pub(super) fn of(settings: &RouteSettings) -> Self {
        Self {
            peers: settings.peers.clone(),
            dry_run: settings.dry_run,
            close_expired: settings.close_expired,
        }
    }

    pub(super) fn decide(&self, peer: &Peer) -> Result<Decision, NotAllowed> {
        match self.peers.decide(peer.id()) {
            Ok(()) => Ok(Decision::Allowed),
            Err(why) if self.dry_run => Ok(Decision::Tolerated(why)),
            Err(why) => Err(why),
        }
    }
}
