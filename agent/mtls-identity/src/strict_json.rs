//! JSON that holds no key twice in one object, on any level: readers differ in which of the two they take.
//!
//! In: bytes, whose size the caller has bounded. Out: an object, or where it is at fault. Never goes deeper than 128 levels.

use crate::certificate::shorten;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::fmt;

/// Why bytes are no such object.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StrictJsonError {
    /// Not JSON.
    #[error("it is not JSON")]
    Syntax(#[source] serde_json::Error),
    /// One object holds a key twice.
    #[error(
        "the JSON key {key:?} is there twice in one object, at line {line}; readers differ in which one they take"
    )]
    DuplicateKey {
        /// The key, at most 128 characters of it.
        key: String,
        /// Where the second one is.
        line: usize,
    },
    /// Another kind of value.
    #[error("it is no JSON object")]
    NotObject,
}

/// Reads one object, and nothing after it.
///
/// ```
/// use mtls_identity::strict_json;
///
/// assert_eq!(strict_json::object(br#"{"a": [1]}"#)?.len(), 1);
/// assert!(strict_json::object(br#"{"a": 1, "a": 2}"#).is_err());
/// # Ok::<(), strict_json::StrictJsonError>(())
/// ```
///
/// # Errors
/// [`StrictJsonError`] when it is no JSON, no object, or holds a key twice in one object.
pub fn object(json: &[u8]) -> Result<Map<String, Value>, StrictJsonError> {
    let doubled = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Strict(&doubled)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(StrictJsonError::NotObject),
        Err(error) => Err(match doubled.into_inner() {
            Some(key) => StrictJsonError::DuplicateKey {
                key,
                line: error.line(),
            },
            None => StrictJsonError::Syntax(error),
        }),
    }
}

/// Notes the doubled key, because serde's own errors hold nothing but text.
struct Strict<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Strict(self.0))? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if all.contains_key(&key) {
                self.0.replace(Some(shorten(&key)));
                return Err(A::Error::custom("doubled key"));
            }
            let value = members.next_value_seed(Strict(self.0))?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}
