//! The server's rustls config. In: the store's reader and the options. Out: one config for the life of the process.
//! Never resumes a session, never lets a client in that shows no certificate.

use super::options::{TlsConfigError, TlsOptions};
use super::resolver::StoreResolver;
use super::resumption::NoSessions;
use super::verifier::PeerVerifier;
use crate::check::issuers::Issuers;
use crate::peer::PeerRole;
use crate::store::Reader;
use std::sync::Arc;

/// A server config for mutual TLS that follows the store: each handshake shows the newest identity and judges the client by the newest
/// trust bundles. It is made once and never has to be swapped.
///
/// What rustls lets in with this config has a verified SPIFFE ID; whether that ID *may* is not decided yet. Use
/// [`Acceptor`](super::Acceptor), or call [`Peer::client_of`](crate::Peer::client_of) and
/// [`PeerPolicy::decide`](crate::PeerPolicy::decide) after every handshake.
///
/// Sessions are never resumed, see [the module's page](super#no-resumption). Without an identity, or with an expired one, each handshake
/// ends with the alert `access_denied`.
///
/// # Errors
/// When the provider cannot speak the wanted TLS versions.
pub fn server_config(
    reader: Reader,
    options: &TlsOptions,
) -> Result<Arc<rustls::ServerConfig>, TlsConfigError> {
    let provider = options.hybrid_first();
    let algorithms = provider.signature_verification_algorithms;
    let resolver = StoreResolver {
        reader: reader.clone(),
        clock: Arc::clone(&options.clock),
    };
    let mut config = rustls::ServerConfig::builder_with_details(provider, Arc::clone(&options.clock))
        .with_protocol_versions(&options.versions()?)
        .map_err(|source| TlsConfigError::Provider { source })?
        .with_client_cert_verifier(Arc::new(PeerVerifier {
            reader,
            algorithms,
            issuers: Issuers::default(),
            role: PeerRole::Client,
        }))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols.clone_from(&options.alpn);
    // No state kept here and no ticket sent, so that there is none kept at the client either.
    let sessions = Arc::new(NoSessions {
        asked: options.asked_to_resume.clone(),
    });
    config.ticketer = sessions.clone();
    config.session_storage = sessions;
    config.send_tls13_tickets = 0;
    // Early data can be replayed and comes before the client is known.
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok(Arc::new(config))
}
