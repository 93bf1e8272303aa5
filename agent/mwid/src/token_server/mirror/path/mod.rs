//! What a path of the metadata tree is about. In: the names on a path, from a question or from within a tree. Out: whether it is the
//! platform's to answer, holds the X.509 identity's private key, and how long its value holds. Never looks at a value.
#[cfg(test)]
mod tests;

use std::time::Duration;

/// No key of the platform is longer: a key of the custom metadata has at most 128 bytes.
const LONGEST: usize = 512;

/// How long a value is taken for the platform's present one: several callers at once are one question.
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(300);

/// What cannot change while the VM runs. Everything else can.
const LASTING: [&str; 10] = [
    "project/project-id",
    "project/numeric-project-id",
    "instance/id",
    "instance/name",
    "instance/zone",
    "instance/hostname",
    "instance/machine-type",
    "instance/cpu-platform",
    "instance/image",
    "universe/universe-domain",
];

/// Trees in which the platform keeps neither service accounts nor keys: their text is passed on as it comes.
const HARMLESS: [&str; 7] = [
    "project",
    "universe",
    "instance/attributes",
    "instance/disks",
    "instance/network-interfaces",
    "instance/scheduling",
    "instance/licenses",
];

/// Whose a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody's, or ours and asked for in a spelling that is not: the platform is not asked.
    Unknown,
    /// The platform's, and it is or may hold the X.509 identity's private key.
    Identity,
    /// The platform's, for every caller.
    Open,
}

pub(super) fn kind(path: &str) -> Kind {
    let names = names(path);
    if path == "/" || path.len() > LONGEST || !names.iter().all(|name| is_name(name)) {
        return Kind::Unknown;
    }
    // Each directory on the way, as a tree would meet them.
    for depth in 1..=names.len() {
        let above = &names[..depth];
        if depth == names.len() && !path.ends_with('/') && is_custom(above) {
            return Kind::Open;
        }
        if is_accounts(above) {
            return Kind::Unknown;
        }
        if is_identity(above) {
            return Kind::Identity;
        }
    }
    Kind::Open
}

/// Whether parameters that are not the tree's own mean something there: beside the instance's data, as at OS Login's keys.
pub(super) fn has_parameters(path: &str) -> bool {
    !matches!(
        names(path).first(),
        None | Some(&("instance" | "project" | "universe"))
    )
}

/// The names on a path; none: the root.
pub(super) fn names(path: &str) -> Vec<&str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        vec![]
    } else {
        path.split('/').collect()
    }
}

/// How long its value is taken for the present one.
pub(super) fn freshness(path: &str) -> Duration {
    if LASTING.contains(&path) { LONG } else { SHORT }
}

pub(super) fn is_harmless(directory: &str) -> bool {
    HARMLESS.iter().any(|tree| {
        directory
            .strip_prefix(tree)
            .is_some_and(|below| below.starts_with('/'))
    })
}

/// What the platform's keys are made of. Whoever reads `;x` or `\` as something else than we do would make our rules void.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$'()*,@:+=".contains(&byte))
}

/// The key of a value of the custom metadata, whose names the VM's owner chooses: whatever it is called, it holds what he wrote.
pub(super) fn is_custom(names: &[&str]) -> bool {
    matches!(names, ["instance" | "project", "attributes", _])
}

/// Whether the last of these names is the service accounts, which are ours to tell of, however it is spelt.
pub(super) fn is_accounts(names: &[&str]) -> bool {
    names.last().is_some_and(|last| bare(last) == "serviceaccounts")
}

/// Whether the last of these names is a place of the X.509 identity's private key, however it is spelt. `names` begins at the root.
pub(super) fn is_identity(names: &[&str]) -> bool {
    let Some(last) = names.last() else {
        return false;
    };
    let last = bare(last);
    matches!(
        last.as_str(),
        "workloadidentities" | "workloadcredentials" | "privatekeypem"
    ) || last.starts_with("gceworkloadcertificates")
        || last.starts_with("workloadcertificates")
        || last == "credentials" && matches!(names, [first, _] if bare(first) == "instance")
}

/// Whether these names are the universe domain of a tree from the root.
pub(super) fn is_universe_domain(names: &[&str]) -> bool {
    names == ["universe", "universeDomain"]
}

/// Whether these names are the directory that the service accounts are in.
pub(super) fn holds_accounts(names: &[&str]) -> bool {
    names == ["instance"]
}

/// Without what differs between the spellings of a name: `workload-identities`, `workload_identities`, `workloadIdentities`.
fn bare(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}
