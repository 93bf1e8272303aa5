//! `access`: whom a rule means, and what may be all, nothing or a list.
use crate::config::raw::{Audiences, Caller, Scopes};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// `everyone`, or conditions.
#[derive(Debug)]
pub(in crate::config) enum Who {
    Word(String),
    Caller(Box<Caller>),
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WhoWords)
    }
}

struct WhoWords;

impl<'de> Visitor<'de> for WhoWords {
    type Value = Who;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("everyone, or a map of conditions, such as { unit: payments.service }")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Who, E> {
        Ok(Who::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Who, A::Error> {
        Caller::deserialize(MapAccessDeserializer::new(map)).map(|caller| Who::Caller(Box::new(caller)))
    }
}

/// `true`, `false`, or a map with a list.
#[derive(Debug)]
pub(in crate::config) enum Allowed<T> {
    All,
    Nothing,
    Some(T),
}

/// What is wanted in the place of each.
trait Wanted {
    const WANTED: &'static str;
}

impl Wanted for Scopes {
    const WANTED: &'static str = "true, false or { scopes: [SCOPE, …] }";
}

impl Wanted for Audiences {
    const WANTED: &'static str = "true, false or { audiences: [AUDIENCE, …] }";
}

impl<'de, T: DeserializeOwned + Wanted> Deserialize<'de> for Allowed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AllowedWords(PhantomData))
    }
}

struct AllowedWords<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned + Wanted> Visitor<'de> for AllowedWords<T> {
    type Value = Allowed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WANTED)
    }

    fn visit_bool<E: de::Error>(self, all: bool) -> Result<Allowed<T>, E> {
        Ok(if all { Allowed::All } else { Allowed::Nothing })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Allowed<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Allowed::Some)
    }
}
