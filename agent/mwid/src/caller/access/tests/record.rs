//! What is on record of grants and denials, and what it costs.
use super::*;

#[test]
fn whom_no_rule_means_is_denied_logged_and_counted() {
    let group = CallerConditions {
        gid: Some(2000),
        ..CallerConditions::default()
    };
    let unit = CallerConditions {
        unit: Some("payments.service".to_owned()),
        ..CallerConditions::default()
    };
    let house = house(&[
        rule(uid(1000), scopes(&["a", "b"])),
        rule(group, scopes(&["a"])),
        rule(unit, scopes(&["a"])),
    ]);
    let lines = logged(|| {
        let wrong_uid = house.meet(Somebody::new(1001));
        assert!(!ask_access(&wrong_uid, "a") && !ask_access(&wrong_uid, ""));
        let wrong_group = house.meet(Somebody::new(1002).groups(&[1002, 2001]));
        let wrong_unit = house.meet(Somebody::new(1003).unit("other.service"));
        assert!(!ask_access(&wrong_group, "a") && !ask_access(&wrong_unit, "a"));
    });
    assert_eq!(denials(&house, "access_token", "no_rule"), 4);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for (at, wanted) in [
        (
            0,
            "WARN mwid::access: denied uid=1001 pid=4711 gid=1001 listener=\"metadata\" what=\"access token with a\" \
             rule=\"none\" why=\"no access rule",
        ),
        (1, "what=\"access token\" rule=\"none\""),
        (2, "uid=1002"),
        (3, "uid=1003 pid=4711 gid=1003 unit=\"other.service\" listener"),
    ] {
        assert!(lines[at].contains(wanted), "{}", lines[at]);
    }
    let status = house.access.status();
    assert_eq!((status.rules, status.grants, status.denials), (3, 0, 4));
    assert_eq!(status.recent.len(), 4);
}

#[test]
fn what_is_not_granted_is_denied_logged_and_counted() {
    let house = house(&[
        rule(uid(1000), scopes(&["a", "b"])),
        rule(uid(3000), audience("https://*.a.run.app")),
    ]);
    let lines = logged(|| {
        let payments = house.meet(Somebody::new(1000));
        assert!(!ask_access(&payments, "c"), "not granted");
        assert!(!ask_access(&payments, "a,b,c"), "wider than the grant");
        assert_eq!(denials(&house, "access_token", "scopes"), 2);
        assert!(!ask_id(&payments, "https://x.a.run.app"), "another kind");
        assert_eq!(denials(&house, "id_token", "not_granted"), 1);
        let runner = house.meet(Somebody::new(3000));
        assert!(!ask_id(&runner, "https://x.b.run.app"));
        assert_eq!(denials(&house, "id_token", "audience"), 1);
        runner.denied(What::Identity, "the private key is not granted");
        assert_eq!(denials(&house, "identity", "not_granted"), 1);
        let granted = What::IdToken {
            audience: "https://x.a.run.app",
        };
        runner.denied(granted, "the source has none");
        assert_eq!(denials(&house, "id_token", "other"), 1);
    });
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert!(lines[1].contains(
        "what=\"access token with a,b,c\" rule=\"access[0]\" why=\"not granted to you: the scopes c; granted are: a b\" times=1"
    ), "{}", lines[1]);
    assert!(
        lines[3].contains("what=\"ID token for https://x.b.run.app\""),
        "{}",
        lines[3]
    );
}

#[test]
fn grants_leave_a_line_too_and_repeats_are_summed_up_once_a_minute() {
    let house = house(&[rule(uid(1000), scopes(&["a"]))]);
    let lines = logged(|| {
        let visitor = house.meet(Somebody::new(1000).unit("payments.service"));
        for _ in 0..100 {
            assert!(ask_access(&visitor, "a"));
        }
        // Another connection of the same program is no news either.
        let again = house.meet(Somebody::new(1000).unit("payments.service"));
        house.clock.set(1_700_000_059);
        assert!(ask_access(&again, "a"));
        house.clock.set(1_700_000_060);
        assert!(ask_access(&visitor, "a"));
        assert!(ask_access(&visitor, "a"));
        // Another unit of the same user is another caller.
        let other = house.meet(Somebody::new(1000).unit("other.service"));
        assert!(ask_access(&other, "a"));
    });
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("INFO mwid::access: granted uid=1000 pid=4711 gid=1000 unit=\"payments.service\" listener=\"metadata\" what=\"access token with a\" rule=\"access[0]\" times=1"), "{}", lines[0]);
    assert!(lines[1].ends_with("times=101"), "{}", lines[1]);
    assert!(
        lines[2].contains("other.service") && lines[2].ends_with("times=1"),
        "{}",
        lines[2]
    );
    assert_eq!(
        house.metric("mwid_access_grants_total{what=\"access_token\"}"),
        104
    );
    let status = house.access.status();
    assert_eq!((status.grants, status.denials), (104, 0));
    let seen: Vec<_> = status
        .recent
        .iter()
        .map(|l| (l.caller.as_str(), l.times))
        .collect();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.contains(&("uid 1000 pid 4711 unit payments.service", 103)),
        "{seen:?}"
    );
    assert_eq!(status.recent[0].what, "access token with a");
    assert_eq!(status.recent[0].at.as_second(), 1_700_000_060);
}

