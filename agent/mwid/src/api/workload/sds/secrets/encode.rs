//! Secrets as Envoy takes them. In: certificates, a key, roots. Out: encoded messages, and a version that follows their contents.
use super::{Form, Secret};
use crate::proto::envoy::config::core::v3::{DataSource, TypedExtensionConfig, data_source::Specifier};
use crate::proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use aws_lc_rs::digest;
use hyper::body::Bytes;
use mtls_identity::{IdentitySnapshot, TrustBundle};
use prost::Message;
use std::fmt::Write;
use std::sync::Arc;
use tls::secret::Type;
use tls::spiffe_cert_validator_config::TrustDomain;
use tls::{CertificateValidationContext, SpiffeCertValidatorConfig, TlsCertificate};
use zeroize::{Zeroize, Zeroizing};

/// Counts up when the same identity should be encoded differently, so that Envoys take it anew after an update of mwid.
const LAYOUT: &[u8] = b"mwid sds 1";

/// As Envoy knows the extension.
const VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";
const VALIDATOR_TYPE: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

/// The certificate chain and its key.
pub(super) fn own(identity: &IdentitySnapshot) -> Secret {
    let mut version = Version::of("own");
    version.chain(identity);
    let mut message = tls::Secret {
        name: String::new(),
        r#type: Some(Type::TlsCertificate(TlsCertificate {
            certificate_chain: Some(inline(identity.chain_pem().into_bytes())),
            private_key: Some(inline(identity.private_key_pem().as_bytes().to_vec())),
        })),
    };
    let body = encoded(&message);
    if let Some(Type::TlsCertificate(TlsCertificate {
        private_key: Some(DataSource {
            specifier: Some(Specifier::InlineBytes(key)),
        }),
        ..
    })) = &mut message.r#type
    {
        key.zeroize();
    }
    Secret {
        version: version.done(),
        body,
        holds_key: true,
    }
}

/// Roots for Envoy's default validator: of one domain.
pub(super) fn plain(bundle: &TrustBundle) -> Secret {
    let mut version = Version::of("plain");
    version.bundle(bundle);
    let context = CertificateValidationContext {
        trusted_ca: Some(inline(bundle.to_pem().into_bytes())),
        custom_validator_config: None,
    };
    validation(version, context)
}

/// Roots for Envoy's SPIFFE validator, each domain's apart.
pub(super) fn spiffe<'a>(bundles: impl Iterator<Item = &'a TrustBundle>) -> Secret {
    let mut version = Version::of("spiffe");
    let trust_domains = bundles
        .map(|bundle| {
            version.bundle(bundle);
            TrustDomain {
                name: bundle.trust_domain().as_str().to_owned(),
                trust_bundle: Some(inline(bundle.to_pem().into_bytes())),
            }
        })
        .collect();
    let config = SpiffeCertValidatorConfig { trust_domains };
    let context = CertificateValidationContext {
        trusted_ca: None,
        custom_validator_config: Some(TypedExtensionConfig {
            name: VALIDATOR.to_owned(),
            typed_config: Some(prost_types::Any {
                type_url: VALIDATOR_TYPE.to_owned(),
                value: config.encode_to_vec(),
            }),
        }),
    };
    validation(version, context)
}

/// The version of all that a generation holds.
pub(super) fn version_of_all(identity: &IdentitySnapshot, form: Form) -> Arc<str> {
    let mut version = Version::of(match form {
        Form::Spiffe => "all spiffe",
        Form::Plain => "all plain",
    });
    version.chain(identity);
    for bundle in identity.bundles().iter() {
        version.bundle(bundle);
    }
    version.done()
}

fn validation(version: Version, context: CertificateValidationContext) -> Secret {
    let message = tls::Secret {
        name: String::new(),
        r#type: Some(Type::ValidationContext(context)),
    };
    Secret {
        version: version.done(),
        body: encoded(&message),
        holds_key: false,
    }
}

fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(bytes)),
    }
}

/// Without a growing buffer that leaves copies behind.
fn encoded(message: &tls::Secret) -> Bytes {
    let mut out = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
    message.encode_raw(&mut *out);
    Bytes::from_owner(out)
}

/// A fingerprint of public contents: a chain stands for its key, since the two were proven to belong together.
struct Version(digest::Context);

impl Version {
    fn of(kind: &str) -> Self {
        let mut version = Self(digest::Context::new(&digest::SHA256));
        version.add(LAYOUT);
        version.add(kind.as_bytes());
        version
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn chain(&mut self, identity: &IdentitySnapshot) {
        for certificate in identity.chain() {
            self.add(certificate);
        }
    }

    fn bundle(&mut self, bundle: &TrustBundle) {
        self.add(bundle.trust_domain().as_str().as_bytes());
        self.add(&(bundle.roots().len() as u64).to_be_bytes());
        for root in bundle.roots() {
            self.add(root);
        }
    }

    /// Half of it tells any two apart, and can be read in a status page.
    fn done(self) -> Arc<str> {
        let digest = self.0.finish();
        let mut text = String::with_capacity(32);
        for byte in digest.as_ref().iter().take(16) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.into()
    }
}
