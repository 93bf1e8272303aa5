//! From settled rules to rules that can be decided by: names become numbers. Reads the user database, which may block. Never lets a name
//! that means nobody match somebody.
use super::super::error::RulesError;
use super::{Conditions, Rule, Rules, Who};
use crate::config::{self, AccessRule, CallerConditions};
use crate::report::Causes;
use nix::unistd::{Group, User};

/// Looks up the names of users and groups; a number stands for itself. With `strict` a name that means nobody is an error, without it is
/// said and its rule matches nobody.
pub(in super::super) fn compile(
    rules: &[AccessRule],
    strict: bool,
    own_uid: u32,
) -> Result<Rules, RulesError> {
    let mut compiled = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let who = match &rule.who {
            config::Who::Everyone => Who::Everyone,
            config::Who::Caller(caller) => match conditions(index, caller) {
                Ok(conditions) => Who::Caller(conditions),
                Err(error) if strict => return Err(error),
                Err(error) => {
                    tracing::warn!("{}; until a reload this rule matches nobody", Causes(&error));
                    error.nobody()
                }
            },
        };
        compiled.push(Rule {
            who,
            may: rule.may.clone(),
        });
    }
    Ok(Rules {
        rules: compiled,
        own_uid,
    })
}

fn conditions(index: usize, caller: &CallerConditions) -> Result<Conditions, RulesError> {
    let user = caller.user.as_deref().map(|name| user(index, name));
    let group = caller.group.as_deref().map(|name| group(index, name));
    Ok(Conditions {
        uids: user.transpose()?.into_iter().chain(caller.uid).collect(),
        gids: group.transpose()?.into_iter().chain(caller.gid).collect(),
        unit: caller.unit.clone(),
        exe: caller.exe.clone(),
        sha256: caller.sha256,
    })
}

fn user(index: usize, name: &str) -> Result<u32, RulesError> {
    if let Some(number) = number(name) {
        return Ok(number);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(RulesError::NoUser {
            index,
            name: name.to_owned(),
        }),
        Err(source) => Err(RulesError::LookUp {
            index,
            key: "user",
            name: name.to_owned(),
            source,
        }),
    }
}

fn group(index: usize, name: &str) -> Result<u32, RulesError> {
    if let Some(number) = number(name) {
        return Ok(number);
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(RulesError::NoGroup {
            index,
            name: name.to_owned(),
        }),
        Err(source) => Err(RulesError::LookUp {
            index,
            key: "group",
            name: name.to_owned(),
            source,
        }),
    }
}

/// No user database has a name of digits only.
fn number(name: &str) -> Option<u32> {
    let is_number = name.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| name.parse().ok()).flatten()
}

impl RulesError {
    fn nobody(self) -> Who {
        let (key, name) = match self {
            Self::NoUser { name, .. } => ("user", name),
            Self::NoGroup { name, .. } => ("group", name),
            Self::LookUp { key, name, .. } => (key, name),
        };
        Who::Nobody { key, name }
    }
}
