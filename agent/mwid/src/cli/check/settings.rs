//! What the configuration itself says: its mistakes, and what in it is allowed but dangerous.
use super::{Finding, Scene};
use crate::config::{Address, ConfigError, DoorSettings, Settings, SourceSettings, TokenSourceSettings};
use crate::report::Causes;
use std::net::SocketAddr;

/// One finding a problem.
pub(super) fn refused(error: &ConfigError) -> Vec<Finding> {
    let why = "the daemon would refuse this configuration, at the start and on reload";
    let ConfigError::Wrong { path, problems, more } = error else {
        return vec![Finding::error("config", Causes(error).to_string()).why(why)];
    };
    let mut findings: Vec<Finding> = problems
        .iter()
        .map(|problem| {
            let place = problem
                .at
                .map_or_else(String::new, |at| format!(":{}:{}", at.line, at.column));
            let key = if problem.key.is_empty() {
                String::new()
            } else {
                format!("{}: ", problem.key)
            };
            let wrong = &problem.wrong;
            let fix = match wrong.fix.as_ref() {
                "" => format!("write {}", wrong.wanted),
                fix => fix.to_owned(),
            };
            let what = format!(
                "{}{place}: {key}found {}; wanted {}",
                path.display(),
                wrong.found,
                wrong.wanted
            );
            Finding::error("config", what).why(why).fix(fix)
        })
        .collect();
    if *more > 0 {
        findings
            .push(Finding::error("config", format!("{} has {more} more problems", path.display())).why(why));
    }
    findings
}

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let settings = scene.settings;
    let mut findings = development(settings);
    findings.extend(modes(settings));
    findings.extend(plaintext(settings));
    findings.extend(plain_roots(settings));
    findings
}

fn plain_roots(settings: &Settings) -> Option<Finding> {
    (!settings.sds.spiffe_validator).then(|| {
        Finding::note(
            "sds_plain_roots",
            format!(
                "Envoys get plain trusted_ca (api.workload.sds.spiffe_validator), and `{}` is refused to them",
                settings.sds.all
            ),
        )
        .why("Envoy then verifies a peer's chain without regard to the trust domain in its ID: say who is expected by match_typed_subject_alt_names")
        .fix("leave spiffe_validator on, and set disable_spiffe_cert_validation in the metadata of those Envoys alone that need it")
    })
}

fn development(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let SourceSettings::DevCa { trust_domain, .. } = &settings.identity.source {
        findings.push(
            Finding::warning(
                "dev_ca",
                format!(
                    "the identity comes from the development CA of {}",
                    trust_domain.as_str()
                ),
            )
            .why("its key is on this machine; nobody else has a reason to trust it")
            .fix("for anything but development: identity.source: auto"),
        );
    }
    if settings.tokens == TokenSourceSettings::Dev {
        findings.push(
            Finding::warning("dev_tokens", "the tokens come from the embedded platform")
                .why("no API of Google's takes them")
                .fix("for anything but development: tokens.source: auto"),
        );
    }
    findings
}

/// What everybody may read or enter.
fn modes(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in settings
        .publish
        .iter()
        .filter(|entry| entry.key_mode & 0o004 != 0)
    {
        let directory = entry.directory.display();
        findings.push(
            Finding::warning(
                "unsafe_key_mode",
                format!("everybody may read the private key that is published in {directory}"),
            )
            .why("unsafe_key_mode says so; every process on this machine can be this VM")
            .fix("key_mode: \"0640\" with a group that the readers are in"),
        );
    }
    if settings
        .admin
        .socket
        .as_ref()
        .is_some_and(|socket| socket.mode & 0o002 != 0)
    {
        findings.push(
            Finding::warning("admin_socket_open", "everybody may connect to the admin socket")
                .why("its mode says so; who connects can see the status and ask for reloads")
                .fix("api.admin.mode: \"0660\" with a group of operators"),
        );
    }
    findings
}

fn plaintext(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(beyond_loopback(&settings.admin).map(|tcp| {
        Finding::warning(
            "unsafe_listen",
            format!("health and metrics are served on {tcp} in plaintext"),
        )
        .why("unsafe_listen says so; whoever reaches this address reads them")
        .fix("listen on 127.0.0.1 and put TLS before it")
    }));
    for (api, door) in [
        ("the SPIFFE Workload API", &settings.workload),
        ("the metadata-compatible API", &settings.metadata),
    ] {
        findings.extend(beyond_loopback(door).map(|tcp| {
            Finding::warning("unsafe_listen", format!("{api} listens on {tcp} in plaintext"))
                .why("unsafe_listen says so; no caller from another machine or network namespace can be attested, so nobody there is served")
                .fix("listen on 127.0.0.1 and [::1]")
        }));
    }
    findings
}

fn beyond_loopback(door: &DoorSettings) -> impl Iterator<Item = SocketAddr> {
    door.listen.iter().filter_map(|address| match address {
        Address::Tcp(tcp) if !tcp.ip().to_canonical().is_loopback() => Some(*tcp),
        _ => None,
    })
}
