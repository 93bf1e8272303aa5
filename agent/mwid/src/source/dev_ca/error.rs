//! Why the development CA has nothing to deliver. In: what failed. Out: words. Never holds a key.
use aws_lc_rs::error::Unspecified;
use mtls_identity::bundle::BundleError;
use mtls_identity::spiffe_id::SpiffeIdError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DevCaError {
    #[error("trust domain and path make no SPIFFE ID; see identity.source.dev_ca")]
    Id(#[source] SpiffeIdError),
    #[error("the certificate could not be made")]
    Certificate(#[source] rcgen::Error),
    #[error("the key for JWT-SVIDs could not be made")]
    JwtKey(#[source] Unspecified),
    #[error("its own trust bundle could not be put together")]
    Bundle(#[source] BundleError),
}
