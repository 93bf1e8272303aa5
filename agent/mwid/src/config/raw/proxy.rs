//! The keys of `proxy`.
use super::alternatives::{AcceptProxy, Http, Peer, Targets, Texts};
use super::scalar::{Address, IdNumber, ModeText, NameText, Text, TimeText};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Proxy {
    pub(in crate::config) inbound: Option<Vec<Inbound>>,
    pub(in crate::config) outbound: Option<Vec<Outbound>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Inbound {
    pub(in crate::config) name: Option<Text>,
    pub(in crate::config) listen: Option<Address>,
    pub(in crate::config) forward: Option<Targets>,
    pub(in crate::config) unsafe_forward: Option<bool>,
    pub(in crate::config) allow: Option<Vec<Peer>>,
    pub(in crate::config) unsafe_allow_all: Option<bool>,
    pub(in crate::config) deny: Option<Vec<Peer>>,
    pub(in crate::config) dry_run: Option<bool>,
    pub(in crate::config) send_proxy: Option<Text>,
    pub(in crate::config) accept_proxy: Option<AcceptProxy>,
    pub(in crate::config) http: Option<Http>,
    pub(in crate::config) alpn: Option<Vec<Text>>,
    pub(in crate::config) tls12: Option<bool>,
    pub(in crate::config) close_expired: Option<bool>,
    pub(in crate::config) max_connections: Option<IdNumber>,
    pub(in crate::config) max_handshakes: Option<IdNumber>,
    pub(in crate::config) timeouts: Option<Timeouts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Outbound {
    pub(in crate::config) name: Option<Text>,
    pub(in crate::config) listen: Option<Address>,
    pub(in crate::config) unsafe_listen: Option<bool>,
    pub(in crate::config) mode: Option<ModeText>,
    pub(in crate::config) owner: Option<NameText>,
    pub(in crate::config) group: Option<NameText>,
    pub(in crate::config) connect: Option<Targets>,
    pub(in crate::config) expect: Option<Peer>,
    pub(in crate::config) server_name: Option<Text>,
    pub(in crate::config) alpn: Option<Vec<Text>>,
    pub(in crate::config) tls12: Option<bool>,
    pub(in crate::config) close_expired: Option<bool>,
    pub(in crate::config) max_connections: Option<IdNumber>,
    pub(in crate::config) max_connections_per_user: Option<IdNumber>,
    pub(in crate::config) max_handshakes: Option<IdNumber>,
    pub(in crate::config) timeouts: Option<Timeouts>,
}

/// The conditions of a rule on peers.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PeerKeys {
    pub(in crate::config) id: Option<Text>,
    pub(in crate::config) trust_domain: Option<Texts>,
    pub(in crate::config) path: Option<Texts>,
    pub(in crate::config) not: Option<Texts>,
}

/// The keys of `http`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpKeys {
    pub(in crate::config) to: Option<Text>,
}

/// The keys of `accept_proxy`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AcceptProxyKeys {
    pub(in crate::config) from: Option<Vec<Text>>,
}

/// Each a time, or `none` where that can be.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Timeouts {
    pub(in crate::config) handshake: Option<TimeText>,
    pub(in crate::config) connect: Option<TimeText>,
    pub(in crate::config) idle: Option<TimeText>,
    pub(in crate::config) half_close: Option<TimeText>,
    pub(in crate::config) lifetime: Option<TimeText>,
    pub(in crate::config) unacknowledged: Option<TimeText>,
}
