//! JWK Sets (RFC 7517; SPIFFE Trust Domain and Bundle, 4).
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A set.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// The members of the document itself.
    pub document: Map<String, Value>,
    /// The entries of `keys`.
    pub keys: Vec<Key>,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Key(pub Map<String, Value>);

impl Key {
    /// A text member.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A member of base64url.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        BASE64_URL_SAFE_NO_PAD.decode(self.text(name)?).ok()
    }
}

impl KeySet {
    /// Of JSON.
    pub fn read(json: &[u8]) -> Result<Self, String> {
        let document = match serde_json::from_slice(json) {
            Ok(Value::Object(document)) => document,
            Ok(_) => return Err("no JSON object".to_owned()),
            Err(why) => return Err(format!("no JSON ({why})")),
        };
        let Some(Value::Array(entries)) = document.get("keys") else {
            return Err("no array `keys`".to_owned());
        };
        let keys = entries
            .iter()
            .map(|entry| match entry {
                Value::Object(key) => Ok(Key(key.clone())),
                _ => Err("an entry of `keys` is no object".to_owned()),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { document, keys })
    }
}
