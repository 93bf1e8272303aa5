//! Callers as a test wants them, a house with rules, and how a server asks.
use super::*;

/// A caller as a test wants it.
#[derive(Clone, Debug)]
pub(in crate::caller::access) struct Somebody {
    uid: u32,
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    pid: Option<i32>,
    unit: Option<&'static str>,
    exe: Option<&'static str>,
    sha256: Option<[u8; 32]>,
    breaks: Option<fn() -> Denial>,
    pub(in crate::caller::access) out_of_reach: bool,
    looked_up: Arc<Mutex<Vec<&'static str>>>,
    life: Arc<Life>,
}

impl Somebody {
    pub(in crate::caller::access) fn new(uid: u32) -> Self {
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

    pub(in crate::caller::access) fn groups(mut self, gids: &[u32]) -> Self {
        self.gid = gids.first().copied();
        self.groups = Some(gids.to_vec());
        self
    }

    pub(in crate::caller::access) fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    pub(in crate::caller::access) fn exe(mut self, exe: &'static str) -> Self {
        self.exe = Some(exe);
        self
    }

    pub(in crate::caller::access) fn sha256(mut self, sha256: [u8; 32]) -> Self {
        self.sha256 = Some(sha256);
        self
    }

    pub(in crate::caller::access) fn on_tcp(mut self) -> Self {
        (self.gid, self.groups, self.pid) = (None, None, None);
        self
    }

    /// Its process cannot be looked at.
    pub(in crate::caller::access) fn breaking(mut self, how: fn() -> Denial) -> Self {
        self.breaks = Some(how);
        self
    }

    pub(in crate::caller::access) fn looked_up(&self) -> Vec<&'static str> {
        self.looked_up.lock().unwrap().clone()
    }

    /// What ends with it is what was proven by its process.
    pub(in crate::caller::access) fn alive_with(mut self, life: Life) -> Self {
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
pub(in crate::caller::access) struct TestClock(AtomicU64);

impl TestClock {
    pub(in crate::caller::access) fn new(seconds: u64) -> Arc<Self> {
        Arc::new(Self(seconds.into()))
    }

    pub(in crate::caller::access) fn set(&self, seconds: u64) {
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
pub(in crate::caller::access) fn logged(events: impl FnOnce()) -> Vec<String> {
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

pub(in crate::caller::access) fn rule(who: CallerConditions, may: May) -> AccessRule {
    AccessRule {
        who: Who::Caller(Box::new(who)),
        may,
    }
}

pub(in crate::caller::access) fn uid(uid: u32) -> CallerConditions {
    CallerConditions {
        uid: Some(uid),
        ..CallerConditions::default()
    }
}

pub(in crate::caller::access) fn scopes(scopes: &[&str]) -> May {
    May {
        access_tokens: AccessTokens::Scopes(scopes.iter().map(|s| (*s).to_owned()).collect()),
        ..May::default()
    }
}

pub(in crate::caller::access) fn audience(pattern: &str) -> May {
    May {
        id_tokens: IdTokens::Audiences(vec![AudiencePattern(pattern.to_owned())]),
        ..May::default()
    }
}

pub(in crate::caller::access) struct House {
    pub(in crate::caller::access) access: Access,
    pub(in crate::caller::access) clock: Arc<TestClock>,
    pub(in crate::caller::access) registry: Registry,
}

/// mwid as uid 998.
pub(in crate::caller::access) fn house(rules: &[AccessRule]) -> House {
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
    pub(in crate::caller::access) fn meet(&self, who: Somebody) -> Visitor {
        self.access.met(Ok(Box::new(who)), "metadata").0
    }

    pub(in crate::caller::access) fn replace(&self, rules: &[AccessRule]) {
        self.access.replace(rules::compile(rules, true, 998).unwrap());
    }

    pub(in crate::caller::access) fn metric(&self, line: &str) -> u64 {
        let text = telemetry::metrics::text(&self.registry, telemetry::metrics::Dialect::Prometheus).unwrap();
        let found = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0, |number| number.parse().unwrap())
    }

    pub(in crate::caller::access) fn recent(&self) -> Vec<CallerLine> {
        self.access.status().recent
    }
}

/// As a server asks: the scopes, then the record. True: granted.
pub(in crate::caller::access) fn ask_access(visitor: &Visitor, asked: &str) -> bool {
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

pub(in crate::caller::access) fn ask_id(visitor: &Visitor, audience: &str) -> bool {
    let what = What::IdToken { audience };
    match visitor.grant().unwrap().audience_allowed(audience) {
        Ok(()) => visitor.granted(what),
        Err(refusal) => visitor.denied(what, &refusal.to_string()),
    }
    visitor.grant().unwrap().audience_allowed(audience).is_ok()
}

/// How often this kind was denied for this reason.
pub(in crate::caller::access) fn denials(house: &House, what: &str, reason: &str) -> u64 {
    house.metric(&format!(
        "mwid_access_denials_total{{what=\"{what}\",reason=\"{reason}\"}}"
    ))
}