#[test]
fn a_denial_tells_the_operator_which_rule_could_have_matched_and_the_caller_nothing_of_it() {
    let group = CallerConditions {
        gid: Some(2000),
        ..CallerConditions::default()
    };
    let rules: Vec<_> = (0..6).map(|_| rule(group.clone(), scopes(&["a"]))).collect();
    let house = house(&rules);
    let visitor = house.meet(Somebody::new(1000).on_tcp());
    let lines = logged(|| assert!(!ask_access(&visitor, "a")));
    let [line] = &lines[..] else { panic!("{lines:#?}") };
    assert!(
        line.contains(
            "hint=\"rule access[0] names a group, which loopback TCP cannot prove: use the Unix socket; rule access[1]"
        ) && line.contains("; 3 more rules could not be told\""),
        "{line}"
    );
    let set = ["a".to_owned()].into();
    let told = visitor.grant().unwrap().scopes_for(&set).unwrap_err().to_string();
    assert!(!told.contains("access[0]"), "{told}");
    let why = house.recent()[0].why.clone().unwrap();
    assert!(
        why.contains(&told) && why.contains("(rule access[0] names a group"),
        "{why}"
    );
}

#[test]
fn who_cannot_be_told_from_others_has_nothing_and_shares_the_places_of_one() {
    let house = house(&[AccessRule {
        who: Who::Everyone,
        may: scopes(&["a"]),
    }]);
    let lines = logged(|| {
        for pid in 1..=50 {
            let denial = Denial::Uid { pid, uid: 65534 };
            let (visitor, holder) = house.access.met(Err(denial), "metadata");
            assert_eq!(holder, Some(STRANGERS));
            let denial = visitor.grant().unwrap_err();
            visitor.denied(What::AccessToken { scopes: "" }, &denial.to_string());
        }
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("what=\"connection\" rule=\"none\" why=\"the user of your process 1 has no number"),
        "{}",
        lines[0]
    );
    assert_eq!(
        house.metric("mwid_access_attestation_failures_total{kind=\"user_namespace\"}"),
        50
    );
    assert_eq!(
        house.metric("mwid_access_denials_total{what=\"access_token\",reason=\"unattested\"}"),
        50
    );
    assert_eq!(house.recent()[0].caller, "unattested (user_namespace)");
}

#[test]
fn places_are_held_by_the_attested_user_and_trusted_are_root_and_ourselves() {
    let house = house(&[]);
    let own = nix::unistd::geteuid().as_raw();
    for (uid, trusted) in [(0, true), (own, true), (own + 1, false), (u32::MAX, false)] {
        let (_, holder) = house.access.met(Ok(Box::new(Somebody::new(uid))), "metadata");
        assert_eq!(holder, Some(Holder { uid, trusted }));
    }
}

#[test]
fn what_callers_choose_cannot_forge_or_fill_the_record() {
    let house = house(&[]);
    let visitor = house.meet(Somebody::new(1000));
    let evil = format!("https://x\n INFO granted \x1b[31m{}", "\u{202e}".repeat(20_000));
    let lines = logged(|| {
        visitor.denied(What::IdToken { audience: &evil }, &evil);
        visitor.denied(What::AccessToken { scopes: &evil }, "no");
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in &lines {
        assert!(
            line.len() < 1000 && line.is_ascii() && !line.contains('\x1b'),
            "{line}"
        );
    }
    for line in house.recent() {
        assert!(
            line.what.len() < 300 && !line.what.contains(['\n', '\x1b']),
            "{line:?}"
        );
        let why = line.why.unwrap();
        assert!(why.len() < 300 && !why.contains(['\n', '\x1b']), "{why}");
    }
}

#[test]
fn a_client_that_asks_for_many_things_in_turn_costs_bounded_memory_and_loses_no_count() {
    let house = house(&[AccessRule {
        who: Who::Everyone,
        may: May {
            id_tokens: IdTokens::All,
            ..May::default()
        },
    }]);
    let visitor = house.meet(Somebody::new(1000));
    for i in 0..3000 {
        assert!(ask_id(&visitor, &format!("https://{}.example", i % 1500)));
    }
    let status = house.access.status();
    assert_eq!(status.grants, 3000);
    assert_eq!(status.recent.len(), 32);
    assert_eq!(visitor.state_size(), 8);
    let long = format!("https://{}.example", "x".repeat(60_000));
    let lines = logged(|| {
        for _ in 0..3 {
            assert!(ask_id(&house.meet(Somebody::new(1001)), &long));
        }
    });
    let of_it = lines.iter().filter(|line| line.contains("xxxx")).count();
    assert_eq!(of_it, 1, "one line for all: {lines:#?}");
    let visitor = house.meet(Somebody::new(1001));
    assert!(ask_id(&visitor, &long));
    assert_eq!(visitor.state_size(), 0, "a connection keeps no long text");
    assert_eq!(house.access.status().grants, 3004);
}
