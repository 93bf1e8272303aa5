//! A source and clocks in a test's hand. The clocks run with tokio's paused time; the source behaves like the platform: it hands out the same
//! token until five minutes of its life are left.
use super::cache::Times;
use super::*;
use mtls_identity::UnixTime;
use rustls::time_provider::TimeProvider;
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::Instant;

/// What the source does from now on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Good,
    /// Answers only after so long.
    Slow(Duration),
    Down,
    /// No, whoever asks.
    Refuses,
    Hangs,
    Panics,
    /// Tokens that have expired already.
    Stale,
}

/// Clocks that run with tokio's, and can be moved.
#[derive(Debug)]
pub(crate) struct TestTime {
    start: Instant,
    /// Seconds that people moved the wall clock by.
    set: AtomicI64,
    /// Seconds that the machine slept, which tokio's clock does not see.
    slept: AtomicU64,
}

const WALL: u64 = 1_800_000_000;

impl TestTime {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            set: AtomicI64::new(0),
            slept: AtomicU64::new(0),
        })
    }

    pub(crate) fn set_wall(&self, by: i64) {
        self.set.fetch_add(by, SeqCst);
    }

    pub(crate) fn sleep(&self, seconds: u64) {
        self.slept.fetch_add(seconds, SeqCst);
    }

    fn boot(&self) -> Duration {
        Duration::from_secs(1000 + self.slept.load(SeqCst)) + self.start.elapsed()
    }

    pub(in crate::tokens) fn times(self: &Arc<Self>) -> Times {
        let boot = Arc::clone(self);
        Times {
            wall: Arc::clone(self) as Clock,
            boot: Arc::new(move || boot.boot()),
        }
    }

    pub(crate) fn now(&self) -> UnixTime {
        let since_start = self.boot().as_secs() - 1000;
        let wall = (WALL + since_start).saturating_add_signed(self.set.load(SeqCst));
        UnixTime::since_unix_epoch(Duration::from_secs(wall))
    }
}

impl TimeProvider for TestTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

/// The source.
pub(crate) struct Scripted {
    time: Arc<TestTime>,
    mode: Mutex<Mode>,
    /// Of its credentials.
    version: AtomicU64,
    asked: AtomicUsize,
    accounts_asked: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// So much life is left, in seconds, when it hands out another token.
    keeps_until: AtomicU64,
    /// Of a new token, in seconds.
    life: AtomicU64,
    /// By question: the token's number, and when it ends by the time since boot.
    issued: Mutex<HashMap<String, (usize, Duration)>>,
}

impl Scripted {
    pub(crate) fn new(time: &Arc<TestTime>) -> Arc<Self> {
        Arc::new(Self {
            time: Arc::clone(time),
            mode: Mutex::new(Mode::Good),
            version: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
            accounts_asked: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            keeps_until: AtomicU64::new(300),
            life: AtomicU64::new(3599),
            issued: Mutex::default(),
        })
    }

    pub(crate) fn becomes(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Its credentials are others from now on.
    pub(crate) fn changes(&self) {
        self.version.fetch_add(1, SeqCst);
    }

    pub(crate) fn keeps_until(&self, seconds: u64) {
        self.keeps_until.store(seconds, SeqCst);
    }

    /// Its tokens live so long from now on, in seconds, and each question has another one.
    pub(crate) fn makes_short_ones(&self, life: u64) {
        self.life.store(life, SeqCst);
        self.keeps_until.store(life, SeqCst);
    }

    /// How often it was asked for tokens.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    /// How often it was asked whose they are.
    pub(crate) fn accounts_asked(&self) -> usize {
        self.accounts_asked.load(SeqCst)
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.most_under_way.load(SeqCst)
    }

    async fn answer(&self, count: &AtomicUsize, question: String) -> Result<(String, UnixTime), TokenError> {
        let number = count.fetch_add(1, SeqCst) + 1;
        let question = format!("{question} v{}", self.version.load(SeqCst));
        let _under_way = UnderWay::of(self);
        let mode = *self.mode.lock().unwrap();
        let before = self.time.now();
        match mode {
            Mode::Good => {}
            Mode::Slow(time) => tokio::time::sleep(time).await,
            Mode::Hangs => std::future::pending().await,
            Mode::Panics => panic!("as the test wants it"),
            Mode::Down => return Err(TokenError::Broke { kind: self.kind() }),
            Mode::Refuses => return Err(TokenError::NoDevPlatform),
            Mode::Stale => return Ok(("stale".to_owned(), before)),
        }
        let boot = self.time.boot();
        let mut issued = self.issued.lock().unwrap();
        let (of, until) = issued.entry(question.clone()).or_insert((number, Duration::ZERO));
        if until.saturating_sub(boot) <= Duration::from_secs(self.keeps_until.load(SeqCst)) {
            (*of, *until) = (number, boot + Duration::from_secs(self.life.load(SeqCst)));
        }
        let left = until.saturating_sub(boot).as_secs();
        let expires_at = UnixTime::since_unix_epoch(Duration::from_secs(before.as_secs() + left));
        Ok((format!("{question} {of}"), expires_at))
    }
}

struct UnderWay<'a>(&'a Scripted);

