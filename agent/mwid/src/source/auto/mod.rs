//! Source `auto`: whichever source this machine has.
//!
//! In: the inlets of the platform, in order of preference. Out: the reports of the first that has an identity, and what was tried.
//! Never fails the start and never gives up: directories are watched for ever, and a server is asked only while nothing before it
//! has an identity, ever more seldom.
use super::poll::Pace;
use super::{Origin, Report, SourceError, guest_agent, metadata, metadata_grpc};
use crate::metadata::MetadataError;
use crate::report::Causes;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

pub(super) const KIND: &str = "auto";

/// Where Google's guest agents put the link, and SPIFFE Filesystem Delivery looks, by both names of the directory.
const DIRECTORIES: [&str; 2] = [
    "/run/secrets/workload-spiffe-credentials",
    "/var/run/secrets/workload-spiffe-credentials",
];

const POLL: Duration = Duration::from_secs(30);

/// How often a server that has an identity is asked.
const SERVER_POLL: Duration = Duration::from_secs(60);

/// How seldom a server is asked that has none, or is not there, in the end.
const SERVER_RETRY: Duration = Duration::from_secs(300);

/// The directories to watch; the second only where `/var/run` is not `/run`.
pub(super) fn directories() -> Vec<PathBuf> {
    let real = |path: &str| Path::new(path).canonicalize().ok();
    let one = real("/var/run").is_none_or(|var_run| Some(var_run) == real("/run"));
    DIRECTORIES
        .iter()
        .take(if one { 1 } else { DIRECTORIES.len() })
        .map(PathBuf::from)
        .collect()
}

/// What is known of one inlet.
enum State {
    /// Nobody asks it.
    Parked,
    Silent,
    Good,
    Trouble(String),
    /// It delivers, but the intake does not prove what it delivers: a guest agent that died leaves such files.
    Refused,
}

impl State {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Trouble(_) | Self::Refused)
    }
}

struct Tried {
    name: String,
    state: State,
    /// Of an inlet that is asked only when those before it have nothing.
    want: Option<watch::Sender<bool>>,
}

/// All inlets of this machine in order of preference, and their reports.
struct Inlets<'a> {
    origin: &'a Origin,
    tried: Vec<Tried>,
    reports: Vec<mpsc::Receiver<Report>>,
}

impl Inlets<'_> {
    fn add(&mut self, name: String, want: Option<watch::Sender<bool>>, start: impl FnOnce(&Origin)) {
        let (out, inlet) = mpsc::channel(super::MOST_REPORTS);
        let state = match want {
            Some(_) => State::Parked,
            None => State::Silent,
        };
        self.tried.push(Tried { name, state, want });
        self.reports.push(inlet);
        start(&Origin {
            out,
            ..self.origin.clone()
        });
    }

    fn directory(&mut self, directory: &Path) {
        let name = format!("{} {}", guest_agent::KIND, directory.display());
        self.add(name, None, |origin| guest_agent::start(directory, POLL, origin));
    }

    /// Says once that no server is asked here.
    fn no_server(&mut self) {
        self.add("metadata servers".to_owned(), None, |origin| {
            let out = origin.out.clone();
            origin.tasks.spawn(async move {
                // Nobody listens any more when the source is stopped.
                drop(
                    out.send(Report::Trouble(SourceError::Metadata(MetadataError::NoVm)))
                        .await,
                );
            });
        });
    }

    fn server(
        &mut self,
        kind: &'static str,
        server: SocketAddr,
        start: impl FnOnce(SocketAddr, Pace, &Origin),
    ) {
        let (want, wanted) = watch::channel(false);
        let pace = Pace::while_wanted(SERVER_POLL, SERVER_RETRY, wanted);
        self.add(format!("{kind} {server}"), Some(want), |origin| {
            start(server, pace, origin);
        });
    }
}

pub(super) fn start(directories: Vec<PathBuf>, origin: &Origin) {
    let mut inlets = Inlets {
        origin,
        tried: Vec::new(),
        reports: Vec::new(),
    };
    for directory in directories {
        inlets.directory(&directory);
    }
    if origin.server.expected {
        inlets.server(metadata_grpc::KIND, origin.server.grpc, metadata_grpc::start);
        inlets.server(metadata::KIND, origin.server.http, metadata::start);
    } else {
        inlets.no_server();
    }
    let Inlets { tried, reports, .. } = inlets;
    let task = Task {
        inlets: tried,
        out: origin.out.clone(),
        chosen: None,
    };
    let stop = origin.stop.clone();
    origin.tasks.spawn(async move {
        tokio::select! {
            () = task.run(reports) => {}
            () = stop.asked() => {}
        }
    });
}

