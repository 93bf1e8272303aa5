//! Users and groups that the configuration names: do they exist, and may this user give files to them?
use super::looker::Looker;
use super::{Finding, Scene};
use nix::unistd::{Gid, Group, Uid, User};

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let settings = scene.settings;
    let mut findings = Vec::new();
    for entry in &settings.publish {
        let place = format!("publish in {}", entry.directory.display());
        findings.extend(owner(entry.owner.as_deref(), &place, scene.looker));
        findings.extend(group(entry.group.as_deref(), &place, scene.looker));
    }
    for (place, door) in [
        ("api.admin", &settings.admin),
        ("api.workload", &settings.workload),
        ("api.metadata", &settings.metadata),
        ("api.credential", &settings.credential),
    ] {
        if let Some(socket) = &door.socket {
            findings.extend(owner(socket.owner.as_deref(), place, scene.looker));
            findings.extend(group(socket.group.as_deref(), place, scene.looker));
        }
    }
    findings
}

const CHOWN: &str =
    "give the service the capability: AmbientCapabilities=CAP_CHOWN in a drop-in (systemctl edit mwid)";

fn owner(name: Option<&str>, place: &str, looker: &Looker) -> Option<Finding> {
    let name = name?;
    let uid = match name.parse() {
        Ok(number) => Uid::from_raw(number),
        Err(_) => match User::from_name(name) {
            Ok(Some(user)) => user.uid,
            Ok(None) => return Some(unknown("user", name, place, "useradd --system")),
            Err(errno) => return Some(unanswered("user", name, place, errno)),
        },
    };
    (uid != looker.uid && !looker.may_chown).then(|| {
        Finding::error(
            "needs_cap_chown",
            format!("this user may not give files to {name} ({place}: owner)"),
        )
        .why("only CAP_CHOWN lets a process give files to another user")
        .fix(CHOWN)
    })
}

fn group(name: Option<&str>, place: &str, looker: &Looker) -> Option<Finding> {
    let name = name?;
    let gid = match name.parse() {
        Ok(number) => Gid::from_raw(number),
        Err(_) => match Group::from_name(name) {
            Ok(Some(group)) => group.gid,
            Ok(None) => return Some(unknown("group", name, place, "groupadd --system")),
            Err(errno) => return Some(unanswered("group", name, place, errno)),
        },
    };
    (!looker.groups.contains(&gid) && !looker.may_chown).then(|| {
        Finding::error(
            "needs_group",
            format!("this user may not give files to the group {name} ({place}: group)"),
        )
        .why("a process gives files only to groups that it is in, or needs CAP_CHOWN")
        .fix(format!(
            "SupplementaryGroups={name} in a drop-in (systemctl edit mwid), or AmbientCapabilities=CAP_CHOWN"
        ))
    })
}

fn unknown(kind: &'static str, name: &str, place: &str, make: &str) -> Finding {
    let id = if kind == "user" {
        "unknown_owner"
    } else {
        "unknown_group"
    };
    Finding::error(id, format!("there is no {kind} {name} ({place})"))
        .why("nothing is published or bound with an owner that cannot be given")
        .fix(format!("{make} {name}, or correct the name"))
}

pub(super) fn unanswered(kind: &'static str, name: &str, place: &str, errno: nix::Error) -> Finding {
    Finding::warning(
        "names_unanswered",
        format!(
            "whether the {kind} {name} exists ({place}) could not be found out: {}",
            errno.desc()
        ),
    )
    .why("the daemon asks the same service when it starts")
    .fix("look at /etc/nsswitch.conf and the service behind it, or write the number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody() -> Looker {
        Looker {
            uid: Uid::from_raw(4_000_001),
            groups: vec![Gid::from_raw(4_000_002)],
            may_chown: false,
            may_ptrace: false,
            environment: crate::tokens::Environment::default(),
        }
    }

    fn id(finding: Option<Finding>) -> Option<&'static str> {
        finding.map(|finding| finding.id)
    }

    #[test]
    fn names_that_nobody_has_are_found() {
        let root = Looker {
            may_chown: true,
            ..somebody()
        };
        assert_eq!(
            id(owner(Some("no-such-user-here"), "x", &root)),
            Some("unknown_owner")
        );
        assert_eq!(
            id(group(Some("no-such-group-here"), "x", &root)),
            Some("unknown_group")
        );
        assert_eq!(id(owner(Some("root"), "x", &root)), None);
        assert_eq!(id(group(Some("root"), "x", &root)), None);
        assert_eq!(id(owner(None, "x", &root)), None);
    }

    #[test]
    fn owners_and_groups_that_this_user_cannot_give_are_found() {
        let me = somebody();
        assert_eq!(id(owner(Some("root"), "x", &me)), Some("needs_cap_chown"));
        assert_eq!(id(owner(Some("4000001"), "x", &me)), None);
        assert_eq!(id(group(Some("root"), "x", &me)), Some("needs_group"));
        assert_eq!(id(group(Some("4000002"), "x", &me)), None);
    }
}
