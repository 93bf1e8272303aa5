//! Messages of other people's gRPC services, as generated from the `.proto` files beside this one.
//!
//! In: bytes. Out: fields. Never written by hand: the test here makes them again and compares, and says how to renew them. Debug is
//! closed for all of them, since some hold keys.

#[cfg(test)]
mod tests;

/// `workload_identity.proto`.
#[rustfmt::skip]
#[expect(unreachable_pub, reason = "prost writes pub")]
pub(crate) mod workload_identity;

/// The methods of the service `WorkloadIdentity`, as paths of requests.
pub(crate) mod workload_identity_methods {
    pub(crate) const GET_WORKLOAD_CERTIFICATES: &str =
        "/managed_workload_identity.proto.v1.WorkloadIdentity/GetWorkloadCertificates";
    pub(crate) const GET_WORKLOAD_TRUST_BUNDLES: &str =
        "/managed_workload_identity.proto.v1.WorkloadIdentity/GetWorkloadTrustBundles";
}

macro_rules! closed {
    ($($message:ident)*) => {$(
        impl std::fmt::Debug for workload_identity::$message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($message), "(..)"))
            }
        }
    )*};
}

closed!(
    GetWorkloadCertificatesRequest
    GetWorkloadCertificatesResponse
    GetWorkloadTrustBundlesRequest
    GetWorkloadTrustBundlesResponse
);
