//! Where a value is written. In: the text and a key path. Out: the line and column of that value, or of the nearest map or list
//! above it when it is not written at all.
use super::{at, documents, words};
use crate::config::error::Place;
use crate::config::key_path::{KeyPath, Step};
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

pub(in crate::config) fn place(text: &str, path: &KeyPath) -> Option<Place> {
    let document = documents(text).next()?;
    let error = Here(path.steps()).deserialize(document).err()?;
    at(&error)
}

/// Raises an error at the value to which the steps lead.
pub(super) struct Here<'p>(pub(super) &'p [Step]);

impl<'de> DeserializeSeed<'de> for Here<'_> {
    type Value = IgnoredAny;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<IgnoredAny, D::Error> {
        deserializer.deserialize_any(self)
    }
}

macro_rules! raise {
    ($($visit:ident($($type:ty)?)),*) => {
        $(fn $visit<E: de::Error>(self $(, _: $type)?) -> Result<IgnoredAny, E> {
            Err(words::raised())
        })*
    };
}

impl<'de> Visitor<'de> for Here<'_> {
    type Value = IgnoredAny;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    raise!(
        visit_bool(bool),
        visit_i64(i64),
        visit_i128(i128),
        visit_u64(u64),
        visit_u128(u128),
        visit_f64(f64),
        visit_str(&str),
        visit_none(),
        visit_unit()
    );

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IgnoredAny, A::Error> {
        let Some((Step::Item(wanted), rest)) = self.0.split_first() else {
            return Err(words::raised());
        };
        for _ in 0..*wanted {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Err(words::raised());
            }
        }
        items.next_element_seed(Here(rest))?;
        Err(words::raised())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IgnoredAny, A::Error> {
        let Some((Step::Key(wanted), rest)) = self.0.split_first() else {
            return Err(words::raised());
        };
        while let Some(key) = map.next_key::<String>()? {
            if key == *wanted {
                map.next_value_seed(Here(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(words::raised())
    }
}
