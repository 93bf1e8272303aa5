//! Peers that are not made of our configs: they show any certificate and trust anybody.
use super::provider;
use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use std::net::SocketAddr;
use std::sync::Arc;
use testkit::pki::Leaf;
use testkit::strangers::{TrustAnybody, show};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(super) const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
pub(super) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

#[derive(Debug)]
struct TrustNobody;

/// A client that shows `leaf`, or nothing.
pub(super) fn client(leaf: Option<&Leaf>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(TrustAnybody::of(&provider()));
    match leaf {
        Some(leaf) => builder.with_client_cert_resolver(show(leaf, &provider())),
        None => builder.with_no_client_auth(),
    }
}

/// Connects as [`client`] and does the handshake, which may fail late: a TLS 1.3 client is done before the server has judged it.
pub(super) async fn connect(
    to: SocketAddr,
    config: impl Into<Arc<ClientConfig>>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("not-in-any-certificate.test").unwrap();
    let tcp = TcpStream::connect(to).await?;
    TlsConnector::from(config.into()).connect(name, tcp).await
}

/// A server that shows `leaf` and takes any client certificate.
pub(super) fn server(leaf: &Leaf, versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(TrustAnybody::of(&provider()))
        .with_cert_resolver(show(leaf, &provider()));
    TlsAcceptor::from(Arc::new(config))
}

/// As [`server`]: it gives out sessions and takes them, by ticket or by ID, and asks for no certificate.
pub(super) fn resuming_server(
    leaf: &Leaf,
    versions: &[&'static SupportedProtocolVersion],
    by_ticket: bool,
) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(show(leaf, &provider()));
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(16);
    if by_ticket {
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    }
    TlsAcceptor::from(Arc::new(config))
}

/// A server that shows `leaf` and refuses each client when it sees its certificate.
pub(super) fn refusing_server(leaf: &Leaf) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(TLS13)
        .unwrap()
        .with_client_cert_verifier(Arc::new(TrustNobody))
        .with_cert_resolver(show(leaf, &provider()));
    TlsAcceptor::from(Arc::new(config))
}

impl ClientCertVerifier for TrustNobody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Err(Error::InvalidCertificate(
            rustls::CertificateError::ApplicationVerificationFailure,
        ))
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
        provider().signature_verification_algorithms.supported_schemes()
    }
}
