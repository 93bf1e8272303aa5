//! The query of a question. In: what the caller wrote. Out: the parameters that we know, to be written anew, and apart from them the others: what the
//! metadata server does not know of its own tree it ignores, but keys beside that, such as OS Login's, have parameters of their own.
use crate::http::web::path_part;
use std::fmt::Write;
use std::time::Duration;

/// ETags of the platform have 16 bytes.
const LONGEST_ETAG: usize = 64;
/// What clients write to get the present content at once.
const NO_ETAG: &str = "0";

/// So many other parameters are passed on, and so many bytes of them.
const MOST_OTHERS: usize = 8;
const LONGEST_OTHERS: usize = 1024;
const OURS: [&str; 5] = ["recursive", "alt", "wait_for_change", "last_etag", "timeout_sec"];

/// How a value is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Alt {
    Json,
    Text,
}

/// What was asked for besides the path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) recursive: bool,
    pub(super) alt: Option<Alt>,
    pub(super) wait: Option<Wait>,
    /// Those that we do not know, encoded anew.
    pub(super) others: Others,
}

/// Parameters that are not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    pub(super) text: String,
    /// There were more than are passed on.
    pub(super) too_many: bool,
}

impl Others {
    fn of(pairs: &[(String, String)]) -> Self {
        let others = pairs.iter().filter(|(name, _)| !OURS.contains(&name.as_str()));
        let few = others.clone().take(MOST_OTHERS);
        let few = few.map(|(name, value)| format!("{}={}", path_part(name), path_part(value)));
        let text = few.collect::<Vec<_>>().join("&");
        if text.len() > LONGEST_OTHERS || others.count() > MOST_OTHERS {
            return Self {
                text: String::new(),
                too_many: true,
            };
        }
        Self {
            text,
            too_many: false,
        }
    }
}

/// `wait_for_change=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) last_etag: Option<String>,
    pub(super) timeout: Option<Duration>,
}

/// Why a query is not followed; the text is for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error("alt is json or text")]
    Alt,
    #[error("recursive and wait_for_change are true or false")]
    Flag,
    #[error("timeout_sec is a whole number of seconds")]
    Timeout,
    #[error("more than {MOST_OTHERS} parameters, or {LONGEST_OTHERS} bytes of them, are not passed on")]
    TooMany,
}

impl Query {
    /// Of two values for one name the first counts.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let pairs: Vec<(String, String)> = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(value))
            })
            .collect();
        let get = |wanted: &str| {
            pairs
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        let alt = match get("alt") {
            None | Some("") => None,
            Some(alt) if alt.eq_ignore_ascii_case("json") => Some(Alt::Json),
            Some(alt) if alt.eq_ignore_ascii_case("text") => Some(Alt::Text),
            Some(_) => return Err(QueryError::Alt),
        };
        let wait = if flag(get("wait_for_change"))? {
            Some(Wait {
                last_etag: match get("last_etag") {
                    None => None,
                    Some(etag) if is_etag(etag) => Some(etag.to_owned()),
                    // No ETag of any server's: something has changed.
                    Some(_) => Some(NO_ETAG.to_owned()),
                },
                timeout: match get("timeout_sec") {
                    None | Some("") => None,
                    Some(seconds) => Some(Duration::from_secs(
                        seconds.parse::<u32>().map_err(|_| QueryError::Timeout)?.into(),
                    )),
                },
            })
        } else {
            None
        };
        Ok(Self {
            recursive: flag(get("recursive"))?,
            alt,
            wait,
            others: Others::of(&pairs),
        })
    }

    /// Ours, written anew, without `?`.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: &dyn std::fmt::Display| {
            let mark = if text.is_empty() { "" } else { "&" };
            // Writing to a String cannot fail.
            let _ok = write!(text, "{mark}{name}={value}");
        };
        if self.recursive {
            add("recursive", &true);
        }
        match self.alt {
            Some(Alt::Json) => add("alt", &"json"),
            Some(Alt::Text) => add("alt", &"text"),
            None => {}
        }
        if let Some(wait) = &self.wait {
            add("wait_for_change", &true);
            if let Some(etag) = &wait.last_etag {
                add("last_etag", etag);
            }
            if let Some(timeout) = wait.timeout {
                add("timeout_sec", &timeout.as_secs());
            }
        }
        text
    }
}

