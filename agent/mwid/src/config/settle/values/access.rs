//! What access rules are made of: names, numbers, hashes, scopes, audiences.
use super::{name, quoted, unit};
use crate::config::error::Wrong;

const LONGEST_SCOPE: usize = 256;
const LONGEST_AUDIENCE: usize = 1024;

/// A name, where a number has a key of its own.
pub(in super::super) fn only_name(text: &str, number_key: &str) -> Result<String, Wrong> {
    let name = name(text)?;
    if name.bytes().all(|b| b.is_ascii_digit()) {
        return Err(
            Wrong::new(&quoted(text), "a name").fix(format!("for a number, say {number_key}: {name}"))
        );
    }
    Ok(name)
}

/// The highest number means "no user" to the system (chown(2)).
pub(in super::super) fn id(number: u64) -> Result<u32, Wrong> {
    u32::try_from(number)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Wrong::new(&format!("the number `{number}`"), "a number below 4294967295"))
}

/// A unit that can hold a process.
pub(in super::super) fn unit_of_processes(text: &str) -> Result<String, Wrong> {
    let unit = unit(text)?;
    if unit.ends_with(".service") || unit.ends_with(".scope") {
        return Ok(unit);
    }
    Err(
        Wrong::new(&quoted(text), "a service or a scope, such as payments.service")
            .fix("no process runs in any other type of unit, so this rule would match nobody"),
    )
}

/// As sha256sum(1) prints it.
pub(in super::super) fn sha256(text: &str) -> Result<[u8; 32], Wrong> {
    let wrong = || {
        Wrong::new(&quoted(text), "a SHA-256 in hexadecimal, 64 digits")
            .fix("print it with: sha256sum /path/to/program")
    };
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            let digit = char::from(*digit).to_digit(16).ok_or_else(wrong)?;
            value = value * 16 + digit;
        }
        *byte = u8::try_from(value).map_err(|_| wrong())?;
    }
    Ok(hash)
}

/// A scope-token (RFC 6749, section 3.3), without the comma that separates scopes in the metadata server's queries.
pub(in super::super) fn scope(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        Wrong::new(
            &quoted(text),
            "a scope, such as https://www.googleapis.com/auth/devstorage.read_only",
        )
    };
    if text.contains([' ', ',']) {
        return Err(wrong().fix("write each scope as a list item of its own"));
    }
    let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if let Some(bad) = text.chars().find(|c| !u8::try_from(*c).is_ok_and(allowed)) {
        return Err(wrong().fix(format!("`{}` does not occur in scopes", bad.escape_default())));
    }
    if !(1..=LONGEST_SCOPE).contains(&text.len()) {
        return Err(wrong().fix(format!("write 1 to {LONGEST_SCOPE} characters")));
    }
    Ok(text.to_owned())
}

/// Exact text; or, with `*`, a URL in whose host each `*` is one whole DNS label.
pub(in super::super) fn audience(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        Wrong::new(
            &quoted(text),
            "an audience, such as https://api.example.com or https://*.a.run.app (`*` is one whole DNS label)",
        )
    };
    if !(1..=LONGEST_AUDIENCE).contains(&text.len()) {
        return Err(wrong().fix(format!("write 1 to {LONGEST_AUDIENCE} bytes")));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(wrong().fix("remove control characters, and spaces at both ends"));
    }
    if !text.contains('*') {
        return Ok(text.to_owned());
    }
    pattern(text).map_err(|fix| wrong().fix(fix))?;
    Ok(text.to_owned())
}

fn pattern(text: &str) -> Result<(), &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("only the host of a URL may hold `*`: begin with https://");
    };
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err("only the host of a URL may hold `*`: begin with https://");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if path.contains('*') {
        return Err("no `*` after the host: the rest of the audience is compared as it is");
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    if port.parse::<u16>().is_err() {
        return Err("write the port as a number, without `*`");
    }
    let labels: Vec<&str> = host.split('.').collect();
    let plain = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if labels.iter().any(|label| label.contains('*') && *label != "*") {
        return Err("`*` is one whole label between dots: write *.example.com, not api-*.example.com");
    }
    if labels.last() == Some(&"*") {
        return Err("name the host's last label; for all audiences, say `id_tokens: true`");
    }
    if !labels.iter().all(|label| *label == "*" || plain(label)) {
        return Err("the host has something else than labels of letters, digits and dashes");
    }
    Ok(())
}
