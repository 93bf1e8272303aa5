//! Which systemd unit a control group is of. In: `/proc/PID/cgroup`, or a path in the hierarchy. Out: the unit's name, whole and as
//! systemd writes it, escapes like `\x2d` included: `a\x2db.service` and `a-b.service` are two units. Never a name that an
//! unprivileged user could have chosen. Names no other file, so that tests/fuzz can take it in as it is.

/// The unit of the process whose `/proc/PID/cgroup` this is.
///
/// The line `0::` is of the one hierarchy that systemd keeps today. Where older set-ups keep theirs beside it (`name=systemd`), that line counts
/// if `0::` is missing or says nothing but the root.
pub(crate) fn in_proc_file(text: &[u8]) -> Option<&str> {
    let mut v1 = None;
    for line in text.split(|&b| b == b'\n') {
        if let Some(path) = line.strip_prefix(b"0::")
            && path != b"/"
        {
            return of_path(path);
        }
        let mut fields = line.splitn(3, |&b| b == b':').skip(1);
        if v1.is_none() && fields.next() == Some(b"name=systemd") {
            v1 = fields.next();
        }
    }
    of_path(v1?)
}

/// The unit of a control group, by its path from the root of the hierarchy.
///
/// It is the **first** service or scope from the root: below a unit its own processes may make groups of any name. Only
/// slices may come before it: what else there is (`/docker/…`, `/lxc.payload.…`) belongs to a manager that may have given
/// its inside away. `user@UID.service` is the users' own service manager, and says nothing.
pub(crate) fn of_path(path: &[u8]) -> Option<&str> {
    for part in path.strip_prefix(b"/")?.split(|&b| b == b'/') {
        match kind(part)? {
            Kind::Slice => {}
            Kind::Unit(name) if is_user_manager(name) => return None,
            Kind::Unit(name) => return Some(name),
        }
    }
    None
}

/// A directory that systemd makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Slice,
    Unit(&'a str),
}

/// What a directory's name says; `None`: it is not systemd's.
pub(crate) fn kind(directory: &[u8]) -> Option<Kind<'_>> {
    // systemd puts a `_` before names that mean something to the kernel (`memory.service`) or begin with `_`.
    let name = directory.strip_prefix(b"_").unwrap_or(directory);
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(b);
    if name.len() > 255 || !name.iter().all(allowed) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?;
    let (stem, kind) = name.rsplit_once('.')?;
    match kind {
        _ if stem.is_empty() => None,
        "slice" => Some(Kind::Slice),
        "service" | "scope" => Some(Kind::Unit(name)),
        _ => None,
    }
}

pub(crate) fn is_user_manager(unit: &str) -> bool {
    unit.starts_with("user@")
}

#[cfg(test)]
mod tests;
