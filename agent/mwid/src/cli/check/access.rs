//! Access rules: can each of them ever match, and what do they open?
use super::{Finding, Scene, names};
use crate::config::{
    AccessRule, AccessTokens, Address, CallerConditions, DoorSettings, IdTokens, May, Settings,
    SourceSettings, Who,
};
use nix::unistd::{Group, User};

pub(super) fn probe(scene: &Scene<'_>) -> Vec<Finding> {
    let rules = &scene.settings.access;
    let mut findings = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        match &rule.who {
            Who::Everyone => findings.push(open(index, &rule.may)),
            Who::Caller(who) => findings.extend(names_of(index, who)),
        }
    }
    if !scene.looker.may_ptrace {
        findings.extend(programs(rules));
    }
    let on_tcp = |door: &DoorSettings| door.listen.iter().any(|a| matches!(a, Address::Tcp(_)));
    if on_tcp(&scene.settings.metadata) || on_tcp(&scene.settings.workload) {
        findings.extend(never_on_tcp(rules));
    }
    findings.extend(identity_for_nobody(scene.settings));
    findings
}

/// No program of an ordinary user gets anything from the Workload API; said, since the socket is there and open to all.
fn identity_for_nobody(settings: &Settings) -> Option<Finding> {
    let is_open = settings.workload.socket.is_some() || !settings.workload.listen.is_empty();
    let is_granted = settings.access.iter().any(|rule| rule.may.identity);
    (is_open && !is_granted && settings.identity.source != SourceSettings::None).then(|| {
        Finding::note(
            "identity_for_nobody",
            "no access rule grants the identity, so at the SPIFFE Workload API only root and mwid's own user get it",
        )
        .why("everybody else is denied with the words: no identity issued")
        .fix("grant it where SPIFFE programs or Envoy run: access: [{ who: { unit: payments.service }, may: { identity: true } }]; or api.workload.socket: off")
    })
}

fn open(index: usize, may: &May) -> Finding {
    if may.identity {
        return Finding::warning(
            "identity_for_everyone",
            format!("access[{index}] gives everyone on this machine the identity's private key"),
        )
        .why("every process can be this VM then")
        .fix("name a user, a group or a unit in `who`");
    }
    if may.access_tokens == AccessTokens::None && may.id_tokens == IdTokens::None {
        return Finding::note(
            "routes_for_everyone",
            format!("access[{index}] lets everyone on this machine use routes of the proxy"),
        )
        .why("whom they connect to takes each of them for this VM")
        .fix("to tell programs apart, name a user, a group or a unit in `who`");
    }
    Finding::note(
        "tokens_for_everyone",
        format!("access[{index}] gives tokens to everyone on this machine"),
    )
    .why("as the metadata server does where nothing is set up")
    .fix("to tell programs apart, name a user, a group or a unit in `who`")
}

fn names_of(index: usize, who: &CallerConditions) -> Vec<Finding> {
    let user = who.user.as_deref().and_then(|name| {
        named(
            "user",
            name,
            index,
            User::from_name(name).map(|found| found.is_some()),
        )
    });
    let group = who.group.as_deref().and_then(|name| {
        named(
            "group",
            name,
            index,
            Group::from_name(name).map(|found| found.is_some()),
        )
    });
    user.into_iter().chain(group).collect()
}

fn named(kind: &'static str, name: &str, index: usize, exists: nix::Result<bool>) -> Option<Finding> {
    let place = format!("access[{index}].who.{kind}");
    match exists {
        Ok(true) => None,
        Ok(false) => {
            let (id, number) = match kind {
                "user" => ("unknown_user", "uid"),
                _ => ("unknown_caller_group", "gid"),
            };
            Some(
                Finding::error(id, format!("there is no {kind} {name} ({place})"))
                    .why("the rule matches nobody, and a reload to this configuration is refused")
                    .fix(format!(
                        "create it, correct the name, or write its number as {number}"
                    )),
            )
        }
        Err(errno) => Some(names::unanswered(kind, name, &place, errno)),
    }
}

