//! Strict reading of a JSON object. In: a JSON value. Out: its members by name and type, or which member is wrong, what was found and what
//! is wanted. Never quotes a value: any of them may be a secret. All texts are wiped.
use serde_json::{Map, Value};
use std::fmt;
use zeroize::Zeroize;

/// A member of the file is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}, wanted is {wanted}")]
pub(crate) struct FieldError {
    /// `credential_source.format.type`.
    pub(crate) field: String,
    pub(crate) found: Found,
    pub(crate) wanted: &'static str,
}

/// What was found, in words that hold no value but a harmless one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Null,
    Bool,
    Number,
    Text,
    EmptyText,
    List,
    Object,
    /// Where it must not be.
    There,
    ThereToo,
    /// A word that names a type or a format.
    Word(String),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "not there",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "another text",
            Self::EmptyText => "an empty text",
            Self::List => "a list",
            Self::Object => "an object",
            Self::There => "there",
            Self::ThereToo => "there too",
            Self::Word(word) => return write!(f, "{word:?}"),
        })
    }
}

impl Found {
    fn in_place_of(value: Option<&Value>) -> Self {
        match value {
            None => Self::Nothing,
            Some(Value::Null) => Self::Null,
            Some(Value::Bool(_)) => Self::Bool,
            Some(Value::Number(_)) => Self::Number,
            Some(Value::String(text)) if text.is_empty() => Self::EmptyText,
            Some(Value::String(_)) => Self::Text,
            Some(Value::Array(_)) => Self::List,
            Some(Value::Object(_)) => Self::Object,
        }
    }

    /// A word of the file that says what kind of thing something is. Longer than such words are, or of other characters: not shown.
    pub(super) fn word(text: &str) -> Self {
        let harmless = text.len() <= 64
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        match text {
            "" => Self::EmptyText,
            word if harmless => Self::Word(word.to_owned()),
            _ => Self::Text,
        }
    }
}

/// A whole document, whose texts are wiped when it is dropped.
pub(super) struct Document(pub(super) Value);

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An object of the document.
pub(super) struct Fields<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(document: &'a Document) -> Result<Self, FieldError> {
        match &document.0 {
            Value::Object(members) => Ok(Self {
                path: String::new(),
                members,
            }),
            other => Err(FieldError {
                field: "the file".to_owned(),
                found: Found::in_place_of(Some(other)),
                wanted: "a JSON object",
            }),
        }
    }

    fn name(&self, field: &str) -> String {
        format!("{}{field}", self.path)
    }

    /// Null counts as absent: Google's own tools write it.
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.members.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// An error about a member.
    pub(super) fn wrong(&self, field: &str, found: Found, wanted: &'static str) -> FieldError {
        FieldError {
            field: self.name(field),
            found,
            wanted,
        }
    }

    fn mistyped(&self, field: &str, wanted: &'static str) -> FieldError {
        self.wrong(field, Found::in_place_of(self.members.get(field)), wanted)
    }

    /// A text that is there and not empty.
    pub(super) fn text(&self, field: &str) -> Result<&'a str, FieldError> {
        self.optional_text(field)?
            .ok_or_else(|| self.mistyped(field, "a text"))
    }

    /// A text, or nothing; an empty text is nothing.
    pub(super) fn optional_text(&self, field: &str) -> Result<Option<&'a str>, FieldError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.mistyped(field, "a text")),
        }
    }

    pub(super) fn optional_number(&self, field: &str) -> Result<Option<u64>, FieldError> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or_else(|| self.mistyped(field, "a whole number")),
        }
    }

    pub(super) fn optional_object(&self, field: &str) -> Result<Option<Fields<'a>>, FieldError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Fields {
                path: format!("{}.", self.name(field)),
                members,
            })),
            Some(_) => Err(self.mistyped(field, "an object")),
        }
    }

    pub(super) fn object(&self, field: &str) -> Result<Fields<'a>, FieldError> {
        self.optional_object(field)?
            .ok_or_else(|| self.mistyped(field, "an object"))
    }

    /// A list of texts; absent: empty.
    pub(super) fn texts(&self, field: &str) -> Result<Vec<String>, FieldError> {
        const WANTED: &str = "a list of texts";
        let items = match self.get(field) {
            None => return Ok(vec![]),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.mistyped(field, WANTED)),
        };
        let text = |(at, item): (usize, &Value)| match item {
            Value::String(text) if !text.is_empty() => Ok(text.clone()),
            other => Err(FieldError {
                field: self.name(&format!("{field}[{at}]")),
                found: Found::in_place_of(Some(other)),
                wanted: "a text",
            }),
        };
        items.iter().enumerate().map(text).collect()
    }

    /// The members of an object of texts.
    pub(super) fn text_pairs(&self, field: &str) -> Result<Vec<(&'a str, &'a str)>, FieldError> {
        let Some(object) = self.optional_object(field)? else {
            return Ok(vec![]);
        };
        object
            .members
            .keys()
            .map(|name| Ok((name.as_str(), object.text(name)?)))
            .collect()
    }
}
