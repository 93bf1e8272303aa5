//! Makes the source that the settings name. In: settings, and what sources stand on. Out: a source. Never asks one, never loads root
//! certificates before somebody asks: an idle daemon has none.
use super::metadata::Source;
use super::{Environment, TokenError, TokenSource, adc, auto, impersonate};
use crate::config::TokenSourceSettings;
use crate::http::web;
use crate::metadata;
use mtls_identity::Clock;
use rustls::crypto::CryptoProvider;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What sources stand on, for as long as the daemon runs.
pub(super) struct Ground {
    pub(super) clock: Clock,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) server: metadata::Server,
    pub(super) environment: Environment,
}

impl Ground {
    /// `dev` is where the embedded platform is. None: the settings want no source.
    pub(super) fn source(
        self: &Arc<Self>,
        settings: &TokenSourceSettings,
        dev: Option<SocketAddr>,
    ) -> Result<Option<Arc<dyn TokenSource>>, TokenError> {
        Ok(Some(match settings {
            TokenSourceSettings::None => return Ok(None),
            TokenSourceSettings::Auto => Arc::new(auto::Source::new(self)),
            TokenSourceSettings::Metadata { address } => {
                self.metadata(address.unwrap_or(self.server.http), "metadata")
            }
            TokenSourceSettings::Dev => self.metadata(dev.ok_or(TokenError::NoDevPlatform)?, "dev"),
            TokenSourceSettings::Adc { file } => self.adc(file.clone()),
            TokenSourceSettings::Impersonate {
                email,
                delegates,
                from,
                endpoint,
            } => {
                let from = self.source(from, dev)?.ok_or(TokenError::NoSource)?;
                self.impersonate(email, delegates, endpoint.as_deref(), from)?
            }
        }))
    }

    pub(super) fn metadata(&self, server: SocketAddr, kind: &'static str) -> Arc<dyn TokenSource> {
        let client = metadata::Client::new(server);
        Arc::new(Source::new(client, kind, Arc::clone(&self.clock)))
    }

    pub(super) fn adc(&self, file: Option<PathBuf>) -> Arc<dyn TokenSource> {
        let clock = Arc::clone(&self.clock);
        Arc::new(adc::Source::open(file, &self.environment, self.web(), clock))
    }

    fn impersonate(
        &self,
        email: &str,
        delegates: &[String],
        endpoint: Option<&str>,
        from: Arc<dyn TokenSource>,
    ) -> Result<Arc<dyn TokenSource>, TokenError> {
        let clock = Arc::clone(&self.clock);
        let source = impersonate::Source::new(email, delegates, endpoint, from, self.web(), clock)?;
        Ok(Arc::new(source))
    }

    /// Reads nothing yet.
    fn web(&self) -> web::Client {
        let (provider, clock) = (Arc::clone(&self.provider), Arc::clone(&self.clock));
        web::Client::new(provider, clock, &self.environment.proxies, web::Roots::System)
    }
}
