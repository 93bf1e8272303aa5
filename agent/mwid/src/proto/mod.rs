//! Messages of other people's gRPC services, as generated from the `.proto` files beside this one.
//!
//! In: bytes. Out: fields. Never written by hand: the test here makes them again and compares, and says how to renew them. Debug is
//! closed where messages hold keys or tokens.

#[cfg(test)]
mod tests;

/// A `FileDescriptorSet` of all services that are served, and of all that they import.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!("services.binpb");

#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the standard has more than is spoken here"
)]
pub(crate) mod envoy;
#[allow(
    dead_code,
    clippy::allow_attributes,
    reason = "the standard has more than is spoken here"
)]
pub(crate) mod google;

/// `health.proto`.
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "prost writes pub")]
#[allow(dead_code, clippy::allow_attributes, reason = "the standard has more than is spoken here")]
pub(crate) mod health;

/// `reflection.proto`; `reflection_v1alpha.proto` is the same on the wire.
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "prost writes pub")]
#[expect(clippy::enum_variant_names, reason = "gRPC named them")]
#[allow(dead_code, clippy::allow_attributes, reason = "the standard has more than is spoken here")]
pub(crate) mod reflection;

/// `workload.proto`.
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "prost writes pub")]
#[allow(dead_code, clippy::allow_attributes, reason = "the standard has more than is spoken here")]
pub(crate) mod workload;

/// `workload_identity.proto`.
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "prost writes pub")]
pub(crate) mod workload_identity;

/// The methods of a service, as paths of requests.
macro_rules! methods {
    ($($(#[$doc:meta])* $module:ident $service:literal { $($name:ident = $method:literal;)* })*) => {
        $(
            $(#[$doc])*
            #[allow(dead_code, clippy::allow_attributes, reason = "the standard has more than is spoken here")]
            pub(crate) mod $module {
                $(pub(crate) const $name: &str = concat!("/", $service, "/", $method);)*
                #[cfg(test)]
                pub(super) const ALL: &[&str] = &[$($name),*];
            }
        )*
        #[cfg(test)]
        const METHODS: &[&[&str]] = &[$($module::ALL),*];
    };
}

methods! {
    /// Of gRPC's health checking.
    health_methods "grpc.health.v1.Health" {
        CHECK = "Check";
        LIST = "List";
        WATCH = "Watch";
    }
    /// Of gRPC's server reflection.
    reflection_methods "grpc.reflection.v1.ServerReflection" {
        INFO = "ServerReflectionInfo";
    }
    /// The same under the name that older clients ask for.
    reflection_v1alpha_methods "grpc.reflection.v1alpha.ServerReflection" {
        INFO = "ServerReflectionInfo";
    }
    /// Of Envoy's secret discovery service.
    sds_methods "envoy.service.secret.v3.SecretDiscoveryService" {
        DELTA_SECRETS = "DeltaSecrets";
        STREAM_SECRETS = "StreamSecrets";
        FETCH_SECRETS = "FetchSecrets";
    }
    /// Of the SPIFFE Workload API.
    workload_methods "SpiffeWorkloadAPI" {
        FETCH_X509_SVID = "FetchX509SVID";
        FETCH_X509_BUNDLES = "FetchX509Bundles";
        FETCH_JWT_SVID = "FetchJWTSVID";
        FETCH_JWT_BUNDLES = "FetchJWTBundles";
        VALIDATE_JWT_SVID = "ValidateJWTSVID";
        FETCH_WIT_SVID = "FetchWITSVID";
        FETCH_WIT_BUNDLES = "FetchWITBundles";
    }
    /// Of the metadata server.
    workload_identity_methods "managed_workload_identity.proto.v1.WorkloadIdentity" {
        GET_WORKLOAD_CERTIFICATES = "GetWorkloadCertificates";
        GET_WORKLOAD_TRUST_BUNDLES = "GetWorkloadTrustBundles";
    }
}

/// Messages whose Debug tells nothing but their name.
macro_rules! closed {
    ($($module:ident { $($message:ident)* })*) => {$($(
        impl std::fmt::Debug for $module::$message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($message), "(..)"))
            }
        }
    )*)*};
}

closed! {
    workload_identity {
        GetWorkloadCertificatesRequest
        GetWorkloadCertificatesResponse
        GetWorkloadTrustBundlesRequest
        GetWorkloadTrustBundlesResponse
    }
    workload {
        X509svidRequest
        X509svidResponse
        X509svid
        X509BundlesRequest
        X509BundlesResponse
        JwtsvidRequest
        JwtsvidResponse
        Jwtsvid
        JwtBundlesRequest
        JwtBundlesResponse
        ValidateJwtsvidRequest
        ValidateJwtsvidResponse
        WitsvidRequest
        WitsvidResponse
        Witsvid
        WitBundlesRequest
        WitBundlesResponse
    }
}
