//! TLS peers for tests and benchmarks: they show any certificate, or none, and trust anybody. The client does no work with keys that it need not do, so
//! that what is measured is the other side.
use pki_types::ServerName;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{CipherSuite, ClientConfig, ServerConfig};
use std::sync::Arc;
use testkit::pki::Leaf;
use testkit::strangers::{TrustAnybody, chain, key};

/// What a client offers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offer {
    /// This group alone.
    pub(crate) group: Option<&'static dyn SupportedKxGroup>,
    /// This suite of TLS 1.3 alone.
    pub(crate) suite: Option<CipherSuite>,
    /// TLS 1.2 instead of 1.3.
    pub(crate) tls12: bool,
    /// Keeps what sessions it is given, and asks to resume them.
    pub(crate) resumes: bool,
}

/// A client that shows `leaf`, or nothing.
pub(crate) fn client(leaf: Option<&Leaf>, offer: Offer) -> Arc<ClientConfig> {
    let mut provider: CryptoProvider = aws_lc_rs::default_provider();
    if let Some(group) = offer.group {
        provider.kx_groups = vec![group];
    }
    if let Some(suite) = offer.suite {
        provider.cipher_suites.retain(|one| one.suite() == suite);
    }
    let version = match offer.tls12 {
        true => &rustls::version::TLS12,
        false => &rustls::version::TLS13,
    };
    let anybody = TrustAnybody::of(&provider);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(anybody);
    let mut config = match leaf {
        Some(leaf) => builder.with_client_auth_cert(chain(leaf), key(leaf)).unwrap(),
        None => builder.with_no_client_auth(),
    };
    if !offer.resumes {
        config.resumption = Resumption::disabled();
    }
    config.enable_sni = false;
    Arc::new(config)
}

/// A server that shows `leaf`.
pub(crate) fn server(leaf: &Leaf) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain(leaf), key(leaf));
    Arc::new(config.unwrap())
}

/// rustls wants a name; none is sent.
pub(crate) fn nobody() -> ServerName<'static> {
    ServerName::try_from("not-in-any-certificate.test").unwrap()
}
