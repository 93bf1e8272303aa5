//! What the metadata server has for this VM, asked once.
use super::{Finding, Scene, identity, source};
use crate::metadata::certificates::{self, Reading};
use crate::metadata::{Client, MetadataError, grpc};
use crate::report::Causes;
use std::net::SocketAddr;

/// Over HTTP; without an address the platform's.
pub(super) fn http(scene: &Scene<'_>, address: Option<SocketAddr>) -> Result<Vec<Finding>, MetadataError> {
    let client = Client::new(address.unwrap_or(scene.server.http));
    let reading = wait_for(certificates::read(&client))?;
    Ok(delivered(scene, client.server(), &reading))
}

/// Over gRPC; without an address the platform's.
pub(super) fn grpc(scene: &Scene<'_>, address: Option<SocketAddr>) -> Result<Vec<Finding>, MetadataError> {
    let server = address.unwrap_or(scene.server.grpc);
    let reading = wait_for(grpc::read(server))?;
    Ok(delivered(scene, server, &reading))
}

/// The first of both that has an identity, or what each said.
pub(super) fn first(scene: &Scene<'_>) -> Result<Vec<Finding>, Vec<MetadataError>> {
    if !scene.server.expected {
        return Err(vec![MetadataError::NoVm]);
    }
    let mut tried = Vec::new();
    for ask in [grpc, http] {
        match ask(scene, None) {
            Ok(findings) => return Ok(findings),
            Err(error) => tried.push(error),
        }
    }
    Err(tried)
}

/// Few subjects ask anybody, so each question has a runtime of its own.
pub(super) fn wait_for<T>(
    answer: impl Future<Output = Result<T, MetadataError>>,
) -> Result<T, MetadataError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(MetadataError::Runtime)?
        .block_on(answer)
}

fn delivered(scene: &Scene<'_>, server: SocketAddr, reading: &Reading) -> Vec<Finding> {
    let from = format!("the metadata server at {server}");
    let trouble = reading
        .trouble
        .as_ref()
        .and_then(|status| source::trouble_beside(&from, status));
    let mut findings: Vec<Finding> = trouble.into_iter().collect();
    findings.extend(identity::judge(scene, &from, &reading.candidate));
    findings
}

pub(super) fn refused(error: &MetadataError) -> Finding {
    let (id, fix) = match error.reason() {
        "unreachable" | "timed_out" => (
            "source_unreachable",
            "on a VM: see which firewall rule or network namespace keeps this user from it; elsewhere: name another \
             identity.source",
        ),
        "not_metadata" => (
            "source_not_metadata",
            "correct the source's address, or GCE_METADATA_HOST in the daemon's environment",
        ),
        "feature_off" | "not_found" | "unavailable" => (
            "source_feature_off",
            "give the VM a managed workload identity; where only the guest agent may read it, identity.source: guest_agent",
        ),
        "key_withheld" => (
            "source_key_withheld",
            "let the platform hand out the key, or name the identity.source that has it",
        ),
        "never_configured" | "not_issued" => (
            "source_not_issued",
            "correct the workload certificate configuration of this VM or its pool",
        ),
        "busy" => ("source_busy", "check again in a moment"),
        _ => (
            "source_broken",
            "compare with what curl gets from the same address",
        ),
    };
    Finding::error(id, Causes(error).to_string())
        .why("until it delivers, mwid is not ready and serves no identity")
        .fix(fix)
}
