//! `publish`: directories, files, owners and modes.
use super::place::At;
use super::{reaction, values};
use crate::config::defaults::Defaults;
use crate::config::error::Wrong;
use crate::config::raw;
use crate::config::{FileSet, PublishSettings, StorePassword};

const FILE_SETS: [(&str, FileSet); 6] = [
    ("gce", FileSet::Gce),
    ("credential_bundle", FileSet::CredentialBundle),
    ("haproxy", FileSet::Haproxy),
    ("pkcs12", FileSet::Pkcs12),
    ("jks", FileSet::Jks),
    ("spiffe_bundle", FileSet::SpiffeBundle),
];
const MOST_REACTIONS: usize = 32;
const MOST_ENTRIES: usize = 64;
const LONGEST_PASSWORD: usize = 128;

pub(super) fn settle(at: &At, raw: Vec<raw::Publish>, base: &Defaults) -> Vec<PublishSettings> {
    if raw.len() > MOST_ENTRIES {
        at.refuse(Wrong::new(
            &format!("{} directories", raw.len()),
            format!("at most {MOST_ENTRIES}"),
        ));
        return Vec::new();
    }
    raw.into_iter()
        .enumerate()
        .map(|(index, entry)| self::entry(&at.item(index), entry, base))
        .collect()
}

fn entry(at: &At, raw: raw::Publish, base: &Defaults) -> PublishSettings {
    let silent = base.publish(base.runtime_dir.join("identity"));
    PublishSettings {
        directory: at.path(raw.directory, "directory", silent.directory),
        files: match raw.files {
            Some(files) => self::files(&at.key("files"), &files),
            None => silent.files,
        },
        owner: at.maybe("owner", raw.owner.map(|text| values::name(&text.0))),
        group: at.maybe("group", raw.group.map(|text| values::name(&text.0))),
        key_mode: key_mode(at, raw.key_mode, raw.unsafe_key_mode, silent.key_mode),
        store_password: at.take(
            "store_password",
            raw.store_password.map(password),
            StorePassword::default(),
        ),
        then: reaction::settle(&at.key("then"), raw.then.unwrap_or_default(), MOST_REACTIONS),
    }
}

fn files(at: &At, raw: &[raw::Text]) -> Vec<FileSet> {
    if raw.is_empty() {
        at.refuse(
            Wrong::new("an empty list", "at least one set of files")
                .fix("remove the key for the usual sets, or the whole entry to publish nothing there"),
        );
    }
    let mut sets = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        match values::word(&text.0, &FILE_SETS) {
            Ok(set) if sets.contains(&set) => {
                at.item(index).refuse(Wrong::new(
                    &format!("{} a second time", values::quoted(&text.0)),
                    "each set once",
                ));
            }
            Ok(set) => sets.push(set),
            Err(wrong) => at.item(index).refuse(wrong),
        }
    }
    sets
}

/// Everybody may read a key only when the file says `unsafe_key_mode`.
fn key_mode(
    at: &At,
    key_mode: Option<raw::ModeText>,
    unsafe_key_mode: Option<raw::ModeText>,
    silent: u32,
) -> u32 {
    let example = "0640";
    match (key_mode, unsafe_key_mode) {
        (Some(_), Some(_)) => {
            at.key("unsafe_key_mode").refuse(
                Wrong::new("both key_mode and unsafe_key_mode", "one of the two")
                    .fix("remove unsafe_key_mode"),
            );
            silent
        }
        (Some(text), None) => at.take("key_mode", Some(safe_key_mode(&text.0, example)), silent),
        (None, Some(text)) => at.take("unsafe_key_mode", Some(readable(&text.0, 0o666, example)), silent),
        (None, None) => silent,
    }
}

fn safe_key_mode(text: &str, example: &str) -> Result<u32, Wrong> {
    let mode = readable(text, 0o666, example)?;
    if mode & 0o007 != 0 {
        return Err(Wrong::new(
            &format!("{} for files that hold the private key", values::quoted(text)),
            "a mode that gives nothing to everybody, such as \"0640\"",
        )
        .fix("use a group (`group:`), or say unsafe_key_mode if everybody on this machine may be this VM"));
    }
    Ok(mode)
}

/// A file that its own owner cannot read serves nobody.
fn readable(text: &str, most: u32, example: &str) -> Result<u32, Wrong> {
    let mode = values::mode(text, most, example)?;
    if mode & 0o400 == 0 {
        return Err(Wrong::new(
            &values::quoted(text),
            "a mode with which the owner can read (0400)",
        ));
    }
    Ok(mode)
}

/// The words never hold the password.
fn password(raw: raw::Secret) -> Result<StorePassword, Wrong> {
    let length = raw.0.chars().count();
    if raw.0.chars().any(char::is_control) {
        return Err(Wrong::new(
            "a password with control characters",
            "a password without them",
        ));
    }
    if !(1..=LONGEST_PASSWORD).contains(&length) {
        return Err(Wrong::new(
            &format!("a password of {length} characters"),
            format!("1 to {LONGEST_PASSWORD} characters"),
        )
        .fix("remove the key for the usual `changeit`; what protects the file is its mode"));
    }
    Ok(StorePassword(raw.0))
}
