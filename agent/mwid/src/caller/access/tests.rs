//! Visitors: what they may have, what is put on record of it, and what it costs.
use super::*;
use crate::caller::evidence::Life;
use crate::config::{AccessTokens, AudiencePattern, CallerConditions, IdTokens, May, Who};
use crate::health::status::CallerLine;
use crate::telemetry;
use futures_util::FutureExt as _;
use mtls_identity::UnixTime;
use prometheus_client::registry::Registry;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// A caller as a test wants it.
#[derive(Clone, Debug)]
pub(super) struct Somebody {
    uid: u32,
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    pid: Option<i32>,
    unit: Option<&'static str>,
    exe: Option<&'static str>,
    sha256: Option<[u8; 32]>,
    breaks: Option<fn() -> Denial>,
    out_of_reach: bool,
    looked_up: Arc<Mutex<Vec<&'static str>>>,
    life: Arc<Life>,
}

impl Somebody {
    pub(super) fn new(uid: u32) -> Self {
        Self {
            uid,
            gid: Some(uid),
            groups: Some(vec![uid]),
            pid: Some(4711),
            unit: None,
            exe: None,
            sha256: None,
            breaks: None,
            out_of_reach: false,
            looked_up: Arc::default(),
            life: Arc::default(),
        }
    }

    pub(super) fn groups(mut self, gids: &[u32]) -> Self {
        self.gid = gids.first().copied();
        self.groups = Some(gids.to_vec());
        self
    }

    pub(super) fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    pub(super) fn exe(mut self, exe: &'static str) -> Self {
        self.exe = Some(exe);
        self
    }

    pub(super) fn sha256(mut self, sha256: [u8; 32]) -> Self {
        self.sha256 = Some(sha256);
        self
    }

    pub(super) fn on_tcp(mut self) -> Self {
        (self.gid, self.groups, self.pid) = (None, None, None);
        self
    }

    /// Its process cannot be looked at.
    pub(super) fn breaking(mut self, how: fn() -> Denial) -> Self {
        self.breaks = Some(how);
        self
    }

    pub(super) fn looked_up(&self) -> Vec<&'static str> {
        self.looked_up.lock().unwrap().clone()
    }

    /// What ends with it is what was proven by its process.
    fn alive_with(mut self, life: Life) -> Self {
        self.life = Arc::new(life);
        self
    }

    fn look_up<T>(&self, key: &'static str, told: T) -> Result<T, Denial> {
        if self.life.is_over() {
            return Err(Denial::Ended { pid: 4711 });
        }
        self.looked_up.lock().unwrap().push(key);
        self.breaks.map_or(Ok(told), |how| Err(how()))
    }
}

impl Facts for Somebody {
    fn uid(&self) -> u32 {
        self.uid
    }

    fn life(&self) -> &Arc<Life> {
        &self.life
    }

    fn gid(&self) -> Option<u32> {
        self.gid
    }

    fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    fn pid(&self) -> Option<i32> {
        self.pid
    }

    fn is_out_of_reach(&self) -> bool {
        self.out_of_reach
    }

    fn unit(&self) -> Result<Option<&str>, Denial> {
        self.look_up("unit", self.unit)
    }

    fn runs(&self, exe: &Path) -> Result<Option<bool>, Denial> {
        let runs = self.exe.is_some_and(|own| Path::new(own) == exe);
        self.look_up("exe", self.pid.map(|_| runs))
    }

    fn sha256(&self) -> Result<Option<[u8; 32]>, Denial> {
        self.look_up("sha256", self.pid.and(self.sha256))
    }
}

/// A clock that a test sets.
#[derive(Debug)]
pub(super) struct TestClock(AtomicU64);

impl TestClock {
    pub(super) fn new(seconds: u64) -> Arc<Self> {
        Arc::new(Self(seconds.into()))
    }

    pub(super) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl rustls::time_provider::TimeProvider for TestClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(
            self.0.load(Ordering::Relaxed),
        )))
    }
}

/// Runs `events` and returns the lines of the log.
pub(super) fn logged(events: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .without_time()
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, events);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn rule(who: CallerConditions, may: May) -> AccessRule {
    AccessRule {
        who: Who::Caller(Box::new(who)),
        may,
    }
}

fn uid(uid: u32) -> CallerConditions {
    CallerConditions {
        uid: Some(uid),
        ..CallerConditions::default()
    }
}

fn scopes(scopes: &[&str]) -> May {
    May {
        access_tokens: AccessTokens::Scopes(scopes.iter().map(|s| (*s).to_owned()).collect()),
        ..May::default()
    }
}

fn audience(pattern: &str) -> May {
    May {
        id_tokens: IdTokens::Audiences(vec![AudiencePattern(pattern.to_owned())]),
        ..May::default()
    }
}

