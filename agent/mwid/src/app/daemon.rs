//! The running daemon: every room, made in the order in which data flows.
use super::doors::{Api, Apis, Doors};
use super::google::Google;
use super::lock::Lock;
use super::{AppError, Load, Plan, announce, google, platform, reload, signals};
use crate::api::admin::{self, ReloadAnswer, ReloadRequest};
use crate::api::credential;
use crate::api::workload;
use crate::clock::ClockJumps;
use crate::config::{SdsSettings, Settings, SourceSettings};
use crate::grpc;
use crate::health::Board;
use crate::health::status::AskRoutes;
use crate::http;
use crate::metadata::Server;
use crate::proxy::{self, Proxy};
use crate::publish::{self, Publishing};
use crate::shutdown::Shutdown;
use crate::source::{self, Inlet};
use crate::telemetry::logging::{self, Logging};
use crate::telemetry::metrics;
use crate::units::control::SystemBus;
use crate::units::listen::Passed;
use crate::units::notify;
use jiff::Timestamp;
use mtls_identity::Clock;
use prometheus_client::registry::Registry;
use rustls::crypto::CryptoProvider;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

/// Every room of a running daemon.
pub(super) struct Daemon {
    pub(super) settings: Settings,
    pub(super) load: Option<Load>,
    pub(super) inlet: Inlet,
    pub(super) publishing: Publishing,
    pub(super) google: Google,
    pub(super) proxy: Proxy,
    pub(super) doors: Doors,
    pub(super) apis: Apis,
    pub(super) logging: Logging,
    pub(super) base: Base,
    hangups: Signal,
    wishes: mpsc::Receiver<ReloadRequest>,
    _lock: Lock,
}

/// What every room stands on.
pub(super) struct Base {
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) shutdown: Shutdown,
}

impl Base {
    fn inlet(&self, settings: &Settings, server: Server, registry: &mut Registry) -> Inlet {
        let published: Vec<PathBuf> = settings.publish.iter().map(|p| p.directory.clone()).collect();
        source::start(
            &settings.identity,
            source::Context {
                clock: Arc::clone(&self.clock),
                provider: Arc::clone(&self.provider),
                board: &self.board,
                metrics: source::Metrics::register(registry),
                server,
                starting_after: publish::last_generation(&published),
                restore_from: published,
                shutdown: self.shutdown.clone(),
            },
        )
    }

    async fn publishing(
        &self,
        settings: &Settings,
        inlet: &Inlet,
        registry: &mut Registry,
    ) -> Result<Publishing, AppError> {
        let metrics = publish::Metrics::new();
        metrics.register(registry);
        let context = publish::Context {
            reader: inlet.reader.clone(),
            clock: Arc::clone(&self.clock),
            board: &self.board,
            metrics,
            runtime_dir: settings.runtime_dir.clone(),
            units: Arc::new(SystemBus::new()),
            shutdown: self.shutdown.clone(),
            expects_identity: settings.identity.source != SourceSettings::None,
        };
        publish::start(settings.publish.clone(), context)
            .await
            .map_err(AppError::Publish)
    }

    /// The proxy, without routes yet.
    fn proxy(&self, inlet: &Inlet, google: &Google, passed: Passed, registry: &mut Registry) -> Proxy {
        let metrics = proxy::Metrics::default();
        metrics.register(registry);
        Proxy::new(proxy::Context {
            reader: inlet.reader.clone(),
            clock: Arc::clone(&self.clock),
            jumps: ClockJumps::new(),
            provider: Arc::clone(&self.provider),
            access: google.access.clone(),
            metrics,
            passed,
            shutdown: self.shutdown.clone(),
        })
    }

    /// What serves behind the doors. The last to register: the registry goes with it.
    fn apis(
        &self,
        rooms: &Rooms<'_>,
        started_at: Timestamp,
        mut registry: Registry,
        reload: mpsc::Sender<ReloadRequest>,
    ) -> Apis {
        let http_metrics = http::Metrics::default();
        http_metrics.register(&mut registry);
        let grpc_metrics = grpc::Metrics::default();
        grpc_metrics.register(&mut registry);
        let workload = self.workload(rooms, &mut registry);
        let metrics = admin::Metrics::default();
        metrics.register(&mut registry);
        let credential = credential::Inputs {
            access: rooms.google.access.clone(),
            identity: rooms.inlet.reader.clone(),
            clock: Arc::clone(&self.clock),
            metrics: credential::Metrics::default(),
        };
        credential.metrics.register(&mut registry);
        let inputs = admin::Inputs {
            board: self.board.clone(),
            started_at,
            clock: Arc::clone(&self.clock),
            identity: rooms.inlet.reader.clone(),
            source: rooms.inlet.status.clone(),
            publish: rooms.publishing.status.clone(),
            tokens: rooms.google.tokens.clone(),
            access: rooms.google.access.clone(),
            routes: ask_routes(rooms.proxy),
            workload: Arc::clone(&workload),
            errors: rooms.logging.recent.clone(),
            registry: Arc::new(registry),
            metrics,
            reload,
        };
        Apis {
            admin: Arc::new(inputs),
            workload,
            metadata: Arc::clone(&rooms.google.api),
            credential: credential::Server::new(credential),
            http_metrics,
            grpc_metrics,
        }
    }

