//! The source: is it there, and what does it deliver?
use super::{Finding, Scene, Severity, agent, identity, key_file, server};
use crate::config::{GUEST_AGENT_DIRECTORY, Settings, SourceSettings};
use crate::report::Causes;
use mtls_identity::dir::{ConfigStatus, ReadError, read_set};
use std::path::Path;

/// The directory that the identity comes from, if it does.
pub(super) fn directory(settings: &Settings) -> Option<&Path> {
    match &settings.identity.source {
        SourceSettings::GuestAgent { directory, .. } => Some(directory),
        SourceSettings::Auto => Some(Path::new(GUEST_AGENT_DIRECTORY)),
        SourceSettings::None
        | SourceSettings::Metadata { .. }
        | SourceSettings::MetadataGrpc { .. }
        | SourceSettings::WorkloadApi { .. }
        | SourceSettings::DevCa { .. } => None,
    }
}

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = directory(scene.settings).map_or_else(Vec::new, key_file::probe);
    findings.extend(match &scene.settings.identity.source {
        SourceSettings::None | SourceSettings::DevCa { .. } => Vec::new(),
        SourceSettings::GuestAgent { directory, .. } => {
            in_directory(scene, directory).unwrap_or_else(|error| vec![unreadable(&error)])
        }
        SourceSettings::Auto => in_directory(scene, Path::new(GUEST_AGENT_DIRECTORY))
            .unwrap_or_else(|error| at_servers(scene, &error)),
        SourceSettings::Metadata { address, .. } => {
            server::http(scene, *address).unwrap_or_else(|error| vec![server::refused(&error)])
        }
        SourceSettings::WorkloadApi { socket, hint } => agent::probe(scene, socket, hint.as_deref()),
        SourceSettings::MetadataGrpc { address, .. } => {
            server::grpc(scene, *address).unwrap_or_else(|error| vec![server::refused(&error)])
        }
    });
    findings
}

fn in_directory(scene: &Scene<'_>, directory: &Path) -> Result<Vec<Finding>, ReadError> {
    let reading = read_set(directory)?;
    let from = reading.directory.display().to_string();
    let mut findings: Vec<Finding> = reading
        .config_status
        .as_ref()
        .and_then(|status| trouble_beside(&from, status))
        .into_iter()
        .collect();
    findings.extend(identity::judge(
        scene,
        &directory.display().to_string(),
        &reading.candidate,
    ));
    Ok(findings)
}

/// As `auto` goes on when the directory gives nothing.
fn at_servers(scene: &Scene<'_>, directory: &ReadError) -> Vec<Finding> {
    let mut nothing = unreadable(directory);
    match server::first(scene) {
        Ok(mut findings) => {
            // No directory is no fault where a server has the identity; one that cannot be read should be looked at.
            if !matches!(directory, ReadError::DirectoryMissing { .. }) {
                nothing.severity = Severity::Warning;
                findings.insert(0, nothing);
            }
            findings
        }
        Err(tried) => {
            for error in tried {
                nothing.what = format!("{}; and {}", nothing.what, Causes(&error));
            }
            vec![nothing]
        }
    }
}

pub(super) fn trouble_beside(from: &str, status: &ConfigStatus) -> Option<Finding> {
    if status.is_healthy() {
        return None;
    }
    Some(
        Finding::warning(
            "platform_reports_trouble",
            format!("the platform reports trouble beside the identity in {from}: {status}"),
        )
        .why("the identity is good now, but the next rotation may not come")
        .fix("correct the workload certificate configuration of this VM or its pool"),
    )
}

fn unreadable(error: &ReadError) -> Finding {
    let what = Causes(error).to_string();
    let no_identity = "until it is there, mwid is not ready and serves no identity";
    let agent = "enable managed workload identities for this VM and its guest agent ([MWLID] enabled = true in \
                 /etc/default/instance_configs.cfg), or name another identity.source";
    match error {
        ReadError::PermissionDenied { path, .. } => Finding::error("source_unreadable", what)
            .why("the daemon runs without root and reads the identity as its own user")
            .fix(format!(
                "let the daemon's user read it through a group: chgrp mwid {0} && chmod g+rX {0}",
                path.display()
            )),
        ReadError::DirectoryMissing { .. } | ReadError::DanglingLink { .. } => {
            Finding::error("source_absent", what).why(no_identity).fix(agent)
        }
        ReadError::NotIssued { .. } => Finding::error("source_not_issued", what)
            .why(no_identity)
            .fix("correct the workload certificate configuration of this VM or its pool"),
        _ => Finding::error("source_incomplete", what)
            .why(no_identity)
            .fix(agent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_this_user_may_not_read_is_told_with_its_path() {
        let found = unreadable(&ReadError::PermissionDenied {
            path: "/x/private_key.pem".into(),
            uid: 12,
            owner: Some((0, 0, 0o600)),
        });
        assert_eq!(found.id, "source_unreadable");
        assert!(
            found.what.contains("uid 12") && found.what.contains("/x/private_key.pem"),
            "{found:?}"
        );
        assert!(found.fix.contains("/x/private_key.pem"));
    }
}
