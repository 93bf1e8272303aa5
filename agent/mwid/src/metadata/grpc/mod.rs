//! The VM's identity over gRPC: two calls over one plaintext connection to the metadata server.
//!
//! In: an address. Out: a candidate with the trust bundles of all trust domains. Never retries, never decides whether the candidate
//! is good, never puts a part of a message into an error.
//! Follows gRPC's "gRPC over HTTP2" for single calls, and the way in which Google's guest agent asks.

#[cfg(test)]
mod tests;

use super::certificates::{CertificatesError, Reading};
use super::{LARGEST_BODY, MetadataError, connect};
use crate::grpc::Code;
use crate::grpc::client::{CallError, Connection, Method};
use crate::proto::workload_identity as messages;
use crate::proto::workload_identity_methods as methods;
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
    let connection = Connection::open(stream, &server.to_string(), LARGEST_BODY)
        .await
        .map_err(|source| MetadataError::Call { server, source })?;
    let certificates: messages::GetWorkloadCertificatesResponse = ask(
        server,
        &connection,
        methods::GET_WORKLOAD_CERTIFICATES,
        &messages::GetWorkloadCertificatesRequest {},
    )
    .await?;
    // Taken over at once, so that it is wiped whatever comes.
    let private_key_pem = Zeroizing::new(certificates.private_key_pem);
    let bundles: messages::GetWorkloadTrustBundlesResponse = ask(
        server,
        &connection,
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
    server: SocketAddr,
    connection: &Connection,
    path: &'static str,
    question: &impl Message,
) -> Result<A, MetadataError> {
    let method = Method {
        timeout: Some(ANSWER_WITHIN),
        ..Method::at(path)
    };
    match tokio::time::timeout(ANSWER_WITHIN, connection.unary(method, question)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(CallError::Refused(status))) if status.code == Code::FAILED_PRECONDITION => {
            let message = status.message.into_owned();
            Err(MetadataError::GrpcOff { server, message })
        }
        Ok(Err(source)) => Err(MetadataError::Call { server, source }),
        Err(_) => Err(MetadataError::TimedOut {
            server,
            path: path.to_owned(),
            after: ANSWER_WITHIN,
        }),
    }
}

/// Whether it makes no sense to ask again soon: after these the guest agent does not, either.
pub(super) fn is_lasting(error: &CallError) -> bool {
    match error {
        CallError::Refused(status) => matches!(
            status.code,
            Code::UNKNOWN
                | Code::INVALID_ARGUMENT
                | Code::PERMISSION_DENIED
                | Code::FAILED_PRECONDITION
                | Code::UNIMPLEMENTED
                | Code::INTERNAL
                | Code::DATA_LOSS
                | Code::UNAUTHENTICATED
        ),
        CallError::NotGrpc { .. } | CallError::Request { .. } => true,
        CallError::Http(_)
        | CallError::NoStatus
        | CallError::NoMessage
        | CallError::MoreMessages
        | CallError::Message(_) => false,
    }
}

/// A short name out of a small fixed set.
pub(super) fn reason(error: &CallError) -> &'static str {
    match error {
        CallError::Refused(_) => "grpc_status",
        CallError::NotGrpc { .. } => "not_metadata",
        CallError::Request { .. } => "path",
        CallError::Http(_)
        | CallError::NoStatus
        | CallError::NoMessage
        | CallError::MoreMessages
        | CallError::Message(_) => "broken_answer",
    }
}