    fn workload(&self, rooms: &Rooms<'_>, registry: &mut Registry) -> Arc<workload::Server> {
        let metrics = workload::Metrics::default();
        metrics.register(registry);
        let sds_metrics = workload::SdsMetrics::default();
        sds_metrics.register(registry);
        let inputs = workload::Inputs {
            identity: rooms.inlet.reader.clone(),
            jwt_svids: rooms.inlet.jwt_svids.clone(),
            clock: Arc::clone(&self.clock),
            access: rooms.google.access.clone(),
            board: self.board.clone(),
            metrics,
            sds: rooms.sds.clone(),
            sds_metrics,
            expects_identity: rooms.expects_identity,
        };
        workload::Server::new(inputs, &self.shutdown)
    }
}

/// What the admin API tells of.
struct Rooms<'a> {
    inlet: &'a Inlet,
    publishing: &'a Publishing,
    google: &'a Google,
    proxy: &'a Proxy,
    logging: &'a Logging,
    sds: &'a SdsSettings,
    expects_identity: bool,
}

fn ask_routes(proxy: &Proxy) -> AskRoutes {
    let routes = proxy.routes();
    AskRoutes(Arc::new(move || routes.status()))
}

impl Daemon {
    /// Makes every room. When this returns, the daemon serves.
    pub(super) async fn open(
        plan: Plan,
        clock: Clock,
        passed: Passed,
        logging: Logging,
        lock: Lock,
        shutdown: &Shutdown,
    ) -> Result<Self, AppError> {
        let Plan { settings, load } = plan;
        let hangups = signals::reloads().map_err(AppError::Signals)?;
        let base = Base {
            board: Board::new(),
            clock,
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            shutdown: shutdown.clone(),
        };
        let started_at = logging::wall_clock()();
        let mut registry = metrics::registry(env!("CARGO_PKG_VERSION"), started_at);
        let mut doors = Doors::new(passed.clone(), shutdown.clone());
        let change = doors.prepare(&settings).map_err(AppError::Door)?;
        let server = platform::server(&change.addresses(Api::Metadata));
        let inlet = base.inlet(&settings, server, &mut registry);
        let publishing = base.publishing(&settings, &inlet, &mut registry).await?;
        let google = google::open(&settings, server, &base, &mut registry).await?;
        let mut proxy = base.proxy(&inlet, &google, passed, &mut registry);
        let routes = proxy.prepare(&settings.proxy).map_err(AppError::Proxy)?;
        let (wish, wishes) = mpsc::channel(1);
        let rooms = Rooms {
            inlet: &inlet,
            publishing: &publishing,
            google: &google,
            proxy: &proxy,
            logging: &logging,
            sds: &settings.sds,
            expects_identity: settings.identity.source != SourceSettings::None,
        };
        let apis = base.apis(&rooms, started_at, registry, wish);
        doors.apply(Doors::place(change).map_err(AppError::Door)?, &apis);
        proxy.apply(Proxy::place(routes).map_err(AppError::Proxy)?);
        doors.warn_of_unused();
        announce::start(&base.board, &inlet.reader, shutdown);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            runtime_dir = %settings.runtime_dir.display(),
            "mwid serves; clients find it with MWID_RUNTIME_DIR={}", settings.runtime_dir.display()
        );
        Ok(Self {
            settings,
            load,
            inlet,
            publishing,
            google,
            proxy,
            doors,
            apis,
            logging,
            base,
            hangups,
            wishes,
            _lock: lock,
        })
    }

    /// Serves until it is told to stop; reloads when it is told to.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.base.shutdown.asked() => break,
                _ = self.hangups.recv() => {
                    tracing::info!(signal = "SIGHUP", "reload asked for");
                    // The log has said what came of it.
                    drop(self.reload().await);
                }
                Some(wish) = self.wishes.recv() => {
                    let answer = self.reload().await;
                    // Who asked may have gone; the log has the answer too.
                    drop(wish.reply.send(answer));
                }
            }
        }
        notify::stopping("Stopping");
    }

    async fn reload(&mut self) -> ReloadAnswer {
        notify::reloading();
        let answer = reload::reload(self).await;
        match &answer {
            Ok(changes) if changes.is_empty() => tracing::info!("reloaded: nothing changed"),
            Ok(changes) => tracing::info!(changed = changes.join(", "), "reloaded"),
            Err(why) => tracing::error!("not reloaded, everything stays as it was: {why}"),
        }
        notify::ready(&announce::line(&self.base.board, &self.inlet.reader));
        answer
    }

    pub(super) fn board(&self) -> &Board {
        &self.base.board
    }

    pub(super) fn clock(&self) -> Clock {
        Arc::clone(&self.base.clock)
    }

    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.base.provider)
    }
}
