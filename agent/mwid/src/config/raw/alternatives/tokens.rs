//! `tokens.source`: a word, or a map with one key.
use crate::config::raw::{Adc, Impersonate, TokenMetadata};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Unexpected, Visitor};
use std::fmt;

#[derive(Debug)]
pub(in crate::config) enum TokenSource {
    Word(String),
    Metadata(TokenMetadata),
    Adc(Adc),
    Impersonate(Impersonate),
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Metadata,
    Adc,
    Impersonate,
}

impl<'de> Deserialize<'de> for TokenSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = TokenSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auto, none, or one source of tokens, such as { adc: { file: /path } }")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<TokenSource, E> {
        Ok(TokenSource::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenSource, A::Error> {
        let source = match map.next_key()? {
            Some(Key::Metadata) => TokenSource::Metadata(map.next_value()?),
            Some(Key::Adc) => TokenSource::Adc(map.next_value()?),
            Some(Key::Impersonate) => TokenSource::Impersonate(map.next_value()?),
            None => return Err(de::Error::invalid_value(Unexpected::Other("an empty map"), &self)),
        };
        if map.next_key::<Key>()?.is_some() {
            return Err(de::Error::invalid_value(Unexpected::Other("two sources"), &self));
        }
        Ok(source)
    }
}
