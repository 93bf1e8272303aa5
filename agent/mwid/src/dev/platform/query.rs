//! The parameters of a request. In: the query as it came. Out: names and values, decoded. Never guesses: what does not decode is an error.

/// In the order in which they came.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// None: an escape that is broken, or bytes that are no UTF-8.
    pub(super) fn of(query: &str) -> Option<Self> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// The first of a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let first = self.0.iter().find(|(this, _)| this == name)?;
        Some(&first.1)
    }

    /// Whether it is there and says yes.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}
