//! The access rules.
//!
//! In: settled rules, whose names are looked up once; then the facts of a caller. Out: a decision, with what the operator should know of it.
//! Never grants by what cannot be told, never looks for costly evidence before the cheap conditions of a rule hold.
mod compile;
#[cfg(test)]
mod tests;

pub(super) use compile::compile;

use super::facts::Facts;
use super::grant::Grant;
use crate::caller::Denial;
use crate::config::{May, Routes};
use crate::report::Causes;
use std::fmt;
use std::path::PathBuf;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Rules whose names are looked up, ready to be put in force.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Of mwid itself: its own user owns the sockets and everything behind them.
    own_uid: u32,
}

#[derive(Debug)]
struct Rule {
    who: Who,
    may: May,
}

#[derive(Debug)]
enum Who {
    Everyone,
    /// All that are given must hold.
    Caller(Conditions),
    /// A name in it means nobody.
    Nobody {
        key: &'static str,
        name: String,
    },
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Conditions {
    /// By `user` and by `uid`: the caller's must be each of them.
    uids: Vec<u32>,
    /// By `group` and by `gid`: the caller must be in each of them.
    gids: Vec<u32>,
    unit: Option<String>,
    exe: Option<PathBuf>,
    sha256: Option<[u8; 32]>,
}

/// What a caller may have by the rules in force, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) grant: Grant,
    pub(super) by: By,
    /// Why rules that could have matched did not, for the operator.
    pub(super) hints: Vec<Hint>,
    /// False when evidence could not be looked up this time and perhaps can the next: then the next request is decided anew.
    pub(super) lasting: bool,
}

/// What grants are based on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum By {
    Root,
    /// mwid's own user.
    OwnUser,
    /// The numbers of all that match.
    Rules(Vec<usize>),
    #[default]
    Nothing,
}

/// Why a rule that could have matched did not. Denials are told to the operator with these.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hint {
    rule: usize,
    why: Unproven,
}

#[derive(Debug, PartialEq, Eq)]
enum Unproven {
    /// Whom a name stands for is not known.
    Name { key: &'static str, name: String },
    /// On TCP.
    Group,
    /// On TCP.
    Program,
    /// Of a unit that systemd asks a credential for.
    BeforeStart,
    /// With the text of the failed look-up.
    LookUp {
        key: &'static str,
        why: String,
        may_pass: bool,
    },
}

impl Rules {
    pub(super) fn name_routes(&self) -> bool {
        self.rules.iter().any(|rule| rule.may.routes != Routes::None)
    }

