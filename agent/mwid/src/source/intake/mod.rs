//! Intake: the only writer of the store.
//!
//! In: reports of one source, new settings, the time. Out: proven identities in the store, the room's status, its part of the
//! health board. Never lets a bad candidate displace a good identity, never wakes without a reason: its timers are deadlines.

mod ledger;
mod moment;
mod replace;
mod restore;
mod view;

use super::{Command, Context, Delivery, Inlet, JwtSvids, Minter, Origin, Report, Running, SourceError};
use crate::clock::ClockJumps;
use crate::config::{IdentitySettings, SourceSettings};
use crate::health::Part;
use crate::metadata::Server;
use crate::shutdown::Shutdown;
use crate::source::dev_ca;
use ledger::Ledger;
use mtls_identity::store::Published;
use mtls_identity::{Candidate, Clock, IdentitySnapshot, Prover, Reader, UnixTime, Writer, store};
use rustls::crypto::CryptoProvider;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use view::View;

/// How long a silent source is waited for before what was last published is restored: a working one delivers sooner, and then
/// no old identity is put in force for a moment.
const PATIENCE: Duration = Duration::from_millis(250);

/// The name of this part on the health board.
const PART: &str = "identity";

pub(super) fn start(settings: &IdentitySettings, context: Context<'_>) -> Inlet {
    let tasks = context.shutdown.clone();
    let (mut intake, inlet, orders) = Intake::new(settings, context);
    intake.begin();
    tasks.spawn(intake.run(orders));
    inlet
}

struct Intake {
    settings: IdentitySettings,
    clock: Clock,
    server: Server,
    provider: Arc<CryptoProvider>,
    part: Part,
    restore_from: Vec<PathBuf>,
    shutdown: Shutdown,
    writer: Writer,
    reader: Reader,
    source: Option<Running>,
    waiting: Option<Waiting>,
    /// With the candidate that came last.
    minter: Option<Arc<Minter>>,
    jwt_svids: watch::Sender<JwtSvids>,
    /// When to give up waiting for the source and restore; none when that is done or not wanted.
    restore_at: Option<Instant>,
    ledger: Ledger,
}

/// A candidate of the near future.
struct Waiting {
    candidate: Candidate,
    origin: From,
    at: UnixTime,
}

/// Where a candidate came from.
#[derive(Clone)]
enum From {
    Source { kind: &'static str, from: String },
    Restored(PathBuf),
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source { kind, from } => write!(f, "{kind} {from}"),
            Self::Restored(directory) => write!(f, "what was last published in {}", directory.display()),
        }
    }
}

/// Why the intake woke.
enum Wake {
    Report(Option<Report>),
    Order(Option<Command>),
    Time,
    Stop,
}

impl Intake {
    fn new(settings: &IdentitySettings, context: Context<'_>) -> (Self, Inlet, mpsc::Receiver<Command>) {
        let (writer, reader) = store();
        let (commands, orders) = mpsc::channel(1);
        let (ledger, status) = Ledger::new(context.metrics);
        let jwt_svids = watch::Sender::new(JwtSvids::NotYet);
        let inlet = Inlet {
            reader: reader.clone(),
            status,
            jwt_svids: jwt_svids.subscribe(),
            commands,
        };
        let intake = Self {
            settings: settings.clone(),
            clock: context.clock,
            server: context.server,
            provider: context.provider,
            part: context.board.part(PART),
            restore_from: context.restore_from,
            shutdown: context.shutdown,
            writer: writer.starting_after(context.starting_after),
            reader,
            source: None,
            waiting: None,
            minter: None,
            jwt_svids,
            restore_at: None,
            ledger,
        };
        (intake, inlet, orders)
    }

    /// Starts the source of the settings, from a clean sheet.
    fn begin(&mut self) {
        let source = Origin::start(&self.settings.source, &self.clock, self.server, &self.shutdown);
        self.begin_with(source);
    }

    fn begin_with(&mut self, source: Option<Running>) {
        self.ledger.begin(super::kind(&self.settings.source));
        self.source = source;
        self.minter = None;
        self.no_jwt_svids_yet();
        let restorable = self.source.is_some() && self.reader.current().is_none();
        self.restore_at = restorable.then(|| Instant::now() + PATIENCE);
        self.settle();
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Command>) {
        let mut jumps = ClockJumps::new();
        loop {
            match self.wake(&mut orders, &mut jumps).await {
                Wake::Report(Some(Report::Delivery(delivery))) => self.delivered(delivery),
                Wake::Report(Some(Report::Trouble(error))) => self.trouble(&error),
                Wake::Report(Some(Report::Tried(tried))) => self.ledger.tried(tried),
                Wake::Report(None) => self.source_ended(),
                Wake::Order(Some(command)) => self.replace(command),
                Wake::Time => self.prove_waiting(),
                // Without an inlet nobody can change the settings any more, nor see the identity.
                Wake::Order(None) | Wake::Stop => return,
            }
            self.restore_if_due().await;
            self.settle();
        }
    }

