//! Tokens for Google APIs.
//!
//! In: questions for access tokens and ID tokens. Out: tokens that are as narrow as was asked, from the cache or the source. Never decides who
//! may have one, never hands out one that has expired, and never one that is wider or weaker than what was asked for.

mod adc;
mod ask;
mod endpoint;
mod error;
mod impersonate;
mod metadata;
mod open;
mod token;

pub(crate) use ask::{AccessAsk, Account, Binding, IdAsk, IdFormat, Scopes};
pub(crate) use error::{Failure, TokenError};
pub(crate) use token::{AccessToken, AccountInfo, IdToken};

use crate::health::Board;
use crate::health::status::TokensStatus;
use crate::http::web;
use crate::metadata::Server;
use crate::shutdown::Shutdown;
use mtls_identity::Clock;
use prometheus_client::registry::Registry;
use rustls::crypto::CryptoProvider;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::TokenSourceSettings;

/// What a source of tokens does. Each is a file of this room.
pub(crate) trait TokenSource: Send + Sync + 'static {
    /// `metadata`, `adc`, `impersonate`, `dev`.
    fn kind(&self) -> &'static str;

    /// Where it asks, for the status: an address, a file, an e-mail address.
    fn place(&self) -> Option<String>;

    /// A token with exactly the asked scopes, or with the account's own if none were asked. The source says no rather than give more.
    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken>;

    /// An ID token for exactly the asked audience.
    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken>;

    /// Whose tokens these are.
    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo>;
}

/// What a source answers in time.
pub(crate) type Asking<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, TokenError>> + Send + 'a>>;

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

/// The environment as far as Application Default Credentials look at it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `GOOGLE_APPLICATION_CREDENTIALS`.
    pub(crate) credentials: Option<std::path::PathBuf>,
    /// `CLOUDSDK_CONFIG`.
    pub(crate) cloudsdk_config: Option<std::path::PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<std::path::PathBuf>,
    /// `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES` is `1`.
    pub(crate) allow_executables: bool,
    /// The way out to the web.
    pub(crate) proxies: web::Proxies,
}

impl Environment {
    /// Where `gcloud auth application-default login` leaves its file. None without a home.
    pub(crate) fn well_known(&self) -> Option<std::path::PathBuf> {
        let directory = match (&self.cloudsdk_config, &self.home) {
            (Some(directory), _) => directory.clone(),
            (None, Some(home)) => home.join(".config/gcloud"),
            (None, None) => return None,
        };
        Some(directory.join("application_default_credentials.json"))
    }
}

/// The cache over one source. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {}

/// What this room counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {}

impl Metrics {
    /// Registers everything that this room counts.
    pub(crate) fn register(&self, _registry: &mut Registry) {
        todo!()
    }
}

/// Makes the source that the settings name and the cache over it. With a named source the default token is fetched at once. Must be called
/// within the runtime. An error is one of the settings: what a source cannot do later is told by the health board and at each question.
pub(crate) fn start(_settings: &TokenSourceSettings, _context: Context<'_>) -> Result<Tokens, TokenError> {
    todo!()
}

/// Another source, made and not yet in force.
pub(crate) struct Prepared {}

impl Tokens {
    /// First phase of a reload: makes the source. Changes nothing. `dev` is where the embedded platform is, if the settings want it.
    pub(crate) fn prepare(
        &self,
        _settings: &TokenSourceSettings,
        _dev: Option<SocketAddr>,
    ) -> Result<Prepared, TokenError> {
        todo!()
    }

    /// Second phase: another source from now on; its predecessor's tokens are forgotten, and its questions are dropped.
    pub(crate) fn replace(&self, _prepared: Prepared) {
        todo!()
    }

    /// Over a source of a test's own.
    #[cfg(test)]
    pub(crate) fn over(_source: Arc<dyn TokenSource>, _clock: Clock) -> Self {
        todo!()
    }

    /// The token if it is here and needs no waiting; if it grows old, its successor is asked for in the background.
    pub(crate) fn access_now(&self, _ask: &AccessAsk) -> Option<Arc<AccessToken>> {
        todo!()
    }

    /// The token, from the cache or the source. One fetch a key is in flight, whoever asks and whoever stops waiting.
    pub(crate) async fn access(&self, _ask: &AccessAsk) -> Result<Arc<AccessToken>, TokenError> {
        todo!()
    }

    /// The same for ID tokens.
    pub(crate) fn id_now(&self, _ask: &IdAsk) -> Option<Arc<IdToken>> {
        todo!()
    }

    pub(crate) async fn id(&self, _ask: &IdAsk) -> Result<Arc<IdToken>, TokenError> {
        todo!()
    }

    /// Whose tokens these are; remembered for as long as the source is not replaced, and asked again now and then.
    pub(crate) async fn account(&self, _account: &Account) -> Result<Arc<AccountInfo>, TokenError> {
        todo!()
    }

    /// The source's time now: what `expires_in` is counted from.
    pub(crate) fn clock(&self) -> Clock {
        todo!()
    }

    pub(crate) fn status(&self) -> TokensStatus {
        TokensStatus::default()
    }
}
