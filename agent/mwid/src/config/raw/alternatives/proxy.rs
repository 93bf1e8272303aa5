//! `http` and `accept_proxy` of a route: a word, or a map.
use crate::config::raw::{AcceptProxyKeys, HttpKeys};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;

/// `true`, `false`, or a map.
#[derive(Debug)]
pub(in crate::config) enum Http {
    Word(bool),
    Keys(HttpKeys),
}

impl<'de> Deserialize<'de> for Http {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HttpWords)
    }
}

struct HttpWords;

impl<'de> Visitor<'de> for HttpWords {
    type Value = Http;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or { to: auto }, { to: h1 }, { to: h2c }")
    }

    fn visit_bool<E: de::Error>(self, word: bool) -> Result<Http, E> {
        Ok(Http::Word(word))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Http, A::Error> {
        HttpKeys::deserialize(MapAccessDeserializer::new(map)).map(Http::Keys)
    }
}

/// `true`, `false`, or a map.
#[derive(Debug)]
pub(in crate::config) enum AcceptProxy {
    Word(bool),
    Keys(AcceptProxyKeys),
}

impl<'de> Deserialize<'de> for AcceptProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AcceptProxyWords)
    }
}

struct AcceptProxyWords;

impl<'de> Visitor<'de> for AcceptProxyWords {
    type Value = AcceptProxy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or the load balancers' addresses, { from: [\"10.0.0.0/8\"] }")
    }

    fn visit_bool<E: de::Error>(self, word: bool) -> Result<AcceptProxy, E> {
        Ok(AcceptProxy::Word(word))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AcceptProxy, A::Error> {
        AcceptProxyKeys::deserialize(MapAccessDeserializer::new(map)).map(AcceptProxy::Keys)
    }
}
