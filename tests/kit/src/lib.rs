//! What tests need to stand on: certificates shaped like CA Service's, TLS peers that trust anybody, the guest agents' ways to replace files, a strict
//! metadata server, and Google's token endpoints, as strict.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a panic is the report"
)]

pub mod google;
pub mod guest_agent;
pub mod metadata;
pub mod metadata_grpc;
pub mod pki;
pub mod strangers;
