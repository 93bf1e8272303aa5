//! `http` of a route: a word, or a map.
use crate::config::raw::HttpKeys;
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
