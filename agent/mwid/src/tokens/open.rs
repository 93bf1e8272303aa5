//! Makes the source that the settings name. In: settings, and what sources stand on. Out: a source. Never asks one, never loads root
//! certificates before somebody asks: an idle daemon has none.
use super::metadata::Source;
use super::{Environment, TokenError, TokenSource};
use crate::config::TokenSourceSettings;
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
    /// `dev` is where the embedded platform is. None: the settings want no source, or `auto`, which looks for one when it is asked.
    pub(super) fn source(
        &self,
        settings: &TokenSourceSettings,
        dev: Option<SocketAddr>,
    ) -> Result<Option<Arc<dyn TokenSource>>, TokenError> {
        Ok(Some(match settings {
            TokenSourceSettings::None | TokenSourceSettings::Auto => return Ok(None),
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
                self.impersonate(email, delegates, endpoint.as_deref(), from)
            }
        }))
    }

    pub(super) fn metadata(&self, server: SocketAddr, kind: &'static str) -> Arc<dyn TokenSource> {
        let client = metadata::Client::new(server);
        Arc::new(Source::new(client, kind, Arc::clone(&self.clock)))
    }

    /// Seam: `adc::Source::open(file, &environment, web, clock)`.
    pub(super) fn adc(&self, file: Option<PathBuf>) -> Arc<dyn TokenSource> {
        let (_file, _environment, _provider, _clock) = (file, &self.environment, &self.provider, &self.clock);
        todo!("Arc::new(adc::Source::open(file, environment, web, clock))")
    }

    /// Seam: `impersonate::Source::new(email, delegates, endpoint, from, web, clock)`.
    fn impersonate(
        &self,
        _email: &str,
        _delegates: &[String],
        _endpoint: Option<&str>,
        _from: Arc<dyn TokenSource>,
    ) -> Arc<dyn TokenSource> {
        let (_provider, _clock) = (&self.provider, &self.clock);
        todo!("Arc::new(impersonate::Source::new(email, delegates, endpoint, from, web, clock))")
    }
}
