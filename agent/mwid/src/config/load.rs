//! From a file to settings. In: a path. Out: settings, or everything that is wrong. Reads this one file and nothing else.
use super::defaults::Defaults;
use super::error::{ConfigError, Problem};
use super::settle::Misplaced;
use super::{Settings, raw, settle, yaml};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// The YAML library's time and memory grow faster than its input.
pub(super) const LONGEST_FILE: usize = 1 << 20;
/// More than a person corrects in one go.
const MOST_PROBLEMS: usize = 20;

pub(super) fn settled(text: &str, name: &Path, base: Defaults) -> Result<Settings, ConfigError> {
    if text.len() > LONGEST_FILE {
        return Err(too_long(name));
    }
    let raw: raw::File = yaml::read(text).map_err(|problem| ConfigError::Wrong {
        path: name.to_owned(),
        problems: vec![problem],
        more: 0,
    })?;
    settle::settle(raw, base).map_err(|problems| placed(text, name, problems))
}

/// Finds the lines of what settling refused. Each costs a walk of the text, so only as many as are shown.
fn placed(text: &str, name: &Path, found: Vec<Misplaced>) -> ConfigError {
    let more = found.len().saturating_sub(MOST_PROBLEMS);
    let mut problems: Vec<Problem> = found
        .into_iter()
        .take(MOST_PROBLEMS)
        .map(|(key, wrong)| Problem {
            at: yaml::place(text, &key),
            key: key.to_string(),
            wrong,
        })
        .collect();
    problems.sort_by_key(|problem| problem.at);
    ConfigError::Wrong {
        path: name.to_owned(),
        problems,
        more,
    }
}

/// The text may hold a password, so it is wiped when dropped.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    // Without waiting: opening a named pipe must not hang the start or a reload.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(failed)?;
    let length = fit(path, &file)?;
    // As long as the file from the start: growing would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(LONGEST_FILE) + 1));
    file.take(LONGEST_FILE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > LONGEST_FILE {
        return Err(too_long(path));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let (good, rest) = bytes.split_at(error.valid_up_to());
            Err(ConfigError::NotUtf8 {
                path: path.to_owned(),
                line: 1 + good.iter().filter(|b| **b == b'\n').count(),
                byte: rest.first().copied().unwrap_or_default(),
            })
        }
    }
}

/// A regular file that not everybody may write; its length.
fn fit(path: &Path, file: &File) -> Result<usize, ConfigError> {
    let metadata = file.metadata().map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let kind = metadata.file_type();
    let found = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_fifo() => Some("a named pipe"),
        () => Some("a device or a socket"),
    };
    if let Some(found) = found {
        return Err(ConfigError::NotAFile {
            path: path.to_owned(),
            found,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(ConfigError::WorldWritable {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(usize::try_from(metadata.len()).unwrap_or(usize::MAX))
}

fn too_long(path: &Path) -> ConfigError {
    ConfigError::TooLong {
        path: path.to_owned(),
        limit: LONGEST_FILE,
    }
}
