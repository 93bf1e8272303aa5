//! Times and texts as people read them. In: values. Out: words.
use jiff::Timestamp;

/// `3d 4h`, `11h 59m`, `2m 5s`, `45s`: the two largest units.
pub(super) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = UNITS.iter().position(|(size, _)| seconds >= *size).unwrap_or(3);
    let (size, unit) = UNITS[first];
    let mut words = format!("{}{unit}", seconds / size);
    if let Some((next, unit)) = UNITS.get(first + 1)
        && seconds % size >= *next
    {
        words.push_str(&format!(" {}{unit}", seconds % size / next));
    }
    words
}

/// `in 11h 59m`, `3m 2s ago`, `now`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    let words = span(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {words}"),
        _ => format!("{words} ago"),
    }
}

/// Without control characters: what others wrote into a certificate or an error must not steer the terminal. Line breaks stay.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let shown = !c.is_control() || c == '\n';
            let escaped = (!shown).then(|| c.escape_default());
            shown
                .then_some(c)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn warn(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, words) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (125, "2m 5s"),
            (3_600, "1h"),
            (3_659, "1h"),
            (43_199, "11h 59m"),
            (273_600, "3d 4h"),
            (86_400 * 400, "400d"),
        ] {
            assert_eq!(span(seconds), words);
        }
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(relative(at(100), at(40)), "in 1m");
        assert_eq!(relative(at(40), at(100)), "1m ago");
        assert_eq!(relative(at(40), at(40)), "now");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\x1b[31m\u{9b}b\nc\r"), "a\\u{1b}[31m\\u{9b}b\nc\\r");
    }
}
