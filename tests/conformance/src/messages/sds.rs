//! Envoy's discovery messages, as far as SDS uses them (envoy/service/discovery/v3/discovery.proto,
//! envoy/extensions/transport_sockets/tls/v3/{secret,common}.proto).
use prost_types::Any;
use std::collections::BTreeMap;

/// The type of every resource here.
pub const SECRET_TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// The service.
pub const SERVICE: &str = "envoy.service.secret.v3.SecretDiscoveryService";
/// State of the world.
pub const STREAM_SECRETS: &str = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
/// Incremental.
pub const DELTA_SECRETS: &str = "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets";
/// One question, one answer.
pub const FETCH_SECRETS: &str = "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets";

/// `envoy.config.core.v3.Node`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// Which Envoy.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Of which cluster.
    #[prost(string, tag = "2")]
    pub cluster: String,
    /// Which program.
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ErrorDetail {
    /// A gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `DiscoveryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryRequest {
    /// Of the last response that was applied.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// In the first request.
    #[prost(message, optional, tag = "2")]
    pub node: Option<Node>,
    /// What is subscribed to.
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    /// [`SECRET_TYPE`].
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Of the response that this is about.
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    /// Makes it a NACK.
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<ErrorDetail>,
}

/// `DiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryResponse {
    /// Of what is in it.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Secrets.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Any>,
    /// [`SECRET_TYPE`].
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Names this response.
    #[prost(string, tag = "5")]
    pub nonce: String,
}

/// `DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaRequest {
    /// In the first request.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// [`SECRET_TYPE`].
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// What is added to the subscription.
    #[prost(string, repeated, tag = "3")]
    pub subscribe: Vec<String>,
    /// What is taken from it.
    #[prost(string, repeated, tag = "4")]
    pub unsubscribe: Vec<String>,
    /// What the client still has.
    #[prost(btree_map = "string, string", tag = "5")]
    pub initial_versions: BTreeMap<String, String>,
    /// Of the response that this acknowledges.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Makes it a NACK.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<ErrorDetail>,
}

/// `DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaResponse {
    /// For people.
    #[prost(string, tag = "1")]
    pub system_version: String,
    /// What changed.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// [`SECRET_TYPE`].
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Names this response.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// What is gone or never was.
    #[prost(string, repeated, tag = "6")]
    pub removed: Vec<String>,
}

/// `Resource`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// Of this resource.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The secret.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
}

/// `Secret`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Secret {
    /// As it was asked for.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A key and its chain.
    #[prost(message, optional, tag = "2")]
    pub tls_certificate: Option<TlsCertificate>,
    /// Whom to trust.
    #[prost(message, optional, tag = "4")]
    pub validation_context: Option<ValidationContext>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// `TlsCertificate`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct TlsCertificate {
    /// PEM.
    #[prost(message, optional, tag = "1")]
    pub certificate_chain: Option<DataSource>,
    /// PEM.
    #[prost(message, optional, tag = "2")]
    pub private_key: Option<DataSource>,
}

impl std::fmt::Debug for TlsCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsCertificate").finish_non_exhaustive()
    }
}

/// `DataSource`, with its bytes in it.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct DataSource {
    /// The bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub inline_bytes: Vec<u8>,
}

impl std::fmt::Debug for DataSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataSource of {} bytes", self.inline_bytes.len())
    }
}

/// `CertificateValidationContext`, as far as it matters.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValidationContext {
    /// Plain roots, PEM.
    #[prost(message, optional, tag = "1")]
    pub trusted_ca: Option<DataSource>,
    /// The SPIFFE validator.
    #[prost(message, optional, tag = "12")]
    pub custom_validator: Option<Extension>,
}

/// `TypedExtensionConfig`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Extension {
    /// `envoy.tls.cert_validator.spiffe`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// `SPIFFECertValidatorConfig`.
    #[prost(message, optional, tag = "2")]
    pub config: Option<Any>,
}

/// `SPIFFECertValidatorConfig`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SpiffeValidator {
    /// One each trust domain.
    #[prost(message, repeated, tag = "1")]
    pub trust_domains: Vec<ValidatorDomain>,
}

/// `SPIFFECertValidatorConfig.TrustDomain`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValidatorDomain {
    /// Without `spiffe://`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// PEM.
    #[prost(message, optional, tag = "2")]
    pub trust_bundle: Option<DataSource>,
}
