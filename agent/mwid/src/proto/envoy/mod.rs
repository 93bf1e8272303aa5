//! Envoy's secret discovery service, trimmed to what mwid reads and writes. Debug is closed where messages hold keys.
#![expect(
    unreachable_pub,
    reason = "prost writes pub, and its modules are those of the packages"
)]

pub(crate) mod config {
    pub(crate) mod core {
        #[rustfmt::skip]
        pub(crate) mod v3;
    }
}
pub(crate) mod extensions {
    pub(crate) mod transport_sockets {
        pub(crate) mod tls {
            #[rustfmt::skip]
            pub(crate) mod v3;
        }
    }
}
pub(crate) mod service {
    pub(crate) mod discovery {
        #[rustfmt::skip]
        pub(crate) mod v3;
    }
}

/// Messages and parts of them whose Debug tells nothing but their name: keys lie in some of them.
macro_rules! closed {
    ($($name:path)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

use config::core::v3 as core;
use extensions::transport_sockets::tls::v3 as tls;
use service::discovery::v3 as discovery;

closed!(
    core::Node
    core::DataSource
    core::data_source::Specifier
    core::TypedExtensionConfig
    tls::Secret
    tls::secret::Type
    tls::TlsCertificate
    tls::CertificateValidationContext
    tls::SpiffeCertValidatorConfig
    tls::spiffe_cert_validator_config::TrustDomain
    discovery::ResourceName
    discovery::ResourceError
    discovery::DiscoveryRequest
    discovery::DiscoveryResponse
    discovery::DeltaDiscoveryRequest
    discovery::DeltaDiscoveryResponse
    discovery::Resource
);
