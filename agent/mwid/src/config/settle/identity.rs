//! `identity`: where the identity comes from, and which one is expected.
use super::place::At;
use super::values::{quoted, server_address};
use crate::config::defaults::{
    DEV_CA_LIFETIME, DEV_CA_PATH, Defaults, GUEST_AGENT_DIRECTORY, GUEST_AGENT_POLL, METADATA_POLL,
    dev_trust_domain,
};
use crate::config::error::Wrong;
use crate::config::{Endpoint, IdentitySettings, SourceSettings, raw};
use mtls_identity::IdPattern;
use mtls_identity::spiffe_id::{SpiffeId, TrustDomain};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const SHORTEST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(3600);
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// As SPIFFE Workload API, section 5.2.3, has it.
const LONGEST_HINT: usize = 1024;

pub(super) fn settle(at: &At, raw: raw::Identity, base: &Defaults) -> IdentitySettings {
    let source = match raw.source {
        Some(source) => self::source(&at.key("source"), source).unwrap_or(SourceSettings::None),
        None => base.source.clone(),
    };
    IdentitySettings {
        source,
        expect: at.maybe("expect", raw.expect.map(|text| pattern(&text.0))),
    }
}

fn source(at: &At, raw: raw::Source) -> Option<SourceSettings> {
    Some(match raw {
        raw::Source::Word(word) => match word.as_str() {
            "auto" => SourceSettings::Auto,
            "none" => SourceSettings::None,
            // Each by its bare name: as it is without keys of its own.
            "guest_agent" => guest_agent(at, raw::GuestAgent::default()),
            "metadata" => metadata(at, raw::Metadata::default()),
            "metadata_grpc" => metadata_grpc(at, raw::Metadata::default()),
            "workload_api" => workload_api(at, raw::WorkloadApi::default())?,
            "dev_ca" => dev_ca(at, raw::DevCa::default()),
            other => {
                at.refuse(unknown_source(other));
                return None;
            }
        },
        raw::Source::GuestAgent(raw) => guest_agent(&at.key("guest_agent"), raw),
        raw::Source::Metadata(raw) => metadata(&at.key("metadata"), raw),
        raw::Source::MetadataGrpc(raw) => metadata_grpc(&at.key("metadata_grpc"), raw),
        raw::Source::WorkloadApi(raw) => workload_api(&at.key("workload_api"), raw)?,
        raw::Source::DevCa(raw) => dev_ca(&at.key("dev_ca"), raw),
    })
}

fn unknown_source(word: &str) -> Wrong {
    Wrong::new(
        &quoted(word),
        "auto, none, guest_agent, metadata_grpc, metadata, workload_api or dev_ca",
    )
}

fn guest_agent(at: &At, raw: raw::GuestAgent) -> SourceSettings {
    SourceSettings::GuestAgent {
        directory: at.path(raw.directory, "directory", PathBuf::from(GUEST_AGENT_DIRECTORY)),
        poll: at.time(raw.poll, "poll", SHORTEST_POLL..=LONGEST_POLL, GUEST_AGENT_POLL),
    }
}

fn metadata(at: &At, raw: raw::Metadata) -> SourceSettings {
    let (address, poll) = server(at, raw);
    SourceSettings::Metadata { address, poll }
}

fn metadata_grpc(at: &At, raw: raw::Metadata) -> SourceSettings {
    let (address, poll) = server(at, raw);
    SourceSettings::MetadataGrpc { address, poll }
}

fn server(at: &At, raw: raw::Metadata) -> (Option<SocketAddr>, Duration) {
    (
        at.maybe(
            "address",
            raw.address.map(|text| server_address(&text.0, "the private key")),
        ),
        at.time(raw.poll, "poll", SHORTEST_POLL..=LONGEST_POLL, METADATA_POLL),
    )
}

/// Without a socket there is nobody to ask: the variable that SPIFFE clients read is for programs, and a daemon's is rarely what its owner thinks.
fn workload_api(at: &At, raw: raw::WorkloadApi) -> Option<SourceSettings> {
    let Some(socket) = raw.socket else {
        at.refuse(
            Wrong::new("no socket", "the agent's place")
                .fix("write { workload_api: { socket: \"unix:///run/spire/sockets/agent.sock\" } }"),
        );
        return None;
    };
    let hint = at.maybe("hint", raw.hint.map(|text| hint(&text.0)));
    let socket = at.maybe("socket", Some(agent(&socket.0)))?;
    Some(SourceSettings::WorkloadApi { socket, hint })
}

fn agent(text: &str) -> Result<Endpoint, Wrong> {
    let wanted = "a Workload API's place: unix:///PATH, or tcp://IP:PORT of this machine";
    let wrong = || Wrong::new(&quoted(text), wanted);
    match Endpoint::parse(text) {
        Ok(Endpoint::Tcp(address)) if !address.ip().is_loopback() => {
            Err(wrong().fix("the private key would travel over the network in plain text"))
        }
        Ok(Endpoint::Tcp(address)) if address.port() == 0 => Err(wrong().fix("nobody listens at port 0")),
        Ok(endpoint) => Ok(endpoint),
        Err(_) => Err(wrong()),
    }
}

fn hint(text: &str) -> Result<String, Wrong> {
    match text.is_empty() || text.len() > LONGEST_HINT || text.chars().any(char::is_control) {
        true => Err(Wrong::new(
            &quoted(text),
            "the hint of one of the agent's SVIDs, such as internal",
        )),
        false => Ok(text.to_owned()),
    }
}

fn dev_ca(at: &At, raw: raw::DevCa) -> SourceSettings {
    let trust_domain = at.take(
        "trust_domain",
        raw.trust_domain.map(|t| trust_domain(&t.0)),
        dev_trust_domain(),
    );
    let path = raw.path.map(|text| id_path(&text.0, &trust_domain));
    SourceSettings::DevCa {
        path: at.take("path", path, DEV_CA_PATH.to_owned()),
        lifetime: at.time(
            raw.lifetime,
            "lifetime",
            SHORTEST_LIFE..=LONGEST_LIFE,
            DEV_CA_LIFETIME,
        ),
        trust_domain,
    }
}

fn trust_domain(text: &str) -> Result<TrustDomain, Wrong> {
    TrustDomain::parse(text).map_err(|error| {
        Wrong::new(
            &quoted(text),
            "a trust domain's name such as dev.internal (a-z, 0-9, dot, dash, underscore; no scheme)",
        )
        .fix(crate::report::Causes(&error).to_string())
    })
}

/// The path of a SPIFFE ID, judged as a part of one.
fn id_path(text: &str, trust_domain: &TrustDomain) -> Result<String, Wrong> {
    let wrong = || Wrong::new(&quoted(text), "the path of a SPIFFE ID, such as /ns/dev/sa/vm");
    if !text.starts_with('/') {
        return Err(wrong().fix("begin it with a slash"));
    }
    match SpiffeId::parse(&format!("{}{text}", trust_domain.id())) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(wrong().fix(crate::report::Causes(&error).to_string())),
    }
}

fn pattern(text: &str) -> Result<IdPattern, Wrong> {
    IdPattern::parse(text).map_err(|error| {
        Wrong::new(
            &quoted(text),
            "a pattern of SPIFFE IDs, such as spiffe://example.org/ns/*/sa/** (`*` one segment, `**` the rest)",
        )
        .fix(crate::report::Causes(&error).to_string())
    })
}
