//! Peers that are not made of our configs: they show any certificate, trust anybody, and resume if they can.

use super::{Outcome, provider};
use rustls::client::WantsClientCert;
use rustls::server::WantsServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;
use testkit::pki::Leaf;
use testkit::strangers::{TrustAnybody, chain, key, show};

pub(super) const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// Shows one leaf's certificate and signs with another leaf's key.
pub(super) struct Thief {
    pub(super) shown: Leaf,
    pub(super) key: Leaf,
}

impl Thief {
    fn show(&self) -> Arc<SingleCertAndKey> {
        let key = provider().key_provider.load_private_key(key(&self.key)).unwrap();
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain(&self.shown), key)))
    }
    pub(super) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        Arc::new(trusting_client(versions).with_client_cert_resolver(self.show()))
    }
    pub(super) fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        Arc::new(trusting_server(versions).with_cert_resolver(self.show()))
    }
}

fn trusting_client(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(TrustAnybody::of(&provider()))
}

fn trusting_server(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ServerConfig, WantsServerCert> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(TrustAnybody::of(&provider()))
}

/// A client that shows `leaf`, or nothing.
pub(super) fn client(
    leaf: Option<&Leaf>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    Arc::new(match leaf {
        Some(leaf) => trusting_client(versions).with_client_cert_resolver(show(leaf, &provider())),
        None => trusting_client(versions).with_no_client_auth(),
    })
}

/// A server that shows `leaf` and takes any client certificate.
pub(super) fn server(leaf: &Leaf, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    Arc::new(trusting_server(versions).with_cert_resolver(show(leaf, &provider())))
}

/// The reason for which our side refused, as `PeerRefusal` reads it out of the error.
pub(super) fn reason(error: Option<&rustls::Error>) -> &'static str {
    let error = error.expect("a refusal");
    crate::tls::PeerRefusal::of(error)
        .unwrap_or_else(|| panic!("no refusal: {error:?}"))
        .reason()
}

/// The alert that a side got.
pub(super) fn alert(error: Option<&rustls::Error>) -> String {
    match error {
        Some(rustls::Error::AlertReceived(alert)) => format!("{alert:?}"),
        other => panic!("no alert: {other:?}"),
    }
}

impl Outcome {
    /// Our server refused: its reason, and the alert that the client got.
    pub(super) fn server_refused(&self) -> (&'static str, String) {
        (
            reason(self.server_error.as_ref()),
            alert(self.client_error.as_ref()),
        )
    }

    /// Our client refused: its reason, and the alert that the server got.
    pub(super) fn client_refused(&self) -> (&'static str, String) {
        (
            reason(self.client_error.as_ref()),
            alert(self.server_error.as_ref()),
        )
    }
}
