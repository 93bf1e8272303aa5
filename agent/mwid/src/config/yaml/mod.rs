//! The one place that knows the YAML library. In: a text. Out: values of the raw mirror, or a problem with its line.
//!
//! The library tells a line only for errors that are raised while it walks the text. So both what it does not find by itself
//! (doubled keys, nulls, tags, too much) and the line of a value that turns out wrong later are found by seeds that walk the text
//! and raise an error at the very place: [`survey`] and [`locate`].

mod locate;
mod survey;
mod words;

use super::error::{Place, Problem, Wrong};
use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_yaml::{Deserializer, Error};

pub(super) use locate::place;

/// Reads a document into `T`; an empty one is `T::default()`.
pub(super) fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Problem> {
    let mut all = documents(text);
    let Some(first) = all.next() else {
        return Ok(T::default());
    };
    // In this order: after an error in one document the library must not be asked for the next.
    let content = survey::survey(first)?;
    if let Some(second) = all.next() {
        return Err(second_document(second));
    }
    let (survey::Content::Something, Some(document)) = (content, documents(text).next()) else {
        return Ok(T::default());
    };
    let mut track = serde_path_to_error::Track::new();
    T::deserialize(serde_path_to_error::Deserializer::new(document, &mut track)).map_err(|error| Problem {
        at: at(&error),
        ..words::of(&error, &words::key_of(&track.path()))
    })
}

fn documents(text: &str) -> Deserializer<'_> {
    Deserializer::from_str(text)
}

fn at(error: &Error) -> Option<Place> {
    error.location().map(|location| Place {
        line: location.line(),
        column: location.column(),
    })
}

/// What comes after the first document: another one, or text that is no YAML and ended the first.
fn second_document(second: Deserializer<'_>) -> Problem {
    let (at, error) = match (locate::Here(&[])).deserialize(second) {
        Err(error) => (at(&error), Some(error).filter(|error| !words::is_raised(error))),
        Ok(_) => (None, None),
    };
    match error {
        Some(error) => Problem {
            at,
            ..words::of(&error, "")
        },
        None => Problem {
            at,
            key: String::new(),
            wrong: Wrong::new("a second YAML document", "one document")
                .fix("remove the line `---` and merge the two"),
        },
    }
}
