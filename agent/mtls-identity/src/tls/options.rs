//! What a caller chooses about TLS. In: provider, clock, ALPN, versions. Out: what the rustls builders want, checked.
//! Never takes or sets a provider for the whole process.

use super::resumption::Hook;
use crate::Clock;
use rustls::crypto::CryptoProvider;
use rustls::{NamedGroup, ProtocolVersion, SupportedProtocolVersion};
use std::sync::Arc;

/// The choices for [`server_config`](super::server_config) and [`client_config`](super::client_config).
#[derive(Clone, Debug)]
pub struct TlsOptions {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) clock: Clock,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) tls12: bool,
    pub(super) asked_to_resume: Option<Hook>,
}

impl TlsOptions {
    /// TLS 1.3 only, no ALPN.
    ///
    /// Each validity is judged by `clock`; `Arc::new(rustls::time_provider::DefaultTimeProvider)` is the system's.
    pub fn new(provider: Arc<CryptoProvider>, clock: Clock) -> Self {
        Self {
            provider,
            clock,
            alpn: vec![],
            tls12: false,
            asked_to_resume: None,
        }
    }

    /// The application protocols to offer or accept, best first.
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Whether TLS 1.2 is spoken too, for peers that know nothing newer.
    #[must_use]
    pub fn with_tls12(mut self, tls12: bool) -> Self {
        self.tls12 = tls12;
        self
    }

    /// Has a server call `asked` when a client asks to resume a session, once or more in a handshake and on its thread. The client gets a full handshake in any
    /// case: who asks has his session from another server, or guesses.
    #[must_use]
    pub fn on_asked_to_resume(mut self, asked: impl Fn() + Send + Sync + 'static) -> Self {
        self.asked_to_resume = Some(Hook(Arc::new(asked)));
        self
    }

    /// The provider with X25519MLKEM768 first, if it has that group.
    ///
    /// rustls offers a key share of the first group; recorded traffic of a handshake with the hybrid group stays secret even if X25519 or
    /// ML-KEM falls one day (draft-ietf-tls-ecdhe-mlkem). The order of the others stays as the provider has it.
    pub(super) fn hybrid_first(&self) -> Arc<CryptoProvider> {
        let mut provider = CryptoProvider::clone(&self.provider);
        provider
            .kx_groups
            .sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
        Arc::new(provider)
    }

    /// The versions to speak, each with at least one cipher suite.
    pub(super) fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsConfigError> {
        let mut versions = vec![&rustls::version::TLS13];
        if self.tls12 {
            versions.push(&rustls::version::TLS12);
        }
        for wanted in &versions {
            // rustls itself is content when one version of several has a suite; a switch that does nothing would be left.
            if !self
                .provider
                .cipher_suites
                .iter()
                .any(|suite| suite.version() == *wanted)
            {
                return Err(TlsConfigError::NoCipherSuite {
                    version: wanted.version,
                });
            }
        }
        Ok(versions)
    }
}

/// Why no config can be made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A version that was asked for cannot be spoken.
    #[error(
        "the crypto provider has no cipher suite for {version:?}; take another provider or leave that version out"
    )]
    NoCipherSuite {
        /// The version.
        version: ProtocolVersion,
    },
    /// rustls refuses the provider.
    #[error("rustls cannot use the crypto provider with these TLS versions; take another provider")]
    Provider {
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
}
