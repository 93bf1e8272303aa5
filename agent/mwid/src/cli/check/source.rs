//! The source: is it there, and what does it deliver?
use super::{Finding, Scene, identity, key_file};
use crate::config::{GUEST_AGENT_DIRECTORY, Settings, SourceSettings};
use crate::report::Causes;
use mtls_identity::dir::{ReadError, Reading, read_set};
use std::path::Path;

/// The directory that the identity comes from, if it does.
pub(super) fn directory(settings: &Settings) -> Option<&Path> {
    match &settings.identity.source {
        SourceSettings::GuestAgent { directory, .. } => Some(directory),
        SourceSettings::Auto => Some(Path::new(GUEST_AGENT_DIRECTORY)),
        SourceSettings::None | SourceSettings::DevCa { .. } => None,
    }
}

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let Some(directory) = directory(scene.settings) else {
        return Vec::new();
    };
    let mut findings = key_file::probe(directory);
    match read_set(directory) {
        Ok(reading) => {
            findings.extend(not_issued(&reading));
            findings.extend(identity::judge(scene, directory, &reading.candidate));
        }
        Err(error) => findings.push(unreadable(&error)),
    }
    findings
}

fn not_issued(reading: &Reading) -> Option<Finding> {
    let status = reading
        .config_status
        .as_ref()
        .filter(|status| !status.is_healthy())?;
    Some(
        Finding::warning(
            "platform_reports_trouble",
            format!(
                "the platform reports trouble beside the identity in {}: {}",
                reading.directory.display(),
                status.problems().join("; ")
            ),
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
