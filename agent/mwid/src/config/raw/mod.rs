//! The raw mirror of the file: the same keys, texts as written. In: serde's events. Out: plain structs. No I/O, no judging of values.
//!
//! Every key is optional, since every key has a default; a key without a value (null) never comes here, the survey refuses it.

mod alternatives;
mod scalar;

pub(super) use alternatives::{Listen, Socket, Source};
pub(super) use scalar::{ModeText, NameText, PathText, Secret, Text, TimeText};

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) identity: Option<Identity>,
    pub(super) runtime_dir: Option<PathText>,
    pub(super) publish: Option<Vec<Publish>>,
    pub(super) api: Option<Api>,
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
    pub(super) admin: Option<Admin>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) socket: Option<Socket>,
    pub(super) mode: Option<ModeText>,
    pub(super) owner: Option<NameText>,
    pub(super) group: Option<NameText>,
    pub(super) listen: Option<Listen>,
    pub(super) unsafe_listen: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<Text>,
    pub(super) format: Option<Text>,
}
