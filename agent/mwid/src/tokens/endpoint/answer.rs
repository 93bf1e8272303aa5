//! Reads JSON answers. In: bytes. Out: typed values whose secrets are wiped. An error says where the JSON is wrong and never quotes it.
use super::error::EndpointError;
use crate::http::web::{Answer, Url};
use hyper::header::RETRY_AFTER;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::time::Duration;
use zeroize::Zeroizing;

/// A wait that a server asks for is followed up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

pub(super) fn json<T: DeserializeOwned>(url: &Url, answer: &Answer) -> Result<T, EndpointError> {
    serde_json::from_slice(&answer.body).map_err(|error| EndpointError::Json {
        url: url.clone(),
        line: error.line(),
        column: error.column(),
    })
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3); as a date it is not followed.
pub(super) fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds = answer
        .headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// A text that is wiped; absent and null are none.
pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Zeroizing::new))
}

/// Seconds as a number or, as some endpoints write it, as a text.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    match Option::<Written>::deserialize(from)? {
        None => Ok(None),
        Some(Written::Number(seconds)) => Ok(Some(seconds)),
        Some(Written::Text(text)) => text.trim().parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Words of a server that may be shown: one line, bounded, and nothing in it so long that it could be a token.
pub(crate) fn shown(text: &str) -> String {
    const WORD: usize = 100;
    const ALL: usize = 300;
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words = clean.split_whitespace().map(|word| {
        let long = word.len() > WORD || is_token_like(word);
        if long { "…" } else { word }
    });
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(ALL).collect()
}

/// A JWT and Google's opaque tokens (`ya29.`, refresh tokens `1//`), however short.
fn is_token_like(word: &str) -> bool {
    ["eyJ", "ya29.", "1//"].iter().any(|start| word.contains(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_in_both_forms() {
        #[derive(Deserialize)]
        struct One {
            #[serde(default, deserialize_with = "seconds")]
            n: Option<u64>,
        }
        let read = |text: &str| serde_json::from_str::<One>(text).map(|one| one.n);
        assert_eq!(read(r#"{"n": 3599}"#).unwrap(), Some(3599));
        assert_eq!(read(r#"{"n": "3599"}"#).unwrap(), Some(3599));
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"n": null}"#).unwrap(), None);
        for bad in [
            r#"{"n": -1}"#,
            r#"{"n": "soon"}"#,
            r#"{"n": 1.5}"#,
            r#"{"n": []}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_servers_words_are_shown_without_what_could_be_a_token() {
        assert_eq!(shown("Token has been\nexpired."), "Token has been expired.");
        let long = format!("bad {} given", "x".repeat(101));
        assert_eq!(shown(&long), "bad … given");
        assert_eq!(shown("the token \"ya29.a0Af\" is old"), "the token … is old");
        assert_eq!(shown(&"ab ".repeat(400)).chars().count(), 300);
    }
}