    pub(super) fn none(own_uid: u32) -> Self {
        Self {
            rules: vec![],
            own_uid,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.rules.len()
    }

    /// Decides about a caller.
    pub(super) fn decide(&self, facts: &dyn Facts) -> Decision {
        let uid = facts.uid();
        let by = match uid {
            _ if facts.asks_for_unit() => None,
            0 => Some(By::Root),
            _ if uid == self.own_uid => Some(By::OwnUser),
            _ => None,
        };
        if let Some(by) = by {
            return Decision {
                grant: Grant::everything(),
                by,
                hints: vec![],
                lasting: true,
            };
        }
        let (mut grant, mut matching, mut hints, mut lasting) = (Grant::default(), vec![], vec![], true);
        for (number, rule) in self.rules.iter().enumerate() {
            match rule.who.holds(facts) {
                Ok(true) => {
                    grant.add(&rule.may);
                    matching.push(number);
                }
                Ok(false) => {}
                Err(why) => {
                    lasting &= !matches!(why, Unproven::LookUp { may_pass: true, .. });
                    hints.push(Hint { rule: number, why });
                }
            }
        }
        let by = if matching.is_empty() {
            By::Nothing
        } else {
            By::Rules(matching)
        };
        Decision {
            grant,
            by,
            hints,
            lasting,
        }
    }
}

impl Who {
    /// Whether it is the caller; an error where that cannot be told, so that it is not.
    fn holds(&self, facts: &dyn Facts) -> Result<bool, Unproven> {
        match self {
            Self::Everyone => Ok(true),
            Self::Caller(conditions) => conditions.hold(facts),
            Self::Nobody { key, name } => Err(Unproven::Name {
                key,
                name: name.clone(),
            }),
        }
    }
}

impl Conditions {
    /// Cheap ones first: what must be looked up is only looked up for a caller who may fit.
    fn hold(&self, facts: &dyn Facts) -> Result<bool, Unproven> {
        // The settings refuse a rule without conditions; here it would mean everybody.
        if *self == Self::default() {
            return Ok(false);
        }
        if facts.asks_for_unit() {
            return self.hold_for_unit(facts);
        }
        if self.uids.iter().any(|uid| *uid != facts.uid()) {
            return Ok(false);
        }
        if !self.gids.is_empty() {
            let groups = facts.groups().ok_or(Unproven::Group)?;
            let is_in = |gid: &u32| groups.contains(gid) || facts.gid() == Some(*gid);
            if !self.gids.iter().all(is_in) {
                return Ok(false);
            }
        }
        if let Some(unit) = &self.unit {
            let told = facts.unit().map_err(|why| Unproven::look_up("unit", &why))?;
            if told != Some(unit.as_str()) {
                return Ok(false);
            }
        }
        if let Some(exe) = &self.exe {
            let told = facts.runs(exe).map_err(|why| Unproven::look_up("exe", &why))?;
            if !told.ok_or(Unproven::Program)? {
                return Ok(false);
            }
        }
        if let Some(sha256) = &self.sha256 {
            let told = unblocked(|| facts.sha256()).map_err(|why| Unproven::look_up("sha256", &why))?;
            if told.ok_or(Unproven::Program)? != *sha256 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Conditions {
    /// Before a unit is started there is nothing but its name.
    fn hold_for_unit(&self, facts: &dyn Facts) -> Result<bool, Unproven> {
        let Some(unit) = &self.unit else {
            return Ok(false);
        };
        let told = facts.unit().map_err(|why| Unproven::look_up("unit", &why))?;
        if told != Some(unit.as_str()) {
            return Ok(false);
        }
        let more =
            !self.uids.is_empty() || !self.gids.is_empty() || self.exe.is_some() || self.sha256.is_some();
        if more {
            Err(Unproven::BeforeStart)
        } else {
            Ok(true)
        }
    }
}

/// Reads a whole program, which may be large and on a slow disk: the other tasks of this thread go on elsewhere.
fn unblocked<T>(read: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(read),
        _ => read(),
    }
}

impl Unproven {
    fn look_up(key: &'static str, why: &Denial) -> Self {
        Self::LookUp {
            key,
            why: Causes(why).to_string(),
            may_pass: why.may_pass(),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.rule;
        match &self.why {
            Unproven::Name { key, name } => write!(
                f,
                "rule access[{rule}] matches nobody, for there was no {key} {name} when the rules were read: \
                 create it and reload"
            ),
            Unproven::Group => write!(
                f,
                "rule access[{rule}] names a group, which loopback TCP cannot prove: use the Unix socket"
            ),
            Unproven::Program => write!(
                f,
                "rule access[{rule}] names a program, which loopback TCP cannot prove: use the Unix socket"
            ),
            Unproven::BeforeStart => write!(
                f,
                "rule access[{rule}] names more than the unit, which cannot be proven when systemd fetches a credential for it: make a \
                 rule on the unit alone"
            ),
            Unproven::LookUp { key, why, .. } => {
                write!(f, "rule access[{rule}] names {key}, which cannot be told: {why}")
            }
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::OwnUser => f.write_str("own user"),
            Self::Nothing => f.write_str("none"),
            Self::Rules(numbers) => {
                for (at, number) in numbers.iter().enumerate() {
                    let gap = if at == 0 { "" } else { " " };
                    write!(f, "{gap}access[{number}]")?;
                }
                Ok(())
            }
        }
    }
}
