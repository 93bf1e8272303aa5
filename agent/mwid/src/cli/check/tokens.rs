//! The source of tokens: is what it names there?
use super::{Finding, Scene, credentials, server};
use crate::config::TokenSourceSettings;
use crate::metadata::{Client, MetadataError};
use crate::report::Causes;
use std::net::SocketAddr;
use std::path::Path;

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    of(scene, &scene.settings.tokens)
}

fn of(scene: &Scene<'_>, source: &TokenSourceSettings) -> Vec<Finding> {
    let environment = &scene.looker.environment;
    match source {
        TokenSourceSettings::None | TokenSourceSettings::Dev => Vec::new(),
        TokenSourceSettings::Metadata { address } => metadata(address.unwrap_or(scene.server.http)),
        TokenSourceSettings::Adc { file: Some(file) } => credentials::probe(file),
        TokenSourceSettings::Adc { file: None } => {
            let found = environment
                .credentials
                .clone()
                .or_else(|| environment.well_known());
            found.map_or_else(|| vec![no_place()], |file| in_environment(&file))
        }
        TokenSourceSettings::Impersonate { from, .. } => of(scene, from),
        TokenSourceSettings::Auto => match &environment.credentials {
            Some(file) => in_environment(file),
            // Like the daemon: nobody is asked before a program wants a token.
            None if scene.server.expected => Vec::new(),
            None => match environment.well_known().filter(|file| file.exists()) {
                Some(file) => in_environment(&file),
                None => vec![nothing()],
            },
        },
    }
}

/// The environment is that of who looks, not the daemon's.
fn in_environment(file: &Path) -> Vec<Finding> {
    let mut findings = credentials::probe(file);
    for finding in &mut findings {
        finding.why.push_str(
            "; it was found by the environment of this command, and the daemon has its own (to name it once: tokens.source: { adc: { file: … } })",
        );
    }
    findings
}

fn no_place() -> Finding {
    Finding::error(
        "credentials_absent",
        "tokens.source: adc names no file, and neither GOOGLE_APPLICATION_CREDENTIALS, CLOUDSDK_CONFIG nor HOME is set",
    )
    .why("until it can be used, mwid has no tokens to give")
    .fix("tokens.source: { adc: { file: /etc/mwid/credentials.json } }")
}

fn nothing() -> Finding {
    Finding::note(
        "tokens_absent",
        "there is nothing here that tokens.source: auto could use: this is no VM of Compute Engine, and there are no Application \
         Default Credentials",
    )
    .why("programs that ask mwid for tokens are told to try again later")
    .fix("run `gcloud auth application-default login`, or say tokens.source: none, or dev to develop without Google")
}

fn metadata(address: SocketAddr) -> Vec<Finding> {
    let client = Client::new(address);
    let asked = server::wait_for(client.read("instance/service-accounts/default/email"));
    asked
        .err()
        .map(|error| refused(address, &error))
        .into_iter()
        .collect()
}

fn refused(address: SocketAddr, error: &MetadataError) -> Finding {
    let why = "until it answers, mwid has no tokens to give but those in its cache";
    let told = |id, fix: &str| Finding::error(id, Causes(error).to_string()).why(why).fix(fix);
    match error.reason() {
        "unreachable" | "timed_out" => told(
            "tokens_unreachable",
            "on a VM: see which firewall rule or network namespace keeps this user from it; elsewhere: name another tokens.source",
        ),
        "not_metadata" => told(
            "tokens_not_metadata",
            "correct the source's address, or GCE_METADATA_HOST in the daemon's environment",
        ),
        "not_found" => Finding::error(
            "no_service_account",
            format!("the metadata server at {address} has no service account for this VM"),
        )
        .why("without one there are no tokens")
        .fix("stop the VM and: gcloud compute instances set-service-account; or tokens.source: none"),
        "busy" => {
            let mut finding = told("tokens_busy", "check again in a moment");
            finding.severity = super::Severity::Warning;
            finding
        }
        _ => told(
            "tokens_broken",
            "compare with what curl gets from the same address",
        ),
    }
}
