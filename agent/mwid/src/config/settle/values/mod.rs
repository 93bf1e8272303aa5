//! Single values: a text in, a typed value out, or what is wrong with it.

mod access;
mod address;
mod cloud;
mod peer;
mod unit;

pub(super) use access::{audience, id, only_name, scope, sha256, unit_of_processes};
pub(super) use address::{address, server_address, socket_path};
pub(super) use cloud::{account, endpoint};
pub(super) use peer::{host_name, network, path_pattern, peer_rule, route_name, target, trust_domain};
pub(super) use unit::{signal, signal_target, unit};

use crate::config::error::Wrong;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// As found in the file.
pub(super) fn quoted(text: &str) -> String {
    if text.is_empty() {
        "an empty text".to_owned()
    } else {
        format!("\"{text}\"")
    }
}

/// One of some words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Wrong::new(&quoted(text), format!("one of {}", known.join(", ")))
        })
}

pub(super) fn time(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, Wrong> {
    let wanted = format!(
        "a time from {} to {}",
        humantime::format_duration(*bounds.start()),
        humantime::format_duration(*bounds.end())
    );
    match humantime::parse_duration(text) {
        Ok(time) if bounds.contains(&time) => Ok(time),
        Ok(_) => Err(Wrong::new(&quoted(text), wanted)),
        Err(_) => {
            Err(Wrong::new(&quoted(text), wanted).fix("write a number and its unit, such as 30s, 5m or 1h"))
        }
    }
}

/// A path that means the same wherever the daemon is started.
pub(super) fn absolute(text: &str) -> Result<PathBuf, Wrong> {
    let wanted = "an absolute path";
    if !text.starts_with('/') {
        return Err(Wrong::new(&quoted(text), wanted).fix("write it in full, from /"));
    }
    plain_components(text, wanted)
}

/// No `..`, no NUL, and not the root of all.
pub(super) fn plain_components(text: &str, wanted: &'static str) -> Result<PathBuf, Wrong> {
    if text.contains('\0') {
        return Err(Wrong::new(&quoted(text), wanted).fix("remove the NUL character"));
    }
    // Collected from its components, so that `/a//b/` and `/a/b`, `./b` and `b` are one.
    let path: PathBuf = Path::new(text)
        .components()
        .filter(|c| *c != Component::CurDir)
        .collect();
    if path.components().any(|c| c == Component::ParentDir) {
        return Err(Wrong::new(&quoted(text), wanted).fix("write it without `..`"));
    }
    if path.file_name().is_none() {
        return Err(Wrong::new(&quoted(text), wanted).fix("name something below it"));
    }
    Ok(path)
}

/// Three or four octal digits of which no more bits are set than `most`.
pub(super) fn mode(text: &str, most: u32, example: &str) -> Result<u32, Wrong> {
    let wanted = format!("a file mode in octal, such as \"{example}\"");
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let Some(mode) = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten() else {
        return Err(
            Wrong::new(&quoted(text), wanted).fix("write three or four digits from 0 to 7, in quotes")
        );
    };
    if mode & !most != 0 {
        return Err(Wrong::new(&quoted(text), wanted).fix(format!(
            "leave out the bits {:04o}; allowed are those of {most:04o}",
            mode & !most
        )));
    }
    Ok(mode)
}

/// A user or group as in passwd(5): looked up only when it is used.
pub(super) fn name(text: &str) -> Result<String, Wrong> {
    const LONGEST: usize = 256;
    let fits = (1..=LONGEST).contains(&text.len())
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, ':' | '/' | ','));
    if !fits {
        return Err(Wrong::new(
            &quoted(text),
            "the name or the number of a user or group",
        ));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u32>().map_or(true, |id| id == u32::MAX) {
        return Err(Wrong::new(&quoted(text), "a number below 4294967295"));
    }
    Ok(text.to_owned())
}
