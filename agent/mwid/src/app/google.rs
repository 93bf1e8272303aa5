//! What local programs get for Google's APIs: the tokens, who may have them, and the API that hands them out.
//!
//! In: settings, the platform's address. Out: the three rooms, wired. Never decides anything itself.
use super::daemon::Base;
use super::{AppError, platform};
use crate::caller::{self, Access, Rules, RulesError};
use crate::config::{AccessRule, Settings, TokenSourceSettings};
use crate::dev;
use crate::http::web::Proxies;
use crate::metadata::{Client, Server};
use crate::token_server::{self, Platform};
use crate::tokens::{self, Environment, Tokens};
use mtls_identity::Clock;
use prometheus_client::registry::Registry;
use std::path::PathBuf;
use std::sync::Arc;

/// The wired rooms.
pub(super) struct Google {
    pub(super) tokens: Tokens,
    pub(super) access: Access,
    pub(super) api: Arc<token_server::Server>,
    server: Server,
    /// The embedded platform, once it was wanted; it runs as long as the daemon.
    embedded: Option<Server>,
}

/// Makes the rooms. When this returns, the embedded platform answers if the settings want it.
pub(super) async fn open(
    settings: &Settings,
    server: Server,
    base: &Base,
    registry: &mut Registry,
) -> Result<Google, AppError> {
    let caller_metrics = caller::Metrics::default();
    caller_metrics.register(registry);
    let rules = rules(settings.access.clone(), false)
        .await
        .map_err(AppError::Rules)?;
    let access = Access::new(rules, caller_metrics, Arc::clone(&base.clock));

    let embedded = embedded(&settings.tokens, base).await?;
    let token_metrics = tokens::Metrics::default();
    token_metrics.register(registry);
    let context = tokens::Context {
        clock: Arc::clone(&base.clock),
        provider: Arc::clone(&base.provider),
        board: &base.board,
        metrics: token_metrics,
        server,
        dev: embedded.map(|server| server.http),
        environment: environment(),
        shutdown: base.shutdown.clone(),
    };
    let tokens = tokens::start(&settings.tokens, context).map_err(AppError::Tokens)?;

    let api_metrics = token_server::Metrics::default();
    api_metrics.register(registry);
    let inputs = token_server::Inputs {
        tokens: tokens.clone(),
        access: access.clone(),
        platform: platform_of(&settings.tokens, embedded.unwrap_or(server)),
        metrics: api_metrics,
    };
    let api = token_server::Server::new(inputs, &base.shutdown);
    Ok(Google {
        tokens,
        access,
        api,
        server,
        embedded,
    })
}

/// Looks up the rules' names, away from the tasks: a directory of users may be slow.
pub(super) async fn rules(rules: Vec<AccessRule>, strict: bool) -> Result<Rules, RulesError> {
    let looked_up = tokio::task::spawn_blocking(move || Access::prepare(&rules, strict)).await;
    match looked_up {
        Ok(rules) => rules,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

async fn embedded(settings: &TokenSourceSettings, base: &Base) -> Result<Option<Server>, AppError> {
    if !wants_embedded(settings) {
        return Ok(None);
    }
    let address = dev::platform::start(Clock::clone(&base.clock), &base.shutdown)
        .await
        .map_err(AppError::Embedded)?;
    tracing::warn!(%address, jwks = %format_args!("http://{address}/oauth2/v3/certs"),
        "tokens come from the embedded platform: for development only, no API of Google's believes them");
    Ok(Some(platform::embedded(address)))
}

/// Whether tokens come from the embedded platform, directly or not.
fn wants_embedded(settings: &TokenSourceSettings) -> bool {
    match settings {
        TokenSourceSettings::Dev => true,
        TokenSourceSettings::Impersonate { from, .. } => wants_embedded(from),
        _ => false,
    }
}

/// Who is asked for the instance's own data: the server that the settings name, or the machine's if it is a VM of Google's.
fn platform_of(settings: &TokenSourceSettings, server: Server) -> Option<Platform> {
    let mut from = settings;
    while let TokenSourceSettings::Impersonate { from: next, .. } = from {
        from = next;
    }
    let address = match from {
        TokenSourceSettings::Metadata { address } => Some(address.unwrap_or(server.http)),
        _ => server.expected.then_some(server.http),
    };
    Some(Platform {
        client: Client::new(address?),
        is_named: settings.is_named(),
    })
}

/// What Google's clients look at to find Application Default Credentials.
pub(crate) fn environment() -> Environment {
    let path = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    };
    Environment {
        proxies: Proxies {
            https: text(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]),
            no: text(&["NO_PROXY", "no_proxy"]),
        },
        credentials: path("GOOGLE_APPLICATION_CREDENTIALS"),
        cloudsdk_config: path("CLOUDSDK_CONFIG"),
        home: path("HOME"),
        allow_executables: std::env::var_os("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES")
            .is_some_and(|value| value == "1"),
    }
}

/// Another source of tokens, made and not yet in force.
pub(super) struct NewTokens {
    source: tokens::Prepared,
    platform: Option<Platform>,
}

impl Google {
    /// First phase of a reload. Starts the embedded platform if it is wanted for the first time; changes nothing else.
    pub(super) async fn prepare(
        &mut self,
        settings: &TokenSourceSettings,
        base: &Base,
    ) -> Result<NewTokens, AppError> {
        if self.embedded.is_none() {
            self.embedded = embedded(settings, base).await?;
        }
        let embedded = self.embedded.filter(|_| wants_embedded(settings));
        let source = self
            .tokens
            .prepare(settings, embedded.map(|server| server.http))
            .map_err(AppError::Tokens)?;
        Ok(NewTokens {
            source,
            platform: platform_of(settings, embedded.unwrap_or(self.server)),
        })
    }

    /// Second phase: other tokens from now on.
    pub(super) fn apply(&self, new: NewTokens) {
        self.tokens.replace(new.source);
        self.api.replace_platform(new.platform);
    }
}
