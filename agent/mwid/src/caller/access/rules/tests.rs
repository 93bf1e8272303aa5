//! Each kind of condition, alone and with others, for each kind of caller.
use super::super::error::RulesError;
use super::super::tests::Somebody;
use super::*;
use crate::config::{AccessRule, AccessTokens, CallerConditions, IdTokens};
use crate::config::{May, Who as ConfigWho};

const OWN: u32 = 998;

fn identity() -> May {
    May {
        identity: true,
        ..May::default()
    }
}

fn rule(who: CallerConditions) -> AccessRule {
    AccessRule {
        who: ConfigWho::Caller(Box::new(who)),
        may: identity(),
    }
}

fn decide(rules: &[AccessRule], who: &Somebody) -> Decision {
    compile(rules, true, OWN).unwrap().decide(who)
}

/// Whether this one rule matches, and what the operator is told if it does not.
fn one(who: CallerConditions, caller: &Somebody) -> Result<bool, String> {
    let decision = decide(&[rule(who)], caller);
    assert_eq!(decision.grant.identity, decision.by == By::Rules(vec![0]));
    match decision.hints.first() {
        Some(hint) => {
            assert!(!decision.grant.identity, "never by what cannot be told");
            Err(hint.to_string())
        }
        None => Ok(decision.grant.identity),
    }
}

/// Of the service `payments.service`, uid 1000, groups 1000 and 2000.
fn payments() -> Somebody {
    Somebody::new(1000)
        .groups(&[1000, 2000])
        .unit("payments.service")
        .exe("/usr/bin/pay")
        .sha256([7; 32])
}

/// `uid=1000 unit=payments.service`, as a rule says it; a hash is one byte over and over.
fn who(text: &str) -> CallerConditions {
    let mut who = CallerConditions::default();
    for (key, value) in text.split_whitespace().map(|part| part.split_once('=').unwrap()) {
        match key {
            "user" => who.user = Some(value.to_owned()),
            "uid" => who.uid = Some(value.parse().unwrap()),
            "group" => who.group = Some(value.to_owned()),
            "gid" => who.gid = Some(value.parse().unwrap()),
            "unit" => who.unit = Some(value.to_owned()),
            "exe" => who.exe = Some(value.into()),
            "sha256" => who.sha256 = Some([value.parse().unwrap(); 32]),
            other => panic!("{other}"),
        }
    }
    who
}

#[test]
fn each_condition_holds_for_whom_it_names_and_for_nobody_else() {
    for (text, holds) in [
        ("uid=1000", true),
        ("user=1000", true),
        ("gid=1000", true),
        ("gid=2000", true),
        ("group=2000", true),
        ("unit=payments.service", true),
        ("exe=/usr/bin/pay", true),
        ("sha256=7", true),
        (
            "user=1000 uid=1000 group=1000 gid=2000 unit=payments.service exe=/usr/bin/pay sha256=7",
            true,
        ),
        ("", false),
        ("uid=1001", false),
        ("user=root", false),
        ("user=1000 uid=1001", false),
        ("user=1001 uid=1000", false),
        ("gid=3000", false),
        ("group=root", false),
        ("group=2000 gid=3000", false),
        ("group=3000 gid=2000", false),
        ("unit=payments", false),
        ("unit=Payments.service", false),
        ("unit=payments.service.evil", false),
        ("unit=other.service", false),
        ("exe=/usr/bin/payx", false),
        ("exe=/usr/bin", false),
        ("sha256=8", false),
        ("uid=1000 unit=other.service", false),
        ("uid=1001 unit=payments.service", false),
        ("unit=payments.service exe=/usr/bin/payx", false),
        ("unit=payments.service sha256=8", false),
    ] {
        assert_eq!(one(who(text), &payments()), Ok(holds), "{text}");
    }
    let no_unit = Somebody::new(1000);
    assert_eq!(one(who("unit=payments.service"), &no_unit), Ok(false));
}