impl<'a> UnderWay<'a> {
    fn of(source: &'a Scripted) -> Self {
        let now = source.under_way.fetch_add(1, SeqCst) + 1;
        source.most_under_way.fetch_max(now, SeqCst);
        Self(source)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}

impl TokenSource for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn version(&self) -> u64 {
        self.version.load(SeqCst)
    }

    fn place(&self) -> Option<String> {
        Some("a test".to_owned())
    }

    fn access<'a>(&'a self, ask: &'a AccessAsk) -> Asking<'a, AccessToken> {
        Box::pin(async move {
            let (text, at) = self
                .answer(&self.asked, format!("access {:?}", ask.scopes))
                .await?;
            Ok(AccessToken::new(text.into(), "Bearer".to_owned(), at))
        })
    }

    fn id<'a>(&'a self, ask: &'a IdAsk) -> Asking<'a, IdToken> {
        Box::pin(async move {
            let (text, at) = self.answer(&self.asked, format!("id {}", ask.audience)).await?;
            Ok(IdToken::new(text.into(), at))
        })
    }

    fn account<'a>(&'a self, account: &'a Account) -> Asking<'a, AccountInfo> {
        Box::pin(async move {
            let (email, _) = self
                .answer(&self.accounts_asked, format!("account {account:?}"))
                .await?;
            Ok(AccountInfo {
                email,
                aliases: vec!["default".to_owned()],
                scopes: BTreeSet::from(["https://www.googleapis.com/auth/cloud-platform".to_owned()]),
            })
        })
    }
}

/// A room over this source, with its own board and counters.
pub(crate) struct House {
    pub(crate) tokens: Tokens,
    pub(crate) source: Arc<Scripted>,
    pub(crate) time: Arc<TestTime>,
    pub(crate) board: Board,
    pub(crate) shutdown: Shutdown,
}

impl House {
    /// As with `auto`, or, named, with a source that the settings name.
    pub(crate) fn new(is_named: bool) -> Self {
        let (time, board, shutdown) = (TestTime::new(), Board::new(), Shutdown::default());
        let source = Scripted::new(&time);
        let tokens = Tokens::with(
            Arc::clone(&source) as Arc<dyn TokenSource>,
            time.times(),
            is_named,
            Some(&board),
            &shutdown,
        );
        Self {
            tokens,
            source,
            time,
            board,
            shutdown,
        }
    }
}

impl Tokens {
    /// Over a source of a test's own. Must be called within the runtime.
    pub(crate) fn over(source: Arc<dyn TokenSource>, clock: Clock) -> Self {
        Self::with(source, Times::new(clock), false, None, &Shutdown::default())
    }

    fn with(
        source: Arc<dyn TokenSource>,
        times: Times,
        is_named: bool,
        board: Option<&Board>,
        shutdown: &Shutdown,
    ) -> Self {
        let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let room = Room {
            ground: Arc::new(Ground {
                clock: Arc::clone(&times.wall),
                provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
                server: Server {
                    http: nobody,
                    grpc: nobody,
                    expected: false,
                },
                environment: Environment::default(),
            }),
            times,
            changes: Arc::default(),
            metrics: Metrics::default(),
            place: Place::new(board.map(|board| board.part(PART))),
            shutdown: shutdown.clone(),
            supply: RwLock::new(None),
        };
        let tokens = Self {
            room: Some(Arc::new(room)),
            whose: None,
        };
        tokens.replace(Prepared {
            source: Some(source),
            is_named,
        });
        tokens
    }
}

impl House {
    /// All counters as text.
    pub(crate) fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        if let Some(room) = &self.tokens.room {
            room.metrics.register(&mut registry);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}
