//! workloadapi.proto of the SPIFFE standards.
use std::collections::BTreeMap;

/// The service.
pub const SERVICE: &str = "SpiffeWorkloadAPI";
/// `FetchX509SVID`.
pub const FETCH_X509_SVID: &str = "/SpiffeWorkloadAPI/FetchX509SVID";
/// `FetchX509Bundles`.
pub const FETCH_X509_BUNDLES: &str = "/SpiffeWorkloadAPI/FetchX509Bundles";
/// `FetchJWTSVID`.
pub const FETCH_JWT_SVID: &str = "/SpiffeWorkloadAPI/FetchJWTSVID";
/// `FetchJWTBundles`.
pub const FETCH_JWT_BUNDLES: &str = "/SpiffeWorkloadAPI/FetchJWTBundles";
/// `ValidateJWTSVID`.
pub const VALIDATE_JWT_SVID: &str = "/SpiffeWorkloadAPI/ValidateJWTSVID";
/// `FetchWITSVID`.
pub const FETCH_WIT_SVID: &str = "/SpiffeWorkloadAPI/FetchWITSVID";
/// `FetchWITBundles`.
pub const FETCH_WIT_BUNDLES: &str = "/SpiffeWorkloadAPI/FetchWITBundles";

/// The methods that the standard knows; there may be no other.
pub const METHODS: [&str; 7] = [
    "FetchX509SVID",
    "FetchX509Bundles",
    "FetchJWTSVID",
    "FetchJWTBundles",
    "ValidateJWTSVID",
    "FetchWITSVID",
    "FetchWITBundles",
];

/// `X509SVIDRequest`, `X509BundlesRequest`, `JWTBundlesRequest`, `WITBundlesRequest`: none has a field yet.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Empty {}

/// `X509SVIDResponse`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct X509SvidResponse {
    /// One each identity; the first is the default.
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<X509Svid>,
    /// DER.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub crl: Vec<Vec<u8>>,
    /// By the SPIFFE ID of the trust domain.
    #[prost(btree_map = "string, bytes", tag = "3")]
    pub federated_bundles: BTreeMap<String, Vec<u8>>,
}

/// `X509SVID`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct X509Svid {
    /// Whose it is.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// DER, one after the other, the leaf first.
    #[prost(bytes = "vec", tag = "2")]
    pub x509_svid: Vec<u8>,
    /// PKCS#8, DER.
    #[prost(bytes = "vec", tag = "3")]
    pub x509_svid_key: Vec<u8>,
    /// Of its own trust domain; DER, one after the other.
    #[prost(bytes = "vec", tag = "4")]
    pub bundle: Vec<u8>,
    /// What the operator says about it.
    #[prost(string, tag = "5")]
    pub hint: String,
}

/// `X509BundlesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct X509BundlesResponse {
    /// DER.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub crl: Vec<Vec<u8>>,
    /// By the SPIFFE ID of the trust domain.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub bundles: BTreeMap<String, Vec<u8>>,
}

/// `JWTSVIDRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JwtSvidRequest {
    /// For whom the tokens are.
    #[prost(string, repeated, tag = "1")]
    pub audience: Vec<String>,
    /// Only this identity's; empty: all.
    #[prost(string, tag = "2")]
    pub spiffe_id: String,
}

/// `JWTSVIDResponse`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct JwtSvidResponse {
    /// One each identity.
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<JwtSvid>,
}

/// `JWTSVID`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct JwtSvid {
    /// Whose it is.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// The token.
    #[prost(string, tag = "2")]
    pub svid: String,
    /// What the operator says about it.
    #[prost(string, tag = "3")]
    pub hint: String,
}

/// `JWTBundlesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JwtBundlesResponse {
    /// JWK Sets by the SPIFFE ID of the trust domain.
    #[prost(btree_map = "string, bytes", tag = "1")]
    pub bundles: BTreeMap<String, Vec<u8>>,
}

/// `ValidateJWTSVIDRequest`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct ValidateJwtSvidRequest {
    /// Who the validating party is.
    #[prost(string, tag = "1")]
    pub audience: String,
    /// The token.
    #[prost(string, tag = "2")]
    pub svid: String,
}

/// `ValidateJWTSVIDResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValidateJwtSvidResponse {
    /// Whose the token is.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// What it says.
    #[prost(message, optional, tag = "2")]
    pub claims: Option<prost_types::Struct>,
}

/// `WITSVIDRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WitSvidRequest {
    /// Only this identity's; empty: all.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
}

/// `WITSVIDResponse`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct WitSvidResponse {
    /// One each identity.
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<WitSvid>,
}

/// `WITSVID`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct WitSvid {
    /// Whose it is.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// The token.
    #[prost(string, tag = "2")]
    pub wit_svid: String,
    /// A JWK.
    #[prost(string, tag = "3")]
    pub wit_svid_key: String,
    /// What the operator says about it.
    #[prost(string, tag = "4")]
    pub hint: String,
}

/// `WITBundlesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WitBundlesResponse {
    /// JWK Sets by the SPIFFE ID of the trust domain.
    #[prost(btree_map = "string, string", tag = "1")]
    pub bundles: BTreeMap<String, String>,
}

macro_rules! closed_debug {
    ($($message:ident),*) => {$(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // Keys and tokens are nobody's to read.
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}
closed_debug!(
    X509SvidResponse,
    X509Svid,
    JwtSvidResponse,
    JwtSvid,
    ValidateJwtSvidRequest,
    WitSvidResponse,
    WitSvid
);
