//! Keys that are written in more than one way. By hand rather than serde's `untagged`, which forgets where an error was.
mod access;
mod peers;
mod proxy;
mod targets;
mod tokens;

pub(in crate::config) use access::{Allowed, Who};
pub(in crate::config) use peers::{Peer, Texts};
pub(in crate::config) use proxy::{AcceptProxy, Http};
pub(in crate::config) use targets::Targets;
pub(in crate::config) use tokens::TokenSource;

use super::scalar::Address;
use super::{DevCa, GuestAgent, Metadata, WorkloadApi};
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// `auto`, or a map with one key.
#[derive(Debug)]
pub(in crate::config) enum Source {
    Word(String),
    GuestAgent(GuestAgent),
    Metadata(Metadata),
    MetadataGrpc(Metadata),
    WorkloadApi(WorkloadApi),
    DevCa(DevCa),
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum SourceKey {
    GuestAgent,
    Metadata,
    MetadataGrpc,
    WorkloadApi,
    DevCa,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceWords)
    }
}

struct SourceWords;

impl<'de> Visitor<'de> for SourceWords {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, none, or one source, such as { guest_agent: { poll: 30s } }")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Source, E> {
        Ok(Source::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
        let source = match map.next_key()? {
            Some(SourceKey::GuestAgent) => Source::GuestAgent(map.next_value()?),
            Some(SourceKey::Metadata) => Source::Metadata(map.next_value()?),
            Some(SourceKey::MetadataGrpc) => Source::MetadataGrpc(map.next_value()?),
            Some(SourceKey::WorkloadApi) => Source::WorkloadApi(map.next_value()?),
            Some(SourceKey::DevCa) => Source::DevCa(map.next_value()?),
            None => return Err(de::Error::invalid_value(Unexpected::Other("an empty map"), &self)),
        };
        if map.next_key::<SourceKey>()?.is_some() {
            return Err(de::Error::invalid_value(Unexpected::Other("two sources"), &self));
        }
        Ok(source)
    }
}

/// `off`, an address, or a list of addresses.
#[derive(Debug)]
pub(in crate::config) enum Listen {
    Off,
    One(Address),
    Many(Vec<Address>),
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListenWords)
    }
}

struct ListenWords;

impl<'de> Visitor<'de> for ListenWords {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"127.0.0.1:9090\", a list of addresses, or off")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
        Ok(match text {
            "off" => Listen::Off,
            address => Listen::One(Address(address.to_owned())),
        })
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Listen, E> {
        off(on, &self).map(|()| Listen::Off)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Listen, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Listen::Many)
    }
}

/// A path, or `off`.
#[derive(Debug)]
pub(in crate::config) enum Socket {
    Off,
    Path(String),
}

impl<'de> Deserialize<'de> for Socket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SocketWords)
    }
}

struct SocketWords;

impl Visitor<'_> for SocketWords {
    type Value = Socket;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a socket's path, or off")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Socket, E> {
        Ok(match text {
            "off" => Socket::Off,
            path => Socket::Path(path.to_owned()),
        })
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Socket, E> {
        off(on, &self).map(|()| Socket::Off)
    }
}

/// `false` means off: it is what YAML 1.1 makes of the word.
fn off<E: de::Error>(on: bool, wanted: &dyn de::Expected) -> Result<(), E> {
    if on {
        return Err(E::invalid_type(Unexpected::Bool(true), wanted));
    }
    Ok(())
}
