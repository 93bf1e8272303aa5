//! Walks a whole document once, for what the YAML library lets pass. In: a document. Out: whether there is anything in it, or the
//! first problem. Keeps no value.
use super::{at, words};
use crate::config::error::{Problem, Wrong, shown};
use crate::config::key_path::{KeyPath, Step};
use serde::de::{self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, Visitor};
use serde_yaml::Deserializer;
use std::collections::BTreeSet;
use std::fmt;

/// Far more than any configuration holds; anchors can make little text into much.
const MOST_VALUES: usize = 100_000;
const MOST_BYTES: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    Something,
}

pub(super) fn survey(document: Deserializer<'_>) -> Result<Content, Problem> {
    let mut walk = Walk::default();
    match Values(&mut walk).deserialize(document) {
        Ok(content) => Ok(content),
        Err(error) => {
            let key = shown(&walk.path.to_string());
            Err(match walk.wrong {
                Some(wrong) => Problem {
                    at: at(&error),
                    key,
                    wrong,
                },
                None => Problem {
                    at: at(&error),
                    ..words::of(&error, &key)
                },
            })
        }
    }
}

#[derive(Default)]
struct Walk {
    path: KeyPath,
    values: usize,
    bytes: usize,
    wrong: Option<Wrong>,
}

impl Walk {
    /// Remembers what is wrong and gives the error whose place the library fills in.
    fn stop<E: de::Error>(&mut self, wrong: Wrong) -> E {
        self.wrong = Some(wrong);
        words::raised()
    }

    fn count<E: de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.values += 1;
        self.bytes += bytes;
        if self.values > MOST_VALUES || self.bytes > MOST_BYTES {
            return Err(self.stop(Wrong::new(
                "more values than any configuration has",
                format!("at most {MOST_VALUES} values and {MOST_BYTES} bytes, anchors followed"),
            )));
        }
        Ok(())
    }
}

struct Values<'w>(&'w mut Walk);

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Content;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($visit:ident($type:ty)),*) => {
        $(fn $visit<E: de::Error>(self, _: $type) -> Result<Content, E> {
            self.0.count(0).map(|()| Content::Something)
        })*
    };
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars!(
        visit_bool(bool),
        visit_i64(i64),
        visit_i128(i128),
        visit_u64(u64),
        visit_u128(u128),
        visit_f64(f64)
    );

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        self.0.count(text.len()).map(|()| Content::Something)
    }

    fn visit_none<E: de::Error>(self) -> Result<Content, E> {
        self.visit_unit()
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        if self.0.path.is_root() {
            return Ok(Content::Nothing);
        }
        Err(self.0.stop(
            Wrong::new("nothing (null)", "a value")
                .fix("give it one, or remove the key: absent keys have defaults"),
        ))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        self.0.count(0)?;
        for index in 0.. {
            self.0.path.push(Step::Item(index));
            let item = items.next_element_seed(Values(self.0))?;
            self.0.path.pop();
            if item.is_none() {
                break;
            }
        }
        Ok(Content::Something)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        self.0.count(0)?;
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key(self.0, &keys))? {
            keys.insert(key.clone());
            self.0.path.push(Step::Key(key));
            map.next_value_seed(Values(self.0))?;
            self.0.path.pop();
        }
        Ok(Content::Something)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Content, A::Error> {
        Err(self.0.stop(Wrong::new("a YAML tag", "plain values").fix(
            "remove the word that begins with `!`; alternatives are written as a map, { guest_agent: { … } }",
        )))
    }
}

/// A key: text, or a number or a truth value that somebody wrote as a key, which no map here has.
struct Key<'w>(&'w mut Walk, &'w BTreeSet<String>);

impl Key<'_> {
    fn take<E: de::Error>(self, key: &str) -> Result<String, E> {
        self.0.count(key.len())?;
        if self.1.contains(key) {
            self.0.path.push(Step::Key(key.to_owned()));
            return Err(self.0.stop(
                Wrong::new("the key a second time in one map", "each key once")
                    .fix("remove one of the two; YAML would silently use the last"),
            ));
        }
        Ok(key.to_owned())
    }

    fn no_text<E: de::Error>(self, found: &str) -> E {
        self.0
            .stop(Wrong::new(&format!("{found} as a key"), "a name as a key"))
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! scalar_keys {
    ($($visit:ident($type:ty)),*) => {
        $(fn $visit<E: de::Error>(self, key: $type) -> Result<String, E> {
            self.take(&key.to_string())
        })*
    };
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    scalar_keys!(
        visit_bool(bool),
        visit_i64(i64),
        visit_i128(i128),
        visit_u64(u64),
        visit_u128(u128),
        visit_f64(f64),
        visit_str(&str)
    );

    fn visit_none<E: de::Error>(self) -> Result<String, E> {
        Err(self.no_text("nothing (null)"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        Err(self.no_text("nothing (null)"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(self.no_text("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(self.no_text("a map"))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(self.no_text("a YAML tag"))
    }
}
