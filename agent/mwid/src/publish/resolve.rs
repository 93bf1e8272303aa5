//! From settings to what a publish needs: numbers for names, parsed signals, a place for each directory.
//!
//! In: settled settings. Out: directories and reactions ready to work, or the first thing that can never work.
//! Reads the user database; never writes.

use super::Shared;
use super::directory::{Access, Directory};
use super::error::{PublishError, Who};
use super::react::Action;
use crate::config::{FileSet, PublishSettings};
use crate::files::Wanted;
use nix::unistd::{Group, User};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// One published directory, ready to run.
pub(super) struct Prepared {
    pub(super) directory: Arc<Directory>,
    pub(super) actions: Vec<Action>,
}

pub(super) fn all(shared: &Shared, settings: Vec<PublishSettings>) -> Result<Vec<Prepared>, PublishError> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for one in settings {
        let path = one.directory.clone();
        if !seen.insert(path.clone()) {
            return Err(PublishError::SameDirectoryTwice { path });
        }
        if one.files.contains(&FileSet::Pkcs12) && !one.store_password.0.is_ascii() {
            return Err(PublishError::PasswordNotAscii { path });
        }
        let access = access(&one)?;
        let wanted = Wanted {
            sets: one.files.iter().copied().collect(),
            password: one.store_password.clone(),
        };
        let claim = shared.claim(&path);
        let directory = Directory::new(
            &path,
            &shared.runtime_dir,
            access,
            wanted,
            claim,
            shared.fs.clone(),
        )?;
        let actions = one
            .then
            .into_iter()
            .map(|reaction| {
                Action::new(reaction).map_err(|source| PublishError::Reaction {
                    path: path.clone(),
                    source: Box::new(source),
                })
            })
            .collect::<Result<_, _>>()?;
        out.push(Prepared {
            directory: Arc::new(directory),
            actions,
        });
    }
    Ok(out)
}

fn access(settings: &PublishSettings) -> Result<Access, PublishError> {
    let path = &settings.directory;
    let user = |name: &str| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()));
    let group = |name: &str| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()));
    Ok(Access {
        uid: number(path, settings.owner.as_deref(), Who::Owner, user)?,
        gid: number(path, settings.group.as_deref(), Who::Group, group)?,
        key_mode: settings.key_mode,
    })
}

/// A number stands for itself; a name is looked up.
fn number(
    path: &Path,
    name: Option<&str>,
    what: Who,
    look_up: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Result<Option<u32>, PublishError> {
    let Some(name) = name else { return Ok(None) };
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let found = look_up(name).map_err(|source| PublishError::LookUp {
        path: path.to_owned(),
        what,
        name: name.to_owned(),
        source,
    })?;
    found.map(Some).ok_or_else(|| PublishError::Unknown {
        path: path.to_owned(),
        what,
        name: name.to_owned(),
    })
}
