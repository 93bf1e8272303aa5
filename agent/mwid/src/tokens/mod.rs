//! Tokens for Google APIs.
//!
//! In: questions for access tokens and ID tokens. Out: tokens that are as narrow as was asked, from the cache or the source. Never decides who
//! may have one, never hands out one that has expired, and never one that is wider or weaker than what was asked for.

mod adc;
mod ask;
mod auto;
mod cache;
mod endpoint;
mod environment;
mod error;
mod impersonate;
mod ledger;
mod metadata;
mod metrics;
mod open;
mod supply;
#[cfg(test)]
pub(crate) mod testing;
mod token;

pub(crate) use adc::{AdcError, judge as judge_credentials};
pub(crate) use ask::{AccessAsk, Account, Binding, IdAsk, IdFormat, Scopes};
pub(crate) use cache::Tick;
pub(crate) use environment::Environment;
pub(crate) use error::{Failure, TokenError};
pub(crate) use metrics::Metrics;
pub(crate) use token::{AccessToken, AccountInfo, IdToken};

use crate::config::TokenSourceSettings;
use crate::health::Board;
use crate::health::status::TokensStatus;
use crate::http::Holder;
use crate::metadata::Server;
use crate::shutdown::Shutdown;
use cache::{Ask, Cache, Caches, Changes, Times};
use ledger::Place;
use mtls_identity::Clock;
use open::Ground;
use rustls::crypto::CryptoProvider;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use supply::Supply;

/// What a source of tokens does. Each is a file of this room.
pub(crate) trait TokenSource: Send + Sync + 'static {
    /// `metadata`, `adc`, `impersonate`, `dev`.
    fn kind(&self) -> &'static str;

    /// For one question, with all that is tried again. A source that waits for a person's program needs more.
    fn patience(&self) -> Duration {
        Duration::from_secs(35)
    }

    /// Where it asks, for the status: an address, a file, an e-mail address.
    fn place(&self) -> Option<String>;

    /// How often its credentials were found to be others: what earlier ones gave is forgotten. Asked for at each question, so it takes no time.
    fn version(&self) -> u64 {
        0
    }

    /// Where its credentials belong, if it knows that by itself.
    fn home(&self) -> AtHome<'_> {
        Box::pin(async { Home::default() })
    }

    /// A token with exactly the asked scopes, or with the account's own if none were asked. The source says no rather than give more.
    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken>;

    /// An ID token for exactly the asked audience.
    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken>;

    /// Whose tokens these are.
    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo>;
}

/// What a source answers in time.
pub(crate) type Asking<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, TokenError>> + Send + 'a>>;

/// Where credentials belong, as far as they say so themselves: they need not be those of the platform that mwid runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Home {
    /// The domain below which the APIs are.
    pub(crate) universe: Option<String>,
    pub(crate) project: Option<String>,
}

pub(crate) type AtHome<'a> = std::pin::Pin<Box<dyn Future<Output = Home> + Send + 'a>>;

/// What the room needs from the wiring.
pub(crate) struct Context<'a> {
    pub(crate) clock: Clock,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) board: &'a Board,
    pub(crate) metrics: Metrics,
    /// The platform's metadata server.
    pub(crate) server: Server,
    /// The embedded platform's, when the settings want it.
    pub(crate) dev: Option<SocketAddr>,
    /// What Google's clients look at (`GOOGLE_APPLICATION_CREDENTIALS`, HOME, …), read by the wiring.
    pub(crate) environment: Environment,
    pub(crate) shutdown: Shutdown,
}

/// The cache over one source. Cheap to clone. The default has no source: that of tests of other rooms.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    room: Option<Arc<Room>>,
    /// For whom it asks. None: for mwid itself.
    whose: Option<Holder>,
}

struct Room {
    ground: Arc<Ground>,
    times: Times,
    metrics: Metrics,
    changes: Arc<Changes>,
    place: Arc<Place>,
    shutdown: Shutdown,
    /// None: the settings want no source.
    supply: RwLock<Option<Arc<Supply>>>,
}

/// Makes the source that the settings name and the cache over it. With a named source the default token is fetched at once. Must be called
/// within the runtime. An error is one of the settings: what a source cannot do later is told by the health board and at each question.
pub(crate) fn start(settings: &TokenSourceSettings, context: Context<'_>) -> Result<Tokens, TokenError> {
    let times = Times::new(Arc::clone(&context.clock));
    let room = Room {
        ground: Arc::new(Ground {
            clock: context.clock,
            provider: context.provider,
            server: context.server,
            environment: context.environment,
        }),
        times,
        metrics: context.metrics,
        changes: Arc::default(),
        place: Place::new(Some(context.board.part(PART))),
        shutdown: context.shutdown,
        supply: RwLock::new(None),
    };
    let tokens = Tokens {
        room: Some(Arc::new(room)),
        whose: None,
    };
    let prepared = tokens.prepare(settings, context.dev)?;
    tokens.replace(prepared);
    Ok(tokens)
}

/// The name of this room's part on the health board.
const PART: &str = "tokens";

/// Another source, made and not yet in force.
pub(crate) struct Prepared {
    source: Option<Arc<dyn TokenSource>>,
    /// The settings name the source, so it has to have a token.
    is_named: bool,
}

