//! TLS peers for tests and benchmarks: they show any certificate, or none, and trust anybody. The client does no work with keys that it need not do, so
//! that what is measured is the other side.
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use std::sync::Arc;
use testkit::pki::Leaf;

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

#[derive(Debug)]
struct TrustAnybody;

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
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnybody));
    let mut config = match leaf {
        Some(leaf) => {
            let (chain, key) = parts(leaf);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
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
    let (chain, key) = parts(leaf);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.unwrap())
}

fn parts(leaf: &Leaf) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes());
    (chain.collect::<Result<_, _>>().unwrap(), key.unwrap())
}

/// rustls wants a name; none is sent.
pub(crate) fn nobody() -> ServerName<'static> {
    ServerName::try_from("not-in-any-certificate.test").unwrap()
}

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
