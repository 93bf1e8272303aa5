//! The parameters of a request. In: a query as it came. Out: names and values, decoded once. Never guesses: what cannot be decoded, or says the
//! same thing twice where it may be said once, is an error.
//!
//! Names no other room, so that the fuzz target can take the file as it is.
use std::borrow::Cow;

/// A query's parameters in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Why a query is not understood. The text is for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error(
        "the query holds a % that is not followed by two hexadecimal digits, or what it stands for is no UTF-8; encode it as %25"
    )]
    Encoding,
    #[error("the parameter {name} may be given once")]
    Twice { name: &'static str },
    #[error("the parameter {name} must be true or false")]
    NotBoolean { name: &'static str },
    #[error("the parameter timeout_sec must be a whole number of seconds")]
    NotSeconds,
    #[error("the parameter alt must be json or text")]
    NotAlt,
}

/// In which form an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alt {
    Json,
    Text,
}

impl<'a> Query<'a> {
    /// `query` is what stands after `?`.
    pub(super) fn parse(query: &'a str) -> Result<Self, QueryError> {
        let pairs = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decoded(name)?, decoded(value)?))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { pairs })
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs
            .iter()
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| &**value)
    }

    /// A parameter that may be given once.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, QueryError> {
        let mut all = self.all(name);
        let first = all.next();
        match all.next() {
            None => Ok(first),
            Some(_) => Err(QueryError::Twice { name }),
        }
    }

    /// As the metadata server reads booleans.
    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, QueryError> {
        let Some(value) = self.one(name)? else {
            return Ok(None);
        };
        let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
        if is(&["true", "1", "yes", "y"]) {
            Ok(Some(true))
        } else if is(&["false", "0", "no", "n"]) {
            Ok(Some(false))
        } else {
            Err(QueryError::NotBoolean { name })
        }
    }

    pub(super) fn alt(&self) -> Result<Option<Alt>, QueryError> {
        match self.one("alt")? {
            None | Some("") => Ok(None),
            Some(alt) if alt.eq_ignore_ascii_case("json") => Ok(Some(Alt::Json)),
            Some(alt) if alt.eq_ignore_ascii_case("text") => Ok(Some(Alt::Text)),
            Some(_) => Err(QueryError::NotAlt),
        }
    }

    /// `timeout_sec`.
    pub(super) fn seconds(&self) -> Result<Option<u64>, QueryError> {
        self.one("timeout_sec")?
            .filter(|value| !value.is_empty())
            .map(|value| value.parse().map_err(|_| QueryError::NotSeconds))
            .transpose()
    }

    /// Those that ask for a token that is bound to something: `bindCertificateFingerprint`, `transport`, `binding-enforcement`, and whatever
    /// sounds like them, so that a newer client is refused instead of given less than it asked for.
    pub(super) fn binding(&self) -> Vec<(String, String)> {
        self.pairs
            .iter()
            .filter(|(name, _)| {
                let name = name.to_ascii_lowercase();
                name.starts_with("bind") || name.starts_with("transport") || name.contains("fingerprint")
            })
            .map(|(name, value)| (name.clone().into_owned(), value.clone().into_owned()))
            .collect()
    }
}

/// One round of decoding: `%41` and `+` (HTML's form encoding, as every client's library writes it).
fn decoded(raw: &str) -> Result<Cow<'_, str>, QueryError> {
    if !raw.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (bytes.next().and_then(hex), bytes.next().and_then(hex));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(QueryError::Encoding);
                };
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| QueryError::Encoding)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_once() {
        let query = Query::parse("scopes=a%2Cb&audience=https://x/?y&%61=+%2525&flag&&=v").unwrap();
        assert_eq!(query.one("scopes"), Ok(Some("a,b")));
        assert_eq!(
            query.one("audience"),
            Ok(Some("https://x/?y")),
            "as Node sends it"
        );
        assert_eq!(query.one("a"), Ok(Some(" %25")));
        assert_eq!(query.one("flag"), Ok(Some("")));
        assert_eq!(query.one("none"), Ok(None));
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=b", "a=%+1"] {
            assert_eq!(Query::parse(bad), Err(QueryError::Encoding), "{bad}");
        }
    }

    #[test]
    fn what_may_be_said_once_is_not_said_twice() {
        let query = Query::parse("audience=a&audience=b&scopes=a&scopes=b").unwrap();
        assert_eq!(query.one("audience"), Err(QueryError::Twice { name: "audience" }));
        assert_eq!(query.all("scopes").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn booleans_are_read_as_the_metadata_server_reads_them() {
        for (value, is) in [
            ("true", true),
            ("TRUE", true),
            ("1", true),
            ("Yes", true),
            ("y", true),
            ("false", false),
            ("0", false),
            ("no", false),
            ("N", false),
        ] {
            let text = format!("x={value}");
            assert_eq!(Query::parse(&text).unwrap().boolean("x"), Ok(Some(is)), "{value}");
        }
        for value in ["", "2", "on", "t", "true "] {
            let text = format!("x={value}").replace(' ', "+");
            let query = Query::parse(&text).unwrap();
            assert_eq!(
                query.boolean("x"),
                Err(QueryError::NotBoolean { name: "x" }),
                "{value}"
            );
        }
    }

    #[test]
    fn other_words_for_binding_are_not_overlooked() {
        let query =
            "scopes=a&bindCertificateFingerprint=f%3D&transport=mtls&binding-enforcement=on&BindToKey=k&x=y";
        let names: Vec<_> = Query::parse(query).unwrap().binding();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            names,
            [
                pair("bindCertificateFingerprint", "f="),
                pair("transport", "mtls"),
                pair("binding-enforcement", "on"),
                pair("BindToKey", "k"),
            ]
        );
    }

    #[test]
    fn seconds_and_forms() {
        assert_eq!(Query::parse("timeout_sec=60").unwrap().seconds(), Ok(Some(60)));
        for bad in [
            "timeout_sec=-1",
            "timeout_sec=1.5",
            "timeout_sec=99999999999999999999",
        ] {
            assert_eq!(Query::parse(bad).unwrap().seconds(), Err(QueryError::NotSeconds));
        }
        // As the keys that the platform answers are read.
        assert_eq!(Query::parse("timeout_sec=").unwrap().seconds(), Ok(None));
        assert_eq!(Query::parse("alt=").unwrap().alt(), Ok(None));
        assert_eq!(Query::parse("alt=JSON").unwrap().alt(), Ok(Some(Alt::Json)));
        assert_eq!(Query::parse("alt=text").unwrap().alt(), Ok(Some(Alt::Text)));
        assert_eq!(Query::parse("alt=xml").unwrap().alt(), Err(QueryError::NotAlt));
    }
}
