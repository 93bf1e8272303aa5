//! How long a decision holds: rules that change, callers that end, kernels without room.
use super::*;

#[test]
fn a_reload_decides_open_connections_anew_at_their_next_request() {
    let house = house(&[rule(uid(1000), scopes(&["a"]))]);
    let visitor = house.meet(Somebody::new(1000));
    let before = visitor.grant().unwrap();
    assert!(Arc::ptr_eq(&before, &visitor.grant().unwrap()), "decided once");
    let lines = logged(|| {
        assert!(ask_access(&visitor, "a"));
        house.replace(&[]);
        assert!(!ask_access(&visitor, "a"), "taken away");
        house.replace(&[rule(uid(1), scopes(&["a"])), rule(uid(1000), scopes(&["a", "b"]))]);
        assert!(ask_access(&visitor, "b"), "and more than before");
        assert!(ask_access(&visitor, "a"));
    });
    assert!(
        before.scopes_for(&["a".to_owned()].into()).is_ok(),
        "the old answer"
    );
    assert_eq!(house.access.status().rules, 2);
    assert_eq!(lines.len(), 4, "another rule is another line: {lines:#?}");
    assert!(lines[3].contains("rule=\"access[1]\""), "{}", lines[3]);
}

#[test]
fn a_reload_wakes_whoever_watches_and_no_change_before_it_is_missed() {
    let house = house(&[rule(uid(1000), scopes(&["a"]))]);
    let visitor = house.meet(Somebody::new(1000));
    let mut watches = [visitor.watch(), visitor.watch()];
    assert_eq!(
        watches[0].changed().now_or_never(),
        None,
        "as it was when it was made"
    );
    let granted = visitor.grant().unwrap();
    house.replace(&[]);
    for watch in &mut watches {
        assert_eq!(watch.changed().now_or_never(), Some(()));
        assert_ne!(visitor.grant().unwrap(), granted);
        assert_eq!(watch.changed().now_or_never(), None, "told once");
    }
    house.replace(&[]);
    house.replace(&[]);
    assert_eq!(watches[0].changed().now_or_never(), Some(()));
    assert_eq!(watches[0].changed().now_or_never(), None, "the newest counts");
}

fn of_payments() -> CallerConditions {
    CallerConditions {
        unit: Some("payments.service".to_owned()),
        ..CallerConditions::default()
    }
}

#[tokio::test]
async fn the_end_of_its_process_takes_what_its_unit_had_and_leaves_what_its_user_has() {
    let house = house(&[
        rule(uid(1000), scopes(&["a"])),
        rule(of_payments(), scopes(&["b"])),
    ]);
    for watched in [true, false] {
        let (process, alive) = std::io::pipe().unwrap();
        let life = Life::of(Some(Arc::new(process.into())));
        let visitor = house.meet(Somebody::new(1000).unit("payments.service").alive_with(life));
        let mut watch = visitor.watch();
        assert!(ask_access(&visitor, "a,b"));
        assert_eq!(watch.changed().now_or_never(), None);
        drop(alive);
        if watched {
            let told = tokio::time::timeout(Duration::from_secs(20), watch.changed()).await;
            assert!(told.is_ok());
            assert_eq!(watch.changed().now_or_never(), None, "told once");
        } else {
            // Nobody waited: it is seen when the rules are read again.
            assert!(ask_access(&visitor, "b"));
            house.replace(&[
                rule(uid(1000), scopes(&["a"])),
                rule(of_payments(), scopes(&["b"])),
            ]);
        }
        assert!(!ask_access(&visitor, "b"), "of the unit");
        assert!(ask_access(&visitor, "a"), "of the user");
        let denied = house.recent().into_iter().filter(|line| !line.granted).count();
        assert_eq!(denied, 1, "the same denial");
    }
}

/// Of a connection that is kept, with nobody waiting for the end.
#[tokio::test]
async fn a_look_before_a_key_is_handed_out_sees_the_end_that_nobody_waited_for() {
    let identity = May {
        identity: true,
        ..May::default()
    };
    let house = house(&[rule(of_payments(), identity)]);
    let (process, alive) = std::io::pipe().unwrap();
    let life = Life::of(Some(Arc::new(process.into())));
    let visitor = house.meet(Somebody::new(1000).unit("payments.service").alive_with(life));
    assert!(visitor.grant_after_a_look().unwrap().identity);
    drop(alive);
    assert!(visitor.grant_after_a_look().is_err());
    assert!(!visitor.grant_of_connection().unwrap().identity);
    assert!(!visitor.grant().unwrap().identity, "for good");
}

const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000));