struct House {
    access: Access,
    clock: Arc<TestClock>,
    registry: Registry,
}

/// mwid as uid 998.
fn house(rules: &[AccessRule]) -> House {
    let mut registry = Registry::with_prefix("mwid");
    let metrics = Metrics::default();
    metrics.register(&mut registry);
    let clock = TestClock::new(1_700_000_000);
    let rules = rules::compile(rules, true, 998).unwrap();
    House {
        access: Access::new(rules, metrics, clock.clone()),
        clock,
        registry,
    }
}

impl House {
    fn meet(&self, who: Somebody) -> Visitor {
        self.access.met(Ok(Box::new(who)), "metadata").0
    }

    fn replace(&self, rules: &[AccessRule]) {
        self.access.replace(rules::compile(rules, true, 998).unwrap());
    }

    fn metric(&self, line: &str) -> u64 {
        let text = telemetry::metrics::text(&self.registry, telemetry::metrics::Dialect::Prometheus).unwrap();
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0, |number| number.parse().unwrap())
    }

    fn recent(&self) -> Vec<CallerLine> {
        self.access.status().recent
    }
}

/// As a server asks: the scopes, then the record. True: granted.
fn ask_access(visitor: &Visitor, asked: &str) -> bool {
    let set = asked
        .split(',')
        .filter(|s| !s.is_empty())
        .map(str::to_owned)
        .collect();
    let grant = visitor.grant().unwrap();
    let what = What::AccessToken { scopes: asked };
    match grant.scopes_for(&set) {
        Ok(_) => visitor.granted(what),
        Err(refusal) => visitor.denied(what, &refusal.to_string()),
    }
    grant.scopes_for(&set).is_ok()
}

fn ask_id(visitor: &Visitor, audience: &str) -> bool {
    let what = What::IdToken { audience };
    match visitor.grant().unwrap().audience_allowed(audience) {
        Ok(()) => visitor.granted(what),
        Err(refusal) => visitor.denied(what, &refusal.to_string()),
    }
    visitor.grant().unwrap().audience_allowed(audience).is_ok()
}

/// How often this kind was denied for this reason.
fn denials(house: &House, what: &str, reason: &str) -> u64 {
    house.metric(&format!(
        "mwid_access_denials_total{{what=\"{what}\",reason=\"{reason}\"}}"
    ))
}

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
    assert!(!visitor.grant_after_a_look().unwrap().identity);
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
    visitor.grant_after_a_look().unwrap();
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

#[tokio::test]
async fn a_real_caller_of_our_own_user_has_everything() {
    let (ours, _theirs) = tokio::net::UnixStream::pair().unwrap();
    let own = nix::unistd::geteuid().as_raw();
    let (visitor, holder) = Access::default().meet(&Stream::Unix(ours), "metadata");
    let trusted = true;
    assert_eq!(holder, Some(Holder { uid: own, trusted }));
    assert_eq!(*visitor.grant().unwrap(), Grant::everything());
}

#[test]
fn nobody_is_let_in_by_default() {
    let access = Access::default();
    let own = nix::unistd::geteuid().as_raw();
    let (visitor, _) = access.met(Ok(Box::new(Somebody::new(own + 1))), "metadata");
    assert_eq!(*visitor.grant().unwrap(), Grant::default());
    let (visitor, _) = access.met(Ok(Box::new(Somebody::new(own))), "metadata");
    assert_eq!(*visitor.grant().unwrap(), Grant::everything());
}

/// By hand: `cargo test -p mwid -- --ignored --nocapture hot_path`.
#[test]
#[ignore = "prints a measurement and judges nothing: .ci/run shows it"]
fn the_hot_path_in_nanoseconds() {
    let rules = rules::compile(&[rule(uid(1000), scopes(&["a"]))], true, 998).unwrap();
    let clock = Arc::new(rustls::time_provider::DefaultTimeProvider);
    let access = Access::new(rules, Metrics::default(), clock);
    let (visitor, _) = access.met(Ok(Box::new(Somebody::new(1000))), "metadata");
    let what = What::AccessToken {
        scopes: "https://www.googleapis.com/auth/cloud-platform",
    };
    let measure = |name: &str, one: &dyn Fn()| {
        let best = (0..10)
            .map(|_| {
                let begin = std::time::Instant::now();
                (0..20_000).for_each(|_| one());
                begin.elapsed().as_nanos() / 20_000
            })
            .min();
        println!("{name}: {} ns", best.unwrap());
    };
    measure("grant()", &|| drop(visitor.grant()));
    measure("granted()", &|| visitor.granted(what));
    let clock = rustls::time_provider::DefaultTimeProvider;
    measure("a read of the clock", &|| {
        assert!(rustls::time_provider::TimeProvider::current_time(&clock).is_some());
    });
}
