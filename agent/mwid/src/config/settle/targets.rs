//! Where routes go: one address, or a list. In: as written. Out: targets, each once. No name is looked up.
use super::place::At;
use super::{proxy, values};
use crate::config::error::Wrong;
use crate::config::raw;
use crate::config::{Address, Target};
use std::path::Path;
use values::quoted;

const MOST: usize = 64;

pub(super) fn settle(
    at: &At,
    key: &str,
    raw: Option<raw::Targets>,
    target: impl Fn(&str) -> Result<Target, Wrong>,
) -> Option<Vec<Target>> {
    let many = match raw? {
        raw::Targets::One(text) => {
            let one = at.maybe(key, Some(target(&text.0)))?;
            return Some(vec![one]);
        }
        raw::Targets::Many(many) => many,
    };
    let at = at.key(key);
    if many.is_empty() || many.len() > MOST {
        at.refuse(Wrong::new(
            &format!("{} targets", many.len()),
            format!("an address, or a list of 1 to {MOST}"),
        ));
        return None;
    }
    let mut targets = Vec::new();
    for (index, text) in many.iter().enumerate() {
        match target(&text.0) {
            Ok(twice) if targets.contains(&twice) => at.item(index).refuse(
                Wrong::new(&format!("{} a second time", quoted(&text.0)), "each target once").fix(
                    "remove it: connections go to the target that has the least, and there are no weights",
                ),
            ),
            Ok(target) => targets.push(target),
            Err(wrong) => at.item(index).refuse(wrong),
        }
    }
    // Without any, the list of what is wrong has an entry.
    (!targets.is_empty()).then_some(targets)
}

/// The target of an inbound route: on this machine, unless the file says otherwise.
pub(super) fn near(text: &str, runtime_dir: &Path, unsafe_forward: bool) -> Result<Target, Wrong> {
    match values::target(text, runtime_dir)? {
        Target::Tcp(tcp) => {
            proxy::near(Address::Tcp(tcp), "forward", unsafe_forward).map(|_| Target::Tcp(tcp))
        }
        Target::Name { host, port } if !unsafe_forward => Err(Wrong::new(
            &format!("the name {}", quoted(&host)),
            "a loopback address (127.0.0.1, [::1]) or a Unix socket, since this side is plaintext",
        )
        .fix(format!(
            "write \"127.0.0.1:{port}\" if it is this machine, or say unsafe_forward: true beside it"
        ))),
        target => Ok(target),
    }
}