#[test]
fn a_name_stands_for_its_number() {
    // Every system has them.
    let root = Somebody::new(1000).groups(&[1000, 0]);
    let who = CallerConditions {
        group: Some("root".to_owned()),
        ..CallerConditions::default()
    };
    assert_eq!(one(who, &root), Ok(true));
    let who = CallerConditions {
        user: Some("root".to_owned()),
        ..CallerConditions::default()
    };
    let compiled = compile(&[rule(who)], true, OWN).unwrap();
    let Who::Caller(conditions) = &compiled.rules[0].who else {
        panic!("{compiled:?}")
    };
    assert_eq!(conditions.uids, [0]);
}

#[test]
fn root_and_our_own_user_have_everything_and_nobody_is_asked_why() {
    let rules = [rule(CallerConditions {
        exe: Some("/x".into()),
        ..CallerConditions::default()
    })];
    for (uid, by) in [(0, By::Root), (OWN, By::OwnUser)] {
        let caller = Somebody::new(uid);
        let decision = decide(&rules, &caller);
        assert_eq!((decision.grant, decision.by), (Grant::everything(), by));
        assert_eq!(caller.looked_up(), [""; 0]);
    }
    let decision = decide(&rules, &Somebody::new(OWN + 1).exe("/y"));
    assert_eq!((decision.grant, decision.by), (Grant::default(), By::Nothing));
    assert_eq!(
        Rules::none(OWN).decide(&payments()).grant,
        Grant::default(),
        "no rule, nothing"
    );
}

#[test]
fn everyone_means_everyone_whom_the_kernel_tells() {
    let rules = [AccessRule {
        who: ConfigWho::Everyone,
        may: May {
            access_tokens: AccessTokens::All,
            ..May::default()
        },
    }];
    for caller in [Somebody::new(1), Somebody::new(2).on_tcp()] {
        let decision = decide(&rules, &caller);
        assert_eq!(decision.by, By::Rules(vec![0]));
        assert_eq!(decision.grant.access_tokens, AccessTokens::All);
        assert!(!decision.grant.identity && decision.grant.id_tokens == IdTokens::None);
        assert_eq!(caller.looked_up(), [""; 0]);
    }
}

#[test]
fn grants_of_all_rules_that_match_add_up() {
    let scopes = |scope: &str| AccessTokens::Scopes([scope.to_owned()].into());
    let by = |who: CallerConditions, access_tokens| AccessRule {
        who: ConfigWho::Caller(Box::new(who)),
        may: May {
            access_tokens,
            ..May::default()
        },
    };
    let c = CallerConditions::default;
    let rules = [
        by(
            CallerConditions {
                uid: Some(1000),
                ..c()
            },
            scopes("a"),
        ),
        by(
            CallerConditions {
                uid: Some(1001),
                ..c()
            },
            AccessTokens::All,
        ),
        by(
            CallerConditions {
                gid: Some(2000),
                ..c()
            },
            scopes("b"),
        ),
        rule(CallerConditions {
            unit: Some("payments.service".to_owned()),
            ..c()
        }),
    ];
    let decision = decide(&rules, &payments());
    assert_eq!(decision.by, By::Rules(vec![0, 2, 3]));
    assert_eq!(decision.by.to_string(), "access[0] access[2] access[3]");
    let both = AccessTokens::Scopes(["a".to_owned(), "b".to_owned()].into());
    assert_eq!(decision.grant.access_tokens, both);
    assert!(decision.grant.identity);
}

#[test]
fn costly_evidence_is_looked_up_only_for_a_caller_who_may_fit() {
    let who = |uid| {
        rule(CallerConditions {
            uid: Some(uid),
            unit: Some("payments.service".to_owned()),
            exe: Some("/usr/bin/pay".into()),
            sha256: Some([7; 32]),
            ..CallerConditions::default()
        })
    };
    let caller = payments();
    decide(&[who(1)], &caller);
    assert_eq!(caller.looked_up(), [""; 0]);
    let caller = payments().unit("other.service");
    decide(&[who(1000)], &caller);
    assert_eq!(caller.looked_up(), ["unit"]);
    let caller = payments().exe("/other");
    decide(&[who(1000)], &caller);
    assert_eq!(caller.looked_up(), ["unit", "exe"]);
    let caller = payments();
    assert!(decide(&[who(1000)], &caller).grant.identity);
    assert_eq!(caller.looked_up(), ["unit", "exe", "sha256"]);
}

