//! The client's rustls config. In: the store's reader and the options. Out: one config for the life of the process.
//! Never resumes a session, never trusts a server by its DNS name.

use super::options::{TlsConfigError, TlsOptions};
use super::resolver::StoreResolver;
use super::verifier::PeerVerifier;
use crate::check::issuers::Issuers;
use crate::peer::PeerRole;
use crate::store::Reader;
use rustls::client::Resumption;
use std::sync::Arc;

/// A client config for mutual TLS that follows the store: each handshake shows the newest identity and judges the server by the newest
/// trust bundles. It is made once and never has to be swapped.
///
/// The server name that a connection is made with is *not* compared with the certificate: an X.509-SVID names a workload by its URI SAN and
/// need not have a DNS name (SPIFFE X.509-SVID, sections 2 and 4). So whom we talk to is decided by its SPIFFE ID alone, and that
/// must be done after every handshake: use [`Connector`](super::Connector), or call [`Peer::server_of`](crate::Peer::server_of) and
/// [`PeerPolicy::decide`](crate::PeerPolicy::decide). The name is sent as SNI when it is a DNS name.
///
/// In TLS 1.3 the client's handshake is done before the server has judged the client's certificate: a refusal shows as an alert on the first
/// read.
///
/// Sessions are never resumed, see [the module's page](super#no-resumption). Without an identity, or with an expired one, each handshake
/// fails before the server is trusted, and no certificate is sent.
///
/// # Errors
/// When the provider cannot speak the wanted TLS versions.
pub fn client_config(
    reader: Reader,
    options: &TlsOptions,
) -> Result<Arc<rustls::ClientConfig>, TlsConfigError> {
    let provider = options.hybrid_first();
    let algorithms = provider.signature_verification_algorithms;
    let resolver = StoreResolver {
        reader: reader.clone(),
        clock: Arc::clone(&options.clock),
    };
    let mut config = rustls::ClientConfig::builder_with_details(provider, Arc::clone(&options.clock))
        .with_protocol_versions(&options.versions()?)
        .map_err(|source| TlsConfigError::Provider { source })?
        // "Dangerous" because it replaces the check of the DNS name; PeerVerifier checks everything else.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier {
            reader,
            algorithms,
            issuers: Issuers::default(),
            role: PeerRole::Server,
        }))
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols.clone_from(&options.alpn);
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(Arc::new(config))
}