#[test]
fn a_receipt_is_good_until_the_rules_change() {
    let house = house(&[rule(uid(1000), scopes(&["a"]))]);
    let visitor = house.meet(Somebody::new(1000));
    let what = What::AccessToken { scopes: "a" };
    visitor.grant().unwrap();
    let receipt = visitor.granted_at(what, NOW).expect("a decision that lasts");
    for _ in 0..3 {
        assert!(visitor.granted_again(&receipt, NOW));
    }
    assert_eq!(house.recent()[0].times, 4, "each is on record");
    assert_eq!(house.metric("mwid_access_grants_total{what=\"access_token\"}"), 4);
    house.replace(&[rule(uid(1000), scopes(&["a"]))]);
    assert!(
        !visitor.granted_again(&receipt, NOW),
        "somebody has to look whether they say the same"
    );
    assert_eq!(house.recent()[0].times, 4);
}

#[tokio::test]
async fn a_receipt_ends_with_its_process() {
    let house = house(&[rule(uid(1000), scopes(&["a"]))]);
    let (process, alive) = std::io::pipe().unwrap();
    let life = Life::of(Some(Arc::new(process.into())));
    let visitor = house.meet(Somebody::new(1000).alive_with(life));
    let what = What::AccessToken { scopes: "a" };
    visitor.grant().unwrap();
    let receipt = visitor.granted_at(what, NOW).unwrap();
    drop(alive);
    let why = visitor.grant_after_a_look().unwrap_err();
    assert!(matches!(*why, Denial::HandedOn { pid: 4711 }), "{why}");
    assert!(visitor.is_spent(), "another connection has another process");
    assert!(!visitor.granted_again(&receipt, NOW));
    assert!(
        visitor.granted_at(what, NOW).is_none(),
        "what is left of it is looked up each time"
    );
}

#[test]
fn there_is_no_receipt_for_what_could_not_be_looked_up() {
    let house = house(&[
        rule(uid(1000), scopes(&["a"])),
        rule(of_payments(), scopes(&["b"])),
    ]);
    let visitor = house.meet(Somebody::new(1000).breaking(|| Denial::Busy));
    visitor.grant().unwrap();
    assert!(
        visitor
            .granted_at(What::AccessToken { scopes: "a" }, NOW)
            .is_none()
    );
}

#[test]
fn what_could_not_be_looked_up_is_tried_again() {
    let payments = CallerConditions {
        unit: Some("payments.service".to_owned()),
        ..CallerConditions::default()
    };
    let house = house(&[rule(payments, scopes(&["a"]))]);
    let caller = Somebody::new(1000).breaking(|| Denial::Busy);
    let looks = caller.clone();
    let visitor = house.meet(caller);
    assert_eq!(*visitor.grant().unwrap(), Grant::default());
    assert_eq!(*visitor.grant().unwrap(), Grant::default());
    assert_eq!(looks.looked_up(), ["unit", "unit"]);
    let fine = Somebody::new(1000).unit("payments.service");
    let looks = fine.clone();
    let visitor = house.meet(fine);
    visitor.grant().unwrap();
    visitor.grant().unwrap();
    assert_eq!(looks.looked_up(), ["unit"]);
}

fn unreadable(number: i32) -> Denial {
    Denial::Program {
        path: "/usr/bin/x".into(),
        source: std::io::Error::from_raw_os_error(number),
    }
}

#[test]
fn a_kernel_that_had_no_room_denies_nobody_for_good_and_one_that_said_no_does() {
    let program = CallerConditions {
        exe: Some("/usr/bin/x".into()),
        ..CallerConditions::default()
    };
    let house = house(&[rule(program, scopes(&["a"]))]);
    let full = house.meet(Somebody::new(1000).breaking(|| unreadable(nix::libc::EMFILE)));
    assert_eq!(*full.grant().unwrap(), Grant::default());
    assert!(
        !full.is_settled() && !full.is_spent(),
        "this connection may have more yet"
    );
    let refused = house.meet(Somebody::new(1000).breaking(|| unreadable(nix::libc::EACCES)));
    assert_eq!(*refused.grant().unwrap(), Grant::default());
    assert!(refused.is_settled());
    // Who is not told at all is not told later on this connection.
    for (number, spent) in [(nix::libc::ENOMEM, true), (nix::libc::EACCES, false)] {
        let denial = Denial::Unknown(std::io::Error::from_raw_os_error(number));
        let (visitor, _) = house.access.met(Err(denial), "metadata");
        assert_eq!(visitor.is_spent(), spent);
    }
    let mut gone = Somebody::new(1000).breaking(|| unreadable(nix::libc::EMFILE));
    gone.out_of_reach = true;
    let visitor = house.meet(gone);
    assert!(!visitor.is_spent(), "nobody asked");
    visitor.grant().unwrap();
    assert!(visitor.is_spent());
}
