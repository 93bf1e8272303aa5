//! `forward` and `connect` of routes.
use super::super::scalar::Address;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;

/// An address, or a list of addresses.
#[derive(Debug)]
pub(in crate::config) enum Targets {
    One(Address),
    Many(Vec<Address>),
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetsWords)
    }
}

struct TargetsWords;

impl<'de> Visitor<'de> for TargetsWords {
    type Value = Targets;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as \"127.0.0.1:8080\", or a list of addresses")
    }

    fn visit_str<E>(self, text: &str) -> Result<Targets, E> {
        Ok(Targets::One(Address(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Targets, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Targets::Many)
    }
}