/// Only what needs no encoding in a query.
pub(super) fn is_etag(etag: &str) -> bool {
    (1..=LONGEST_ETAG).contains(&etag.len())
        && etag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

fn flag(value: Option<&str>) -> Result<bool, QueryError> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        Some("true" | "1" | "yes" | "y") => Ok(true),
        None | Some("" | "false" | "0" | "no" | "n") => Ok(false),
        Some(_) => Err(QueryError::Flag),
    }
}

/// As forms are encoded (URL Standard, 5.1). What is not UTF-8 becomes what no name or value of ours is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let encoded = || {
            let digits = after.get(..2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            // `from_str_radix` takes a sign.
            digits
                .bytes()
                .all(|digit| digit.is_ascii_hexdigit())
                .then_some(())?;
            u8::from_str_radix(digits, 16).ok()
        };
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match encoded() {
                Some(decoded) => {
                    bytes.push(decoded);
                    rest = &after[2..];
                }
                None => bytes.push(b'%'),
            },
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_encoded_anew_and_bounded() {
        let others = |text: &str| Query::parse(text).unwrap().others;
        let passed = others("username=a%26b%0d&alt=json&x&%70agesize=5&y=%2F+");
        assert_eq!(passed.text, "username=a%26b%0D&x=&pagesize=5&y=%2F%20");
        assert_eq!(
            others("recursive=true&alt=json&last_etag=0&timeout_sec=1"),
            Others::default()
        );
        assert!(others(&"a=b&".repeat(MOST_OTHERS + 1)).too_many);
        assert!(!others(&"a=b&".repeat(MOST_OTHERS)).too_many);
        assert!(others(&format!("a={}", "b".repeat(LONGEST_OTHERS))).too_many);
    }

    #[test]
    fn what_is_known_is_written_anew_and_nothing_else() {
        for (asked, wanted) in [
            ("", ""),
            ("&&", ""),
            ("recursive=true", "recursive=true"),
            ("alt=json&recursive=true", "recursive=true&alt=json"),
            ("recursive=TRUE&alt=Text", "recursive=true&alt=text"),
            ("recursive=false&alt=", ""),
            ("recursive=true&recursive=false", "recursive=true"),
            ("recursive=false&recursive=true", ""),
            ("%72ecursive=tr%75e", "recursive=true"),
            ("recursive=true%26alt%3dtext", "?"),
            (
                "x=y&recursive=true&scopes=a%2Cb&enforce_scopes=true",
                "recursive=true",
            ),
            ("audience=x#y", ""),
            ("last_etag=0&timeout_sec=5", ""),
            (
                "timeout_sec=60&last_etag=0123456789abcdef&wait_for_change=true",
                "wait_for_change=true&last_etag=0123456789abcdef&timeout_sec=60",
            ),
            (
                "wait_for_change=true&last_etag=0",
                "wait_for_change=true&last_etag=0",
            ),
            ("wait_for_change=true", "wait_for_change=true"),
            (
                "wait_for_change=true&last_etag=",
                "wait_for_change=true&last_etag=0",
            ),
            (
                "wait_for_change=true&last_etag=\"x\"",
                "wait_for_change=true&last_etag=0",
            ),
            ("wait_for_change=false", ""),
            ("Recursive=true", ""),
            ("recursive=maybe", "?"),
            ("alt=xml", "?"),
            ("wait_for_change=true&timeout_sec=x", "?"),
            ("wait_for_change=true&timeout_sec=-1", "?"),
            (
                "wait_for_change=true&last_etag=a%26x%3Dy",
                "wait_for_change=true&last_etag=0",
            ),
            (
                "wait_for_change=true&last_etag=a%0d%0aX",
                "wait_for_change=true&last_etag=0",
            ),
            ("%=%zz&%4=1&recursive=%+1", "?"),
        ] {
            let got = Query::parse(asked).map_or_else(|_| "?".to_owned(), |query| query.text());
            assert_eq!(got, wanted, "{asked}");
        }
        let long = format!("wait_for_change=true&last_etag={}", "a".repeat(LONGEST_ETAG + 1));
        let wait = Query::parse(&long).unwrap().wait.unwrap();
        assert_eq!(wait.last_etag.as_deref(), Some(NO_ETAG));
    }
}
