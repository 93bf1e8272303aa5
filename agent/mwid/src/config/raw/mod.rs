//! The raw mirror of the file: the same keys, texts as written. In: serde's events. Out: plain structs. No I/O, no judging of values.
//!
//! Every key is optional, since every key has a default; a key without a value (null) never comes here, the survey refuses it.

mod alternatives;
mod proxy;
mod scalar;

pub(super) use alternatives::{
    AcceptProxy, Allowed, Http, Listen, Peer, Socket, Source, Targets, Texts, TokenSource, Who,
};
pub(super) use proxy::{AcceptProxyKeys, HttpKeys, Inbound, Outbound, PeerKeys, Proxy, Timeouts};
pub(super) use scalar::{Address, HashText, IdNumber, ModeText, NameText, PathText, Secret, Text, TimeText};

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) identity: Option<Identity>,
    pub(super) runtime_dir: Option<PathText>,
    pub(super) publish: Option<Vec<Publish>>,
    pub(super) api: Option<Api>,
    pub(super) tokens: Option<Tokens>,
    pub(super) access: Option<Vec<Access>>,
    pub(super) proxy: Option<Proxy>,
    pub(super) log: Option<Log>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) source: Option<Source>,
    pub(super) expect: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuestAgent {
    pub(super) directory: Option<PathText>,
    pub(super) poll: Option<TimeText>,
}

/// `metadata` and `metadata_grpc`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) address: Option<Text>,
    pub(super) poll: Option<TimeText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkloadApi {
    pub(super) socket: Option<Text>,
    pub(super) hint: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DevCa {
    pub(super) trust_domain: Option<Text>,
    pub(super) path: Option<Text>,
    pub(super) lifetime: Option<TimeText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish {
    pub(super) directory: Option<PathText>,
    pub(super) files: Option<Vec<Text>>,
    pub(super) owner: Option<NameText>,
    pub(super) group: Option<NameText>,
    pub(super) key_mode: Option<ModeText>,
    pub(super) unsafe_key_mode: Option<ModeText>,
    pub(super) store_password: Option<Secret>,
    pub(super) then: Option<Vec<Reaction>>,
}

/// One of `reload`, `signal` with `of`, `run`; which keys go together is settled later, so that the message can say it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reaction {
    pub(super) reload: Option<Text>,
    pub(super) signal: Option<Text>,
    pub(super) of: Option<Text>,
    pub(super) run: Option<Vec<Text>>,
    pub(super) timeout: Option<TimeText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    pub(super) admin: Option<Door>,
    pub(super) workload: Option<Workload>,
    pub(super) metadata: Option<Door>,
    pub(super) credential: Option<Door>,
}

/// A door with what is behind it: serde refuses unknown keys only where all of them are in one place.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    socket: Option<Socket>,
    mode: Option<ModeText>,
    owner: Option<NameText>,
    group: Option<NameText>,
    listen: Option<Listen>,
    unsafe_listen: Option<bool>,
    sds: Option<Sds>,
}

impl Workload {
    pub(super) fn into_parts(self) -> (Door, Sds) {
        let door = Door {
            socket: self.socket,
            mode: self.mode,
            owner: self.owner,
            group: self.group,
            listen: self.listen,
            unsafe_listen: self.unsafe_listen,
        };
        (door, self.sds.unwrap_or_default())
    }
}

/// Envoy's secret discovery service.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sds {
    pub(super) default: Option<Text>,
    pub(super) root: Option<Text>,
    pub(super) all: Option<Text>,
    pub(super) spiffe_validator: Option<bool>,
}

/// One API's socket and addresses.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Door {
    pub(super) socket: Option<Socket>,
    pub(super) mode: Option<ModeText>,
    pub(super) owner: Option<NameText>,
    pub(super) group: Option<NameText>,
    pub(super) listen: Option<Listen>,
    pub(super) unsafe_listen: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tokens {
    pub(super) source: Option<TokenSource>,
}

/// The source of tokens that has the identity's name too, but fetches when it is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenMetadata {
    pub(super) address: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adc {
    pub(super) file: Option<PathText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Impersonate {
    pub(super) email: Option<Text>,
    pub(super) from: Option<Box<TokenSource>>,
    pub(super) delegates: Option<Vec<Text>>,
    pub(super) endpoint: Option<Text>,
}

/// One access rule.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    pub(super) who: Option<Who>,
    pub(super) may: Option<May>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caller {
    pub(super) user: Option<NameText>,
    pub(super) uid: Option<IdNumber>,
    pub(super) group: Option<NameText>,
    pub(super) gid: Option<IdNumber>,
    pub(super) unit: Option<Text>,
    pub(super) exe: Option<PathText>,
    pub(super) sha256: Option<HashText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct May {
    pub(super) identity: Option<bool>,
    pub(super) access_tokens: Option<Allowed<Scopes>>,
    pub(super) id_tokens: Option<Allowed<Audiences>>,
    pub(super) routes: Option<Vec<Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scopes {
    pub(super) scopes: Option<Vec<Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audiences {
    pub(super) audiences: Option<Vec<Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Text>,
    pub(super) format: Option<Text>,
}
