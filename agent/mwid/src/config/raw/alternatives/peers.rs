//! `allow`, `deny` and `expect` of routes: a text, or conditions; and what is one text or a list.
use crate::config::raw::PeerKeys;
use crate::config::raw::scalar::Text;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// An ID, a pattern or a trust domain; or conditions.
#[derive(Debug)]
pub(in crate::config) enum Peer {
    Text(String),
    Keys(Box<PeerKeys>),
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeerWords)
    }
}

struct PeerWords;

impl<'de> Visitor<'de> for PeerWords {
    type Value = Peer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a SPIFFE ID, a pattern, a trust domain, or a map of conditions, such as { trust_domain: example.org, path: /ns/shop/** }",
        )
    }

    fn visit_str<E>(self, text: &str) -> Result<Peer, E> {
        Ok(Peer::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Peer, A::Error> {
        PeerKeys::deserialize(MapAccessDeserializer::new(map)).map(|keys| Peer::Keys(Box::new(keys)))
    }
}

/// A text, or a list of texts.
#[derive(Debug)]
pub(in crate::config) enum Texts {
    One(String),
    Many(Vec<Text>),
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsWords)
    }
}

struct TextsWords;

impl<'de> Visitor<'de> for TextsWords {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Texts, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Texts::Many)
    }
}