    async fn wake(&mut self, orders: &mut mpsc::Receiver<Command>, jumps: &mut ClockJumps) -> Wake {
        let due = self.due();
        let report = async {
            match &mut self.source {
                Some(source) => source.reports.recv().await,
                None => std::future::pending().await,
            }
        };
        let time = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.asked() => Wake::Stop,
            order = orders.recv() => Wake::Order(order),
            report = report => Wake::Report(report),
            () = time => Wake::Time,
            () = jumps.next() => Wake::Time,
        }
    }

    /// The next moment at which time alone changes something.
    fn due(&self) -> Option<Instant> {
        let by_clock = self
            .view(&self.reader.current())
            .wait()
            .map(|wait| Instant::now() + wait);
        [by_clock, self.restore_at].into_iter().flatten().min()
    }

    fn delivered(&mut self, delivery: Delivery) {
        let origin = From::Source {
            kind: delivery.kind,
            from: delivery.from,
        };
        self.ledger
            .answered(&origin, delivery.seen_at, delivery.warning.as_ref());
        self.waiting = None;
        self.minter = delivery.minter;
        let good = self.take(delivery.candidate, origin);
        if let Some(verdict) = delivery.verdict {
            // A source that was stopped meanwhile does not care any more.
            let _unheard = verdict.send(good);
        }
        // Proven or not: the source has spoken.
        self.hurry_restore();
    }

    fn trouble(&mut self, error: &SourceError) {
        self.ledger.trouble(error, self.now());
        self.hurry_restore();
    }

    fn source_ended(&mut self) {
        self.source = None;
        let kind = super::kind(&self.settings.source).to_owned();
        self.trouble(&SourceError::Ended { kind });
    }

    /// Proves a candidate; a good one goes into force. True if it was good.
    fn take(&mut self, candidate: Candidate, origin: From) -> bool {
        let now = self.now();
        match self.prover().prove(&candidate, now) {
            Ok(identity) => {
                self.put_in_force(identity, &origin);
                true
            }
            Err(refusal) => {
                self.ledger.refused(&refusal, &origin, now);
                if let Some(at) = refusal.retry_at() {
                    self.waiting = Some(Waiting {
                        candidate,
                        origin,
                        at,
                    });
                }
                false
            }
        }
    }

    fn put_in_force(&mut self, identity: IdentitySnapshot, origin: &From) {
        let older = self
            .reader
            .current()
            .filter(|current| identity.not_before().as_secs() < current.not_before().as_secs());
        match self.writer.publish(identity) {
            Published::New(identity) => self.ledger.in_force(&identity, origin, older.as_deref()),
            Published::Retimed(identity) => self.ledger.retimed(&identity, origin),
            Published::Unchanged => self.ledger.unchanged(origin),
        }
        self.restore_at = None;
        match (origin, &self.minter) {
            (From::Source { .. }, Some(minter)) => {
                self.jwt_svids.send_replace(JwtSvids::Minter(Arc::clone(minter)));
            }
            _ => self.no_jwt_svids_yet(),
        }
    }

    /// Until the source delivers what mints them, if it does that at all; what the identity in force came with stays.
    fn no_jwt_svids_yet(&self) {
        let kind = super::kind(&self.settings.source);
        self.jwt_svids.send_if_modified(|jwt_svids| {
            let stays = matches!(jwt_svids, JwtSvids::Minter(_)) && self.reader.current().is_some();
            match kind {
                dev_ca::KIND if stays => return false,
                dev_ca::KIND => *jwt_svids = JwtSvids::NotYet,
                _ => *jwt_svids = JwtSvids::None(kind),
            }
            true
        });
    }

    fn prove_waiting(&mut self) {
        let now = self.now();
        let time_has_come = |waiting: &mut Waiting| waiting.at.as_secs() <= now.as_secs();
        match self.waiting.take_if(time_has_come) {
            Some(Waiting {
                candidate,
                origin: From::Restored(directory),
                ..
            }) => {
                self.restore(candidate, directory);
            }
            Some(Waiting {
                candidate, origin, ..
            }) => {
                self.take(candidate, origin);
            }
            None => {}
        }
    }

    /// Tells the board and the status what holds now.
    fn settle(&mut self) {
        let current = self.reader.current();
        let condition = self.view(&current).condition();
        self.ledger.condition(&condition);
        self.part.set(condition);
        self.ledger.publish();
    }

    fn view<'a>(&'a self, current: &'a Option<Arc<IdentitySnapshot>>) -> View<'a> {
        View {
            now: self.now(),
            wanted: !matches!(self.settings.source, SourceSettings::None),
            identity: current.as_deref().map(view::Life::of),
            trouble: self.ledger.why(),
            restored_from: self.ledger.restored_from(),
            waiting_until: self.waiting.as_ref().map(|w| w.at),
        }
    }

    fn prover(&self) -> Prover {
        Prover::new(self.provider.clone()).expecting(self.settings.expect.clone())
    }

    fn now(&self) -> UnixTime {
        super::now(&self.clock)
    }
}

#[cfg(test)]
mod tests;
