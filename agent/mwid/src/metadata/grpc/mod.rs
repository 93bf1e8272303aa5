//! The VM's identity over gRPC: two calls over one plaintext connection to the metadata server.
//!
//! In: an address. Out: a candidate with the trust bundles of all trust domains. Never retries, never decides whether the candidate
//! is good, never puts a part of a message into an error.
//! Follows gRPC's "gRPC over HTTP2" for single calls, and the way in which Google's guest agent asks.

mod call;
#[cfg(test)]
mod tests;

pub(crate) use call::CallError;

use super::certificates::{CertificatesError, Reading};
use super::{MetadataError, connect};
use crate::proto::workload_identity as messages;
use crate::proto::workload_identity_methods as methods;
use call::{Code, Connection};
use mtls_identity::Candidate;
use mtls_identity::candidate::CandidateBundles;
use prost::Message;
use std::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// For one call, as the guest agent has it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Asks both questions. The first decides whether the service is there at all.
pub(crate) async fn read(server: SocketAddr) -> Result<Reading, MetadataError> {
    let stream = connect(server).await?;
    let mut connection = Connection::open(server, stream)
        .await
        .map_err(|source| MetadataError::Call { server, source })?;
    let certificates: messages::GetWorkloadCertificatesResponse = ask(
        &mut connection,
        methods::GET_WORKLOAD_CERTIFICATES,
        &messages::GetWorkloadCertificatesRequest {},
    )
    .await?;
    // Taken over at once, so that it is wiped whatever comes.
    let private_key_pem = Zeroizing::new(certificates.private_key_pem);
    let bundles: messages::GetWorkloadTrustBundlesResponse = ask(
        &mut connection,
        methods::GET_WORKLOAD_TRUST_BUNDLES,
        &messages::GetWorkloadTrustBundlesRequest {},
    )
    .await?;
    let missing = if certificates.certificate_chain_pem.trim_ascii().is_empty() {
        Some(CertificatesError::NoCredentials)
    } else if private_key_pem.trim_ascii().is_empty() {
        Some(CertificatesError::KeyWithheld {
            id: "this VM".to_owned(),
        })
    } else {
        None
    };
    if let Some(source) = missing {
        return Err(MetadataError::Certificates { server, source });
    }
    Ok(Reading {
        candidate: Candidate {
            certificates_pem: certificates.certificate_chain_pem.into(),
            private_key_pem,
            bundles: CandidateBundles::MapJson(bundles.spiffe_trust_bundles_map_json),
        },
        // The service has no such word: it refuses instead.
        trouble: None,
    })
}

async fn ask<A: Message + Default>(
    connection: &mut Connection,
    method: &'static str,
    question: &impl Message,
) -> Result<A, MetadataError> {
    let server = connection.server();
    match tokio::time::timeout(ANSWER_WITHIN, connection.call(method, question)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(CallError::Status {
            code: Code::FAILED_PRECONDITION,
            message,
        })) => Err(MetadataError::GrpcOff { server, message }),
        Ok(Err(source)) => Err(MetadataError::Call { server, source }),
        Err(_) => Err(MetadataError::TimedOut {
            server,
            path: method.to_owned(),
            after: ANSWER_WITHIN,
        }),
    }
}