struct Task {
    inlets: Vec<Tried>,
    out: mpsc::Sender<Report>,
    /// Whose identity was handed on last.
    chosen: Option<usize>,
}

impl Task {
    async fn run(mut self, mut reports: Vec<mpsc::Receiver<Report>>) {
        while let Some((index, report)) = next(&mut reports).await {
            for mut report in self.decide(index, report) {
                let judged = verdict_of(&mut report);
                if self.out.send(report).await.is_err() {
                    return;
                }
                // The intake judges at once; one that has stopped says nothing.
                if let Some(judged) = judged
                    && let Ok(good) = judged.await
                {
                    let tried = self.judged(index, good);
                    if self.out.send(tried).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// What of an inlet's report is handed on.
    fn decide(&mut self, index: usize, report: Report) -> Vec<Report> {
        let state = match &report {
            // Once refused, it has to be proven before it counts again.
            Report::Delivery(_) if self.is_refused(index) => State::Refused,
            Report::Delivery(_) => State::Good,
            Report::Trouble(e) => State::Trouble(Causes(e).to_string()),
            Report::Tried(_) => return vec![],
        };
        let Some(inlet) = self.inlets.get_mut(index) else {
            return vec![];
        };
        inlet.state = state;
        self.ask_whom_it_takes();
        let preferred = self.inlets.iter().position(|i| matches!(i.state, State::Good));
        let mut out = vec![Report::Tried(self.tried())];
        match preferred {
            Some(first) if first == index => out.push(report),
            first if self.is_refused(index) && first.is_none_or(|first| index < first) => out.push(report),
            // Another inlet has an identity, or is being asked; this one's trouble is told in `tried`.
            Some(_) => {}
            None if self.inlets.iter().any(|i| !i.state.is_nothing()) => {}
            None => out.push(Report::Trouble(SourceError::NothingFound { tried: self.tried() })),
        }
        out
    }

    fn is_refused(&self, index: usize) -> bool {
        matches!(self.inlets.get(index), Some(inlet) if matches!(inlet.state, State::Refused))
    }

    /// The intake's verdict on what this inlet delivered.
    fn judged(&mut self, index: usize, good: bool) -> Report {
        if let Some(inlet) = self.inlets.get_mut(index) {
            inlet.state = if good { State::Good } else { State::Refused };
        }
        if good {
            self.choose(index);
        }
        self.ask_whom_it_takes();
        Report::Tried(self.tried())
    }

    /// A server is asked while all inlets before it have trouble.
    fn ask_whom_it_takes(&mut self) {
        let mut nothing_so_far = true;
        for inlet in &mut self.inlets {
            if let Some(want) = &inlet.want
                && want.send_if_modified(|wanted| std::mem::replace(wanted, nothing_so_far) != nothing_so_far)
            {
                inlet.state = if nothing_so_far {
                    State::Silent
                } else {
                    State::Parked
                };
            }
            nothing_so_far &= inlet.state.is_nothing();
        }
    }

    fn choose(&mut self, index: usize) {
        if self.chosen.replace(index) != Some(index)
            && let Some(inlet) = self.inlets.get(index)
        {
            tracing::info!(inlet = inlet.name, "auto has found an identity");
        }
    }

    fn tried(&self) -> Vec<String> {
        self.inlets
            .iter()
            .map(|inlet| {
                let state = match &inlet.state {
                    State::Parked => "not asked, one before it answers",
                    State::Silent => "no answer yet",
                    State::Good => "has an identity",
                    State::Trouble(why) => why,
                    State::Refused => "what it delivers is refused",
                };
                format!("{}: {state}", inlet.name)
            })
            .collect()
    }
}

/// Asks for a verdict on a delivery.
fn verdict_of(report: &mut Report) -> Option<oneshot::Receiver<bool>> {
    let Report::Delivery(delivery) = report else {
        return None;
    };
    let (verdict, judged) = oneshot::channel();
    delivery.verdict = Some(verdict);
    Some(judged)
}

/// The next report of any inlet, with its place; `None` when all have ended.
async fn next(reports: &mut [mpsc::Receiver<Report>]) -> Option<(usize, Report)> {
    std::future::poll_fn(|context| {
        let mut open = false;
        for (index, inlet) in reports.iter_mut().enumerate() {
            match inlet.poll_recv(context) {
                std::task::Poll::Ready(Some(report)) => return std::task::Poll::Ready(Some((index, report))),
                std::task::Poll::Ready(None) => {}
                std::task::Poll::Pending => open = true,
            }
        }
        if open {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(None)
        }
    })
    .await
}

#[cfg(test)]
mod tests;