impl Tokens {
    /// First phase of a reload: makes the source. Changes nothing. `dev` is where the embedded platform is, if the settings want it.
    pub(crate) fn prepare(
        &self,
        settings: &TokenSourceSettings,
        dev: Option<SocketAddr>,
    ) -> Result<Prepared, TokenError> {
        let Some(room) = &self.room else {
            return Err(TokenError::NoSource);
        };
        Ok(Prepared {
            source: room.ground.source(settings, dev)?,
            is_named: settings.is_named(),
        })
    }

    /// Second phase: another source from now on; its predecessor's tokens are forgotten, and its questions are dropped. Must be called within
    /// the runtime.
    pub(crate) fn replace(&self, prepared: Prepared) {
        let Some(room) = &self.room else { return };
        let supply = prepared
            .source
            .map(|source| Supply::start(room, source, prepared.is_named));
        if supply.is_none() {
            room.place.nothing_wanted();
        }
        let before = {
            let mut in_force = room.supply.write().unwrap_or_else(PoisonError::into_inner);
            room.changes.one_more();
            std::mem::replace(&mut *in_force, supply)
        };
        // Outside of the lock: its tokens are wiped.
        drop(before);
    }

    /// The same, for the questions of one user: a flood of them holds up nobody else's.
    pub(crate) fn asked_by(&self, whose: Option<Holder>) -> Self {
        Self {
            room: self.room.clone(),
            whose,
        }
    }

    /// The token if it is here and needs no waiting; if it grows old, its successor is asked for in the background.
    pub(crate) fn access_now(&self, ask: &AccessAsk) -> Option<Arc<AccessToken>> {
        self.look(|caches| caches.access.now(ask, caches.base.times.now()))
    }

    /// The same at a tick of now.
    pub(crate) fn access_at(&self, ask: &AccessAsk, tick: &Tick) -> Option<Arc<AccessToken>> {
        self.look(|caches| caches.access.now(ask, tick.moment))
    }

    /// To be asked before [`Tokens::access_at`]. None: there is no source, or the wall clock cannot tell its time.
    pub(crate) fn tick(&self) -> Option<Tick> {
        let room = self.room.as_ref()?;
        Tick::new(room.changes.now(), room.times.now())
    }

    /// An answer was given again because [`Tick::is_still`] said that it holds.
    pub(crate) fn given_again(&self) {
        if let Some(room) = &self.room {
            room.metrics.hit();
        }
    }

    /// The token, from the cache or the source. One fetch a key is in flight, whoever asks and whoever stops waiting.
    pub(crate) async fn access(&self, ask: &AccessAsk) -> Result<Arc<AccessToken>, TokenError> {
        self.ask(ask, |caches| &caches.access).await
    }

    /// The same for ID tokens.
    pub(crate) fn id_now(&self, ask: &IdAsk) -> Option<Arc<IdToken>> {
        self.look(|caches| caches.id.now(ask, caches.base.times.now()))
    }

    pub(crate) async fn id(&self, ask: &IdAsk) -> Result<Arc<IdToken>, TokenError> {
        self.ask(ask, |caches| &caches.id).await
    }

    /// Whose tokens these are; remembered for as long as the source is not replaced, and asked again now and then.
    pub(crate) async fn account(&self, account: &Account) -> Result<Arc<AccountInfo>, TokenError> {
        self.ask(account, |caches| &caches.accounts).await
    }

    /// Where the credentials of the source in force belong. Asks nobody on the network.
    pub(crate) async fn home(&self) -> Home {
        let Some(supply) = self.supply() else {
            return Home::default();
        };
        let source = Arc::clone(&supply.caches.base.source);
        drop(supply);
        source.home().await
    }

    /// The source's time now: what `expires_in` is counted from.
    pub(crate) fn clock(&self) -> Clock {
        match &self.room {
            Some(room) => Arc::clone(&room.times.wall),
            None => Arc::new(rustls::time_provider::DefaultTimeProvider),
        }
    }

    pub(crate) fn status(&self) -> TokensStatus {
        let nothing = || TokensStatus {
            source: "none".to_owned(),
            ..TokensStatus::default()
        };
        let Some(room) = &self.room else { return nothing() };
        let counted = TokensStatus {
            fetches: room.metrics.fetches(),
            hits: room.metrics.hits(),
            ..nothing()
        };
        match self.supply() {
            Some(supply) => supply.status(&counted),
            None => counted,
        }
    }

    fn look<T>(&self, look: impl FnOnce(&Caches) -> Option<T>) -> Option<T> {
        let supply = self
            .room
            .as_ref()?
            .supply
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        look(&supply.as_ref()?.caches)
    }

    fn supply(&self) -> Option<Arc<Supply>> {
        let supply = self
            .room
            .as_ref()?
            .supply
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        supply.clone()
    }

    /// Asks the source in force; if it is replaced meanwhile, its successor.
    async fn ask<A: Ask>(
        &self,
        ask: &A,
        cache: fn(&Caches) -> &Arc<Cache<A>>,
    ) -> Result<Arc<A::Answer>, TokenError> {
        loop {
            let supply = self.supply().ok_or(TokenError::NoSource)?;
            // Not the supply itself: a caller who waits must not keep a replaced one alive.
            let caches = Arc::clone(&supply.caches);
            drop(supply);
            match cache(&caches).get(ask, self.whose).await {
                Err(TokenError::Stopping) if self.has_replaced(&caches) => {}
                outcome => return outcome,
            }
        }
    }

    fn has_replaced(&self, caches: &Arc<Caches>) -> bool {
        self.supply()
            .is_none_or(|supply| !Arc::ptr_eq(&supply.caches, caches))
    }
}

/// Nothing of the tokens.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