#[test]
fn what_cannot_be_told_never_matches_and_the_operator_is_told() {
    let c = CallerConditions::default;
    let tcp = || Somebody::new(1000).on_tcp();
    let group = CallerConditions {
        gid: Some(1000),
        ..c()
    };
    assert_eq!(
        one(group.clone(), &tcp()).unwrap_err(),
        "rule access[0] names a group, which loopback TCP cannot prove: use the Unix socket"
    );
    for who in [
        CallerConditions {
            exe: Some("/usr/bin/pay".into()),
            ..c()
        },
        CallerConditions {
            sha256: Some([7; 32]),
            ..c()
        },
    ] {
        assert_eq!(
            one(who.clone(), &tcp()).unwrap_err(),
            "rule access[0] names a program, which loopback TCP cannot prove: use the Unix socket"
        );
        let hidden = Somebody::new(1000).breaking(|| Denial::NotPermitted { pid: 4711 });
        let hint = one(who, &hidden).unwrap_err();
        assert!(
            hint.contains("which cannot be told") && hint.contains("CAP_SYS_PTRACE"),
            "{hint}"
        );
    }
    let unit = CallerConditions {
        unit: Some("payments.service".to_owned()),
        ..c()
    };
    assert_eq!(
        one(unit.clone(), &tcp().unit("payments.service")),
        Ok(true),
        "where the kernel tells it"
    );
    assert!(one(unit, &tcp().breaking(|| Denial::NoCgroup)).is_err());
    // Whom a rule does not mean anyhow needs no hint.
    let other = CallerConditions {
        uid: Some(1),
        ..group
    };
    assert_eq!(one(other, &tcp()), Ok(false));
}

#[test]
fn a_decision_lasts_unless_a_look_up_failed() {
    let rules = [rule(CallerConditions {
        unit: Some("payments.service".to_owned()),
        ..CallerConditions::default()
    })];
    assert!(decide(&rules, &payments()).lasting);
    let breaking = |how| decide(&rules, &payments().breaking(how)).lasting;
    assert!(!breaking(|| Denial::Hold {
        pid: 4711,
        source: std::io::ErrorKind::OutOfMemory.into()
    }));
    assert!(breaking(|| Denial::Ended { pid: 4711 }), "it stays gone");
    let rules = [rule(CallerConditions {
        gid: Some(1),
        ..CallerConditions::default()
    })];
    assert!(
        decide(&rules, &Somebody::new(5).on_tcp()).lasting,
        "TCP stays TCP"
    );
}

#[test]
fn a_name_that_means_nobody_is_an_error_at_a_reload_and_matches_nobody_at_the_start() {
    let c = CallerConditions::default;
    let rules = [
        rule(CallerConditions {
            uid: Some(1000),
            ..c()
        }),
        rule(CallerConditions {
            user: Some("no-such-user".to_owned()),
            ..c()
        }),
        rule(CallerConditions {
            uid: Some(1000),
            group: Some("no-such-group".to_owned()),
            ..c()
        }),
    ];
    let error = compile(&rules, true, OWN).unwrap_err();
    assert!(
        matches!(&error, RulesError::NoUser { index: 1, name } if name == "no-such-user"),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "access[1].who.user: there is no user no-such-user; create it, correct the name or write `uid:`"
    );
    let error = compile(&rules[2..], true, OWN).unwrap_err().to_string();
    assert!(
        error.starts_with("access[0].who.group: there is no group no-such-group;"),
        "{error}"
    );
    let decision = compile(&rules, false, OWN).unwrap().decide(&payments());
    assert_eq!(decision.by, By::Rules(vec![0]), "the others are in force");
    let decision = compile(&rules[1..], false, OWN).unwrap().decide(&payments());
    assert_eq!((decision.by, decision.grant), (By::Nothing, Grant::default()));
    let hint = decision.hints[0].to_string();
    assert!(
        hint.starts_with("rule access[0] matches nobody, for there was no user no-such-user"),
        "{hint}"
    );
}

#[test]
fn a_number_out_of_range_is_nobody() {
    let who = CallerConditions {
        user: Some("4294967296".to_owned()),
        ..CallerConditions::default()
    };
    assert!(compile(&[rule(who)], true, OWN).is_err());
}