/// `access[0], access[2]`, of those for which it holds.
fn listed(rules: &[AccessRule], holds: impl Fn(&CallerConditions) -> bool) -> Option<String> {
    let names: Vec<String> = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| matches!(&rule.who, Who::Caller(who) if holds(who)))
        .map(|(index, _)| format!("access[{index}]"))
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn programs(rules: &[AccessRule]) -> Option<Finding> {
    let names = listed(rules, |who| who.exe.is_some() || who.sha256.is_some())?;
    Some(
        Finding::warning(
            "needs_cap_sys_ptrace",
            format!("this user may not see the programs of other users, which {names} is about (exe, sha256)"),
        )
        .why("without CAP_SYS_PTRACE such a rule matches only processes of the daemon's own user, who may have everything anyway")
        .fix(
            "give the service the capability in a drop-in (systemctl edit mwid): CapabilityBoundingSet=CAP_SYS_PTRACE and \
             AmbientCapabilities=CAP_SYS_PTRACE; or use a rule on unit",
        ),
    )
}

fn never_on_tcp(rules: &[AccessRule]) -> Option<Finding> {
    let names = listed(rules, |who| {
        who.group.is_some() || who.gid.is_some() || who.exe.is_some() || who.sha256.is_some()
    })?;
    Some(
        Finding::note(
            "never_matches_on_tcp",
            format!("{names} never matches callers on TCP (api.metadata.listen, api.workload.listen): there the kernel tells only the user and the unit"),
        )
        .why("Google's client libraries ask over TCP; group, gid, exe and sha256 are known on the Unix socket alone")
        .fix("for those libraries use rules on user, uid or unit"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use std::path::Path;

    fn rules(text: &str) -> Vec<AccessRule> {
        config::parse(text, Path::new("f.yaml")).unwrap().access
    }

    fn ids(findings: impl IntoIterator<Item = Finding>) -> Vec<&'static str> {
        findings.into_iter().map(|finding| finding.id).collect()
    }

    fn names(who: &str) -> Vec<&'static str> {
        let rules = rules(&format!(
            "access: [{{ who: {{ {who} }}, may: {{ identity: true }} }}]"
        ));
        let Who::Caller(who) = &rules[0].who else {
            panic!("{rules:?}")
        };
        ids(names_of(0, who))
    }

    #[test]
    fn names_that_nobody_has_are_found() {
        assert_eq!(names("user: root, group: root"), [""; 0]);
        assert_eq!(
            names("uid: 4000000001, gid: 4000000001"),
            [""; 0],
            "numbers need no name"
        );
        assert_eq!(
            names("user: no-such-user-here, group: no-such-group-here"),
            ["unknown_user", "unknown_caller_group"]
        );
    }

    const MIXED: &str = "access:\n  - { who: { uid: 1 }, may: { identity: true } }\n  \
         - { who: { exe: /bin/true }, may: { identity: true } }\n  \
         - { who: { uid: 1, group: root }, may: { identity: true } }\n  \
         - { who: { unit: a.service, gid: 7 }, may: { identity: true } }\n  - { who: everyone, may: { identity: true } }\n";

    #[test]
    fn rules_that_need_more_than_the_kernel_tells_are_named() {
        let rules = rules(MIXED);
        let ptrace = programs(&rules).unwrap();
        assert!(ptrace.what.contains(" access[1] is about"), "{ptrace:?}");
        assert!(
            ptrace.fix.contains("AmbientCapabilities=CAP_SYS_PTRACE"),
            "{ptrace:?}"
        );
        let tcp = never_on_tcp(&rules).unwrap();
        assert!(
            tcp.what.starts_with("access[1], access[2], access[3] never"),
            "{tcp:?}"
        );
        assert_eq!(programs(&rules[..1]), None);
        assert_eq!(never_on_tcp(&rules[..1]), None);
    }

    #[test]
    fn a_workload_api_that_serves_nobody_is_said() {
        let of = |text: &str| {
            let settings = config::parse(text, Path::new("f.yaml")).unwrap();
            identity_for_nobody(&settings).map(|finding| finding.id)
        };
        let said = Some("identity_for_nobody");
        assert_eq!(of("{}"), said);
        assert_eq!(of("access: [{ who: everyone, may: { id_tokens: true } }]"), said);
        assert_eq!(of("api: { workload: { socket: off, listen: \"unix:w\" } }"), said);
        assert_eq!(of("access: [{ who: { uid: 1 }, may: { identity: true } }]"), None);
        assert_eq!(of("api: { workload: { socket: off } }"), None);
        assert_eq!(of("identity: { source: none }"), None);
    }

    #[test]
    fn what_everyone_gets_is_said() {
        let of = |may: &str| {
            open(
                0,
                &rules(&format!("access: [{{ who: everyone, may: {may} }}]"))[0].may,
            )
            .id
        };
        assert_eq!(of("{ access_tokens: true }"), "tokens_for_everyone");
        assert_eq!(
            of("{ access_tokens: true, identity: true }"),
            "identity_for_everyone"
        );
    }
}
