//! What callers wrote, fit for a log, a status and an answer. In: any text. Out: short, printable ASCII on one line. Never a control
//! character, an escape sequence or a character that turns or hides others.

/// Longer texts are cut.
const MOST: usize = 256;

pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MOST + 16));
    for c in text.chars() {
        if out.len() >= MOST {
            out.push_str("...");
            break;
        }
        if c == ' ' || c.is_ascii_graphic() {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_wrote_is_made_harmless() {
        assert_eq!(
            clean("https://x/?a=b c~'\"\\"),
            "https://x/?a=b c~'\"\\",
            "as it is"
        );
        assert_eq!(
            clean("a\r\nb\x1b[31m\u{202e}\0ä"),
            "a\\r\\nb\\u{1b}[31m\\u{202e}\\u{0}\\u{e4}"
        );
        let long = clean(&"x".repeat(10_000));
        assert_eq!((long.len(), long.ends_with("x...")), (MOST + 3, true));
        assert!(
            clean(&"\u{10ffff}".repeat(10_000)).len() < MOST + 16,
            "also when each grows"
        );
        assert_eq!(clean(&"x".repeat(MOST)).len(), MOST);
    }
}
