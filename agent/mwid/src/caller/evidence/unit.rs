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
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_first_below_the_root() {
        let long = format!("/system.slice/{}.service", "a".repeat(248));
        let table: &[(&str, Option<&str>)] = &[
            ("/system.slice/payments.service", Some("payments.service")),
            ("/payments.service", Some("payments.service")),
            ("/init.scope", Some("init.scope")),
            ("/system.slice/payments.service/", Some("payments.service")),
            (
                "/system.slice/payments.service/evil.service/x",
                Some("payments.service"),
            ),
            (
                "/system.slice/payments.service/worker/a b",
                Some("payments.service"),
            ),
            (
                "/system.slice/payments.service/x (deleted)",
                Some("payments.service"),
            ),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                Some("getty@tty1.service"),
            ),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                Some("session-3.scope"),
            ),
            (
                "/machine.slice/machine-web.scope/payload/system.slice/payments.service",
                Some("machine-web.scope"),
            ),
            (r"/system.slice/a\x2db.service", Some(r"a\x2db.service")),
            ("/system.slice/_memory.service", Some("memory.service")),
            ("/system.slice/__x.service", Some("_x.service")),
            // The users' own managers make what they like.
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/payments.service",
                None,
            ),
            (
                "/user.slice/user-1000.slice/user@1000.service/payments.service",
                None,
            ),
            ("/user.slice/user-1000.slice/user@1000.service", None),
            (
                "/user.slice/user-1000.slice/_user@1000.service/payments.service",
                None,
            ),
            // Not systemd's: the inside may belong to anybody.
            ("/docker/0123/system.slice/payments.service", None),
            ("/lxc.payload.web/system.slice/payments.service", None),
            ("/kubepods/besteffort/pod1/payments.service", None),
            ("/../../system.slice/payments.service", None),
            ("/system.slice/../payments.service", None),
            ("/./payments.service", None),
            ("//payments.service", None),
            ("/system.slice//payments.service", None),
            ("system.slice/payments.service", None),
            ("payments.service", None),
            ("", None),
            ("/", None),
            ("/system.slice", None),
            ("/system.slice/", None),
            ("/system.slice/.service", None),
            ("/system.slice/_.service", None),
            ("/system.slice/service", None),
            ("/system.slice/payments.service (deleted)", None),
            ("/system.slice/payments.Service", None),
            ("/system.slice/payments.service\u{202e}", None),
            ("/system.slice/pay ments.service", None),
            ("/system.slice/pay\tments.service", None),
            ("/system.slice (deleted)/payments.service", None),
            (&long, None),
        ];
        for (path, unit) in table {
            assert_eq!(of_path(path.as_bytes()), *unit, "{path}");
        }
        assert_eq!(of_path(b"/system.slice/\xff.service"), None);
        assert_eq!(of_path(&long.as_bytes()[..14 + 255]), None, "cut");
        let longest = format!("/system.slice/{}.service", "a".repeat(247));
        assert_eq!(of_path(longest.as_bytes()), Some(&longest[14..]));
    }

    #[test]
    fn the_line_that_counts() {
        let table: &[(&str, Option<&str>)] = &[
            ("0::/system.slice/a.service\n", Some("a.service")),
            ("0::/system.slice/a.service", Some("a.service")),
            // Older set-ups.
            (
                "9:name=systemd:/system.slice/a.service\n8:pids:/\n0::/\n",
                Some("a.service"),
            ),
            (
                "9:name=systemd:/system.slice/a.service\n8:pids:/\n",
                Some("a.service"),
            ),
            (
                "1:name=systemd:/system.slice/b.service\n0::/system.slice/a.service\n",
                Some("a.service"),
            ),
            (
                "0::/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n",
                Some("a.service"),
            ),
            // Says something, only no unit.
            ("1:name=systemd:/system.slice/b.service\n0::/docker/x\n", None),
            // Other hierarchies are other people's.
            ("4:memory:/system.slice/a.service\n0::/\n", None),
            ("4:name=mine:/system.slice/a.service\n0::/\n", None),
            ("4:name=systemd,cpu:/system.slice/a.service\n0::/\n", None),
            ("4:xname=systemd:/system.slice/a.service\n", None),
            ("00::/system.slice/a.service\n", None),
            ("x0::/system.slice/a.service\n", None),
            // A colon in a path is a part of it.
            ("0::/system.slice/a:b.service\n", Some("a:b.service")),
            ("3:cpu:/x:name=systemd:/system.slice/a.service\n0::/\n", None),
            ("1:name=systemd:/\n2:name=systemd:/system.slice/a.service\n", None),
            ("0::/\n", None),
            ("name=systemd\n:name=systemd\n", None),
            ("\n\n", None),
            ("", None),
        ];
        for (text, unit) in table {
            assert_eq!(in_proc_file(text.as_bytes()), *unit, "{text:?}");
        }
    }
}
